"""The command line works against an installation on AWS as against any other server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import PASSWORD, PATIENCE, Team, fresh

HELLO = """
metadata: {name: NAME}
inputs: {type: object, required: [name]}
nodes:
  say: {type: log, params: {message: "hello ${input.name}"}, next: greet}
  greet: {type: transform, params: {value: "Hello, ${input.name}!"}}
"""


class CommandLine:
    """`flowrunner` with a home of its own."""

    def __init__(self, team: Team, home: Path) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self.environment: Mapping[str, str] = {**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        self.home = home
        self.team = team

    def __call__(self, *arguments: str, expected: int = 0, said: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flowrunner", *arguments],
            env=self.environment,
            cwd=self.home,
            input=said,
            capture_output=True,
            text=True,
            timeout=PATIENCE + 60,
            check=False,
        )
        assert done.returncode == expected, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture(scope="module")
def cli(team: Team, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Logged in with a password, as docs/cli.md says."""
    cli = CommandLine(team, tmp_path_factory.mktemp("home"))
    cli("login", "--server", team.place.api, "--username", team.name, said=f"{PASSWORD}\n")
    return cli


def test_a_flow_is_stored_run_and_looked_into(cli: CommandLine) -> None:
    """Created, listed, run and watched to its end; its steps and logs afterwards."""
    name = fresh("hello")
    file = cli.home / f"{name}.yaml"
    file.write_text(HELLO.replace("NAME", name))
    cli("flows", "create", str(file))
    assert name in cli("flows", "list", "--search", name)
    assert "Hello, Ada!" in cli("run", name, "--input", "name=Ada")
    [run] = cli.json("runs", "list", "--flow", name)["items"]
    assert run["status"] == "completed"
    assert "hello Ada" in cli("logs", run["id"])
    assert "greet" in cli("runs", "steps", run["id"])
    cli("run", name, "--no-watch", expected=2)  # its input is missing


def test_secrets_and_tokens_are_managed(cli: CommandLine) -> None:
    """From standard input; the value is shown nowhere."""
    key = fresh("CLI").replace("-", "_")
    cli("secrets", "set", key, said="a value of the test\n")
    shown = cli("secrets", "list")
    assert key in shown
    assert "a value of the test" not in shown
    assert cli.team.account in cli("whoami")
