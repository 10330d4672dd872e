"""docs/cli.md shows every command that talks to a server, and only what there is."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from flowrunner.cli.main import app
from flowrunner.cli.remote.commands import GROUPS

PAGE = (Path(__file__).resolve().parents[2] / "docs/cli.md").read_text(encoding="utf-8")
ALONE = {"login", "logout", "whoami", "usage", "create", "list", "status", "logs", "run"}
PROGRAM: Any = typer.main.get_command(app)


def shown() -> Iterator[list[str]]:
    """The commands in the page's blocks, each as its words."""
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def path_of(words: list[str]) -> tuple[str, ...]:
    """The command that a line calls."""
    assert words[0] == "flowrunner"
    if words[1] in GROUPS or words[1] == "secret":
        return tuple(words[1:3])
    return (words[1],)


def every_command() -> Iterator[tuple[str, ...]]:
    """All commands that talk to a server."""
    yield from ((name,) for name in ALONE)
    for name in GROUPS:
        yield from ((name, command) for command in PROGRAM.commands[name].commands)


@pytest.mark.parametrize("command", sorted(every_command()), ids=" ".join)
def test_every_command_has_an_example(command: tuple[str, ...]) -> None:
    """Somebody who looks for it finds how it is called."""
    assert command in {path_of(words) for words in shown()}


@pytest.mark.parametrize("words", list(shown()), ids=" ".join)
def test_every_example_is_understood(words: list[str]) -> None:
    """Commands, arguments and options are those of the program."""
    arguments = [word for word in words[1:] if word not in ("<", ">")]
    for redirection in ("<", ">"):
        if redirection in words:
            arguments.remove(words[words.index(redirection) + 1])
    if arguments[0].startswith("--"):
        assert arguments[0] in {name for one in PROGRAM.params for name in one.opts}
        return
    command = PROGRAM
    for name in path_of(words):
        command = command.commands[name]
        arguments.remove(name)
    command.make_context(words[1], arguments)


@pytest.mark.parametrize("command", sorted(every_command()), ids=" ".join)
def test_every_command_can_be_read_by_programs(command: tuple[str, ...]) -> None:
    """Each has --json, and help of one short line at least."""
    found = PROGRAM
    for name in command:
        found = found.commands[name]
    assert "--json" in {name for one in found.params for name in one.opts}
    assert found.help.strip()
    assert all(one.help for one in found.params if one.name != "help")


def test_the_exit_codes_are_explained() -> None:
    """All that there are."""
    from flowrunner.cli.exits import ExitCode
    from flowrunner.cli.remote.watching import INTERRUPTED

    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert explained == {*map(int, ExitCode), INTERRUPTED}
