"""The pages that teach: their flows load, their files pass their tests, their commands are run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from flowrunner.cli.main import app
from flowrunner.cli.server import HttpServer
from flowrunner.engine.validation import environment
from flowrunner.language.catalog import Environment
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import load_flow
from flowrunner.nodes.registry import Registry
from flowrunner.sandbox.evaluator import Sandbox
from flowrunner.settings import ApiSettings
from typer.testing import CliRunner

from tests.api.harness import Service, service

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = sorted(path.stem for path in (DOCS / "tutorials").glob("*.md"))
TAUGHT = ["getting-started", "concepts", "errors", *(f"tutorials/{name}" for name in TUTORIALS)]
RUN = ["getting-started", *(f"tutorials/{name}" for name in TUTORIALS)]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MADE_BY_HAND = ("bash", "curl", "openssl", "grep", "sed")


def blocks(page: str) -> list[tuple[str, str, str]]:
    """The blocks of a page: language, the name of the file that it is, text."""
    return BLOCK.findall((DOCS / f"{page}.md").read_text("utf-8"))


@pytest.fixture(scope="module")
def env() -> Iterator[Environment]:
    """The environment of a running engine."""
    sandbox = Sandbox()
    yield environment(Registry(()), sandbox)
    sandbox.close()


@pytest.mark.parametrize("page", TAUGHT)
def test_flows_of_the_page_load(page: str, env: Environment) -> None:
    """Each is valid and gives no warning."""
    flows = [text for kind, _, text in blocks(page) if kind == "yaml" and "metadata:" in text]
    assert flows
    for text in flows:
        assert load_flow(text, env).warnings == ()


def test_messages_of_validation_are_those_of_the_page(env: Environment) -> None:
    """Every flow that it shows is told what stands below it."""
    pairs = [(first[2], then[2]) for first, then in pairwise(blocks("validation")) if first[0] == "yaml"]
    assert len(pairs) > 10
    for flow, told in pairs:
        try:
            problems = load_flow(flow, env).warnings
        except InvalidFlow as refused:
            problems = tuple(refused.problems)
        assert "\n".join(map(str, problems)) == told.strip()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Service, str]]:
    """A service with a worker, and its address."""
    with service() as made:
        http = HttpServer(made.client.app, ApiSettings(port=0))
        http.start()
        worker = threading.Thread(target=made.worker.run, daemon=True)
        worker.start()
        yield made, http.url
        made.worker.stop()
        worker.join(60)
        http.stop()


@pytest.mark.parametrize("page", RUN)
def test_commands_of_the_page_work(
    page: str, server: tuple[Service, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first to the last, in one folder; each file is written where the page shows it."""
    api, address = server
    team = api.team(page.rpartition("/")[2])
    token = team.headers()["Authorization"].removeprefix("Bearer ")
    for name, value in {"SERVER": address, "TOKEN": token}.items():
        monkeypatch.setenv(f"FLOWRUNNER_{name}", value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOOK", f"{address}/hooks/{team.account}/github")
    monkeypatch.chdir(tmp_path)
    for kind, file, text in blocks(page):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(text, "utf-8")
        elif kind == "sh":
            run(text)


def run(block: str) -> None:
    """Our own commands in this process, which is fast; what others make is one script of the shell."""
    if any(word in MADE_BY_HAND for word in block.split()):
        if missing := [tool for tool in MADE_BY_HAND if shutil.which(tool) is None]:
            pytest.skip(f"not installed on this machine: {', '.join(missing)}")
        done = subprocess.run(["bash", "-euc", block], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return
    for line in block.splitlines():
        *given, command = (shlex.split(part, comments=True) for part in line.split(" | "))
        if command[0] == "cd":
            os.chdir(command[1])
            continue
        assert command[0] == "flowrunner", line
        typed = given[0][2] if given else None  # printf %s TEXT
        made = CliRunner().invoke(app, command[1:], input=typed)
        assert made.exit_code == 0, f"{line}\n{made.output}"


def test_how_we_test_names_what_there_is() -> None:
    """Every script and every test on the page can be run."""
    page = (DOCS / "how-we-test.md").read_text("utf-8")
    named = set(re.findall(r"(?:scripts|tests)/[\w/.-]*\w", page))
    assert len(named) > 10
    assert sorted(path for path in named if not (DOCS.parent / path).exists()) == []


def test_what_a_run_prints_is_what_getting_started_shows(tmp_path: Path) -> None:
    """The output of the first run."""
    found = blocks("getting-started")
    flow = next(text for _, file, text in found if file == "flows/order.yaml")
    shown = next(text for kind, _, text in found if kind == "json")
    (tmp_path / "order.yaml").write_text(flow, "utf-8")
    given = '{"items": [{"price": 20, "count": 2}]}'
    done = CliRunner().invoke(app, ["run", str(tmp_path / "order.yaml"), "--input", given])
    assert done.stdout == shown
