"""A real server on loopback, and the command line as its user calls it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO, TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any

import typer
from flowrunner.cli.main import app
from flowrunner.cli.server import serving
from flowrunner.services.accounts import Owner
from flowrunner.services.platform import Platform
from flowrunner.settings import load_settings

PROGRAM = typer.main.get_command(app)
PASSWORD = "correct horse battery"

HELLO = 'metadata: {name: hello}\nnodes:\n  greet: {type: log, params: {message: "hi ${input.name}"}}\noutputs: {said: "hi ${input.name}"}\n'
FAILING = "metadata: {name: failing}\nnodes:\n  boom: {type: script, hooks: {exec: 'throw new Error(\"no luck\")'}}\n"
WAITING = "metadata: {name: waiting}\nnodes:\n  ask: {type: approval, params: {message: go?}}\n"


@dataclass
class Done:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as exactly one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as one JSON document per line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Terminal:
    """A user's machine: a home of its own, and the commands, run in this process."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, stdin: str | bytes = b"", code: int | None = 0) -> Done:
        """Run a command; its exit code must be `code` unless that is None."""
        done = self._run([str(one) for one in arguments], stdin.encode() if isinstance(stdin, str) else stdin)
        assert code is None or done.code == code, f"{arguments}: exit code {done.code}\n{done.out}\n{done.err}"
        return done

    def file(self, name: str, text: str) -> str:
        """A file in the user's folder; answers its path."""
        path = self.home / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def variables(self) -> dict[str, str]:
        """The environment of the user's commands."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWRUNNER_", "XDG_"))}
        return {**kept, "XDG_CONFIG_HOME": str(self.home / "config"), **self.environ}

    def _run(self, arguments: list[str], stdin: bytes) -> Done:
        streams, before = (sys.stdin, sys.stdout, sys.stderr), dict(os.environ)
        out, err = BytesIO(), BytesIO()
        sys.stdin = TextIOWrapper(BytesIO(stdin), encoding="utf-8")
        sys.stdout = TextIOWrapper(out, encoding="utf-8", write_through=True)
        sys.stderr = TextIOWrapper(err, encoding="utf-8", write_through=True)
        try:
            _replace(self.variables())
            code = _call(arguments)
            return Done(code, out.getvalue().decode(), err.getvalue().decode())
        finally:
            _replace(before)
            sys.stdin, sys.stdout, sys.stderr = streams


def _replace(variables: Mapping[str, str]) -> None:
    """Make the environment this one; at no moment does a thread of the server miss what stays."""
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def _call(arguments: list[str]) -> int:
    try:
        answer = PROGRAM.main(arguments, prog_name="flowrunner", standalone_mode=True)
    except SystemExit as left:
        return int(left.code or 0)
    return int(answer or 0)


@dataclass
class Running:
    """The server, and where it is."""

    platform: Platform
    url: str
    people: Iterator[int] = field(default_factory=count)

    def owner(self, name: str = "Acme") -> str:
        """The owner of a new account; the password is `PASSWORD`."""
        user = f"olga{next(self.people)}"
        self.platform.accounts.create(name, Owner(user, PASSWORD))
        return user


@contextmanager
def running(flags: Mapping[str, Any] | None = None) -> Iterator[Running]:
    """A server on memory with a worker."""
    loaded = load_settings({}, {"store.url": "memory:", "api.port": 0, "log.level": "error", **(flags or {})})
    with serving(loaded) as (platform, server):
        yield Running(platform, server.url)


def log_in(home: Path, server: Running, user: str, profile: str = "default") -> Terminal:
    """A terminal whose user has logged in."""
    terminal = Terminal(home)
    terminal("login", "--server", server.url, "--username", user, "--profile", profile, stdin=PASSWORD + "\n")
    return terminal
