"""A real server on loopback, and the command line as its user calls it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import typer
from flowrunner.cli.main import app
from flowrunner.cli.server import serving
from flowrunner.services.accounts import Owner
from flowrunner.services.platform import Platform
from flowrunner.settings import load_settings

PASSWORD = "correct horse battery"
OWNER = "olga"

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

    def _run(self, arguments: list[str], stdin: bytes) -> Done:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWRUNNER_", "XDG_"))}
        streams = sys.stdin, sys.stdout, sys.stderr
        before, folder = dict(os.environ), Path.cwd()
        out, err = BytesIO(), BytesIO()
        sys.stdin = TextIOWrapper(BytesIO(stdin), encoding="utf-8")
        sys.stdout = TextIOWrapper(out, encoding="utf-8", write_through=True)
        sys.stderr = TextIOWrapper(err, encoding="utf-8", write_through=True)
        os.environ.clear()
        os.environ.update({**kept, "XDG_CONFIG_HOME": str(self.home / "config"), **self.environ})
        os.chdir(self.home)
        try:
            code = _call(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            return Done(code, out.getvalue().decode(), err.getvalue().decode())
        finally:
            sys.stdin, sys.stdout, sys.stderr = streams
            os.environ.clear()
            os.environ.update(before)
            os.chdir(folder)


def _call(arguments: list[str]) -> int:
    try:
        answer = typer.main.get_command(app).main(arguments, prog_name="flowrunner", standalone_mode=True)
    except SystemExit as left:
        return int(left.code or 0)
    return int(answer or 0)


@dataclass
class Running:
    """The server, and where it is."""

    platform: Platform
    url: str


@contextmanager
def running(flags: Mapping[str, Any] | None = None) -> Iterator[Running]:
    """A server on memory with a worker and an account whose owner is `OWNER`."""
    loaded = load_settings({}, {"store.url": "memory:", "api.port": 0, **(flags or {})})
    with serving(loaded) as (platform, server):
        platform.accounts.create("Acme", Owner(OWNER, PASSWORD))
        yield Running(platform, server.url)


def logged_in(home: Path, server: Running, user: str = OWNER, password: str = PASSWORD) -> Terminal:
    """A terminal whose user has logged in."""
    terminal = Terminal(home)
    terminal("login", "--server", server.url, "--username", user, stdin=password + "\n")
    return terminal
