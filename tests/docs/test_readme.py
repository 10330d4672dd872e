"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = [sys.executable, "-c", "from flowrunner.cli.main import app; app(prog_name='flowrunner')"]


def block(language: str) -> str:
    """The first block of the README in that language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no block of {language}"
    return found[1]


def call(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the command line in `folder`."""
    return subprocess.run([*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=180)


def test_the_first_flow_runs_as_shown(tmp_path: Path) -> None:
    """The flow of the first screen gives the result that is printed under it, by the command that is printed there."""
    (tmp_path / "greet.yaml").write_text(block("yaml"), encoding="utf-8")
    shown = block("console")
    command = shlex.split(shown.splitlines()[0].removeprefix("$ "))
    assert command[0] == "flowrunner"
    done = call(command[1:], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(shown[shown.index("\n{") :])


def test_every_command_is_listed() -> None:
    """The README's table of commands and the program's own help name the same commands."""
    table = README[README.index("| command |") :].partition("\n\n")[0]
    listed = set(re.findall(r"`([a-z]+)`", " ".join(line.split("|")[1] for line in table.splitlines())))
    program = "from flowrunner.cli.main import app; import typer; print(*typer.main.get_command(app).commands)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=180)
    assert listed == set(done.stdout.split()), done.stderr


def test_the_promise_stands_in_its_exact_words() -> None:
    """The promise is printed as reliability.md words it, and "exactly once" is never said without its noun."""
    promise = (
        "A run that was acknowledged (202) ends in exactly one terminal status. Every step's result is committed at "
        "most once, and no committed step is executed again. Side effects of a completed step ran at least once; a "
        "node marked `at_most_once` runs at most once and fails as `AMBIGUOUS` when we cannot know. After a cancel is "
        "answered, no side effect starts from a state read after it."
    )
    assert promise in README
    assert "exactly once" not in README.lower()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link of the page names a file of the project."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
