"""`flowrunner import`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_bad_input import flowrunner
from tests.language.flowengine import data, node, workflow

DOCUMENT = data(
    workflow([node("parse", "transform.json_parse"), node("say", "debug.log")], "parse.parsed -> say.message")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "old.json").write_bytes(DOCUMENT)
    return tmp_path


def test_the_flow_is_written_and_runs(folder: Path) -> None:
    """To a file that `run` takes; the same on standard output without one."""
    done = flowrunner("import", "old.json", "--output", "new.yaml", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "wrote new.yaml\n", "")
    shown = flowrunner("import", "old.json", "--format", "flowengine", folder=folder)
    assert shown.stdout == (folder / "new.yaml").read_text()
    ran = flowrunner("run", "new.yaml", "-i", 'json="[1, 2]"', folder=folder)
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["say"]["message"] == "[1, 2]"


def test_what_is_there_is_not_written_over(folder: Path) -> None:
    """Unless it is wanted."""
    (folder / "new.yaml").write_text("mine")
    done = flowrunner("import", "old.json", "-o", "new.yaml", folder=folder)
    assert done.returncode == 2
    assert "new.yaml is there already (--force writes over it)" in done.stderr
    assert (folder / "new.yaml").read_text() == "mine"
    assert flowrunner("import", "old.json", "-o", "new.yaml", "--force", folder=folder).returncode == 0
    assert "metadata" in (folder / "new.yaml").read_text()


def test_what_cannot_be_imported_writes_nothing(folder: Path) -> None:
    """All problems on standard error, exit code 3."""
    (folder / "bad.json").write_bytes(data(workflow([node("a", "shell.exec"), node("b", "debug.log", {"x": 1})])))
    done = flowrunner("import", "bad.json", "-o", "new.yaml", folder=folder)
    assert done.returncode == 3
    assert "error: nodes[0].node_type: the node type 'shell.exec' cannot be imported" in done.stderr
    assert "error: nodes[1].config.x:" in done.stderr
    assert not (folder / "new.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.json"], 4, "there is no file missing.json"),
        (["old.json", "--format", "flowengin"], 4, "did you mean 'flowengine'?"),
        (["old.json", "-o", "no/such/folder.yaml"], 2, "cannot be written"),
    ],
)
def test_mistakes(arguments: list[str], code: int, message: str, folder: Path) -> None:
    """Each says what to do."""
    done = flowrunner("import", *arguments, folder=folder)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
