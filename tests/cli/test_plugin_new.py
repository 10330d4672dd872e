"""`flowrunner plugins new`, and docs/plugins.md: what is made there works as it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flowrunner.cli.main import app
from flowrunner.nodes.registry import Registry
from flowrunner.testing import run_flow
from typer.testing import CliRunner

PAGE = (Path(__file__).resolve().parents[2] / "docs/plugins.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    """The examples of a kind on the page."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_new_plugin_passes_its_own_test(tmp_path: Path) -> None:
    """As pytest finds it, in a process of its own."""
    made = CliRunner().invoke(app, ["plugins", "new", "acme-crm", "--folder", str(tmp_path / "crm")])
    assert made.exit_code == 0, made.output
    assert "flowrunner nodes acme.crm" in made.output
    again = CliRunner().invoke(app, ["plugins", "new", "greet", "--json", "--folder", str(tmp_path / "other")])
    assert json.loads(again.stdout)["node_type"] == "greet"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "crm",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme", "small letters"),
        ("a--b", "small letters"),
        ("script", "is there already"),
        ("there", "is there already"),
    ],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    """Nothing is written then."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("mine")
    made = CliRunner().invoke(app, ["plugins", "new", name])
    assert made.exit_code == 2
    assert said in made.stderr
    assert [one.name for one in tmp_path.rglob("*")] == ["there", "file"]


def test_the_pages_plugin_runs(tmp_path: Path) -> None:
    """The file on the page is a plugin of a folder, and its flow gives what the page says."""
    (source,) = blocks("python")
    (tmp_path / "vat.py").write_text(source, "utf-8")
    registry = Registry((), tmp_path, ())
    info = registry.installed()["vat"]
    assert (info.version, info.node_types, info.helpers, info.error) == ("1.0", ("acme.vat",), ("euros",), None)
    found = registry.describe("acme.vat")
    assert found.title == "Adds the value added tax of a country to a price."
    kind = type(registry.get("acme.vat"))
    run = run_flow(blocks("yaml")[0], {"price": 100}, node_types=[kind], helpers=registry.helper_sources())
    assert (run.status, run.output) == ("completed", {"text": "119.00 €"})
    failed = run_flow(blocks("yaml")[0].replace("country: DE", "country: XX"), {"price": 1}, node_types=[kind])
    assert failed.error is not None
    assert failed.error["code"] == "UNKNOWN_COUNTRY"
