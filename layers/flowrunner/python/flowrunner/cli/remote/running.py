"""`flowrunner run NAME`: a flow that is on a server, started and watched from here."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowrunner.cli.exits import ExitCode, UsageError, option
from flowrunner.cli.inputs import read_input
from flowrunner.cli.remote.client import connected
from flowrunner.cli.remote.output import print_json
from flowrunner.cli.remote.profiles import Target, choose_target, find_target
from flowrunner.cli.remote.runs import start_run
from flowrunner.cli.remote.watching import watch
from flowrunner.core.durations import parse_duration
from flowrunner.errors import NotFound

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """The options of the command that a server's run can have."""

    flow: str
    inputs: Sequence[str]
    json: bool
    watching: bool
    timeout: str | None


class TimeOver(Exception):
    """`--timeout` is over."""


def target_of(flow: str, *, store: str | None, profile: str | None) -> Target | None:
    """The server that `flow` is on; None for a file, or a flow in a store of this machine. Raises `UsageError`.

    A file of that name wins. Raises `NotFound` when there is neither that nor a server.
    """
    if profile is not None:
        if store is not None:
            raise UsageError("--store and --profile exclude each other")
        return choose_target(os.environ, profile)
    path = Path(flow)
    if store is not None or flow == "-" or path.suffix in SUFFIXES or path.exists():
        return None
    found = find_target(os.environ)
    if found is None:
        raise NotFound(f"there is no file {flow}", hint="for a flow of a server log in first: flowrunner login")
    return found


def run_remote(target: Target, options: RemoteRun) -> int:
    """Start a run and watch it unless told otherwise. Answers the exit code."""
    wish = {"input": read_input(options.inputs)}
    seconds = option(options.timeout, "timeout", parse_duration) / 1000 if options.timeout else None
    with connected(target) as client:
        run = start_run(client, options.flow, wish)
        if not options.watching:
            _print_started(run, as_json=options.json)
            return ExitCode.OK
        try:
            with _limited(seconds):
                return watch(client, run, as_json=options.json)
        except TimeOver:
            print(f"run {run['id']} has not ended within {options.timeout}; it goes on", file=sys.stderr)
            return ExitCode.FAILED


def _print_started(run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        print(run["id"])


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """Raises `TimeOver` in what is inside when the time is over, even while it waits for the server."""
    if seconds is None:
        yield
        return

    def over(*_: object) -> None:
        raise TimeOver

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
