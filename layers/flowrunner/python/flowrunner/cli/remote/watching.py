"""A run on a server, watched to its end: the live tree at a terminal, a line per step elsewhere, or JSON lines."""

from __future__ import annotations

import sys
from typing import Any, Protocol, Self

from flowrunner.cli.exits import ExitCode, RemoteError, escape
from flowrunner.cli.lines import Line, describe, log_line, reason, said
from flowrunner.cli.remote.board import OVER, EventBoard
from flowrunner.cli.remote.client import Client, at
from flowrunner.cli.remote.following import follow
from flowrunner.cli.remote.output import print_json, safe_json

INTERRUPTED = 130
"""What shells expect of a command that Ctrl-C has ended; the run goes on."""


class View(Protocol):
    """Something that shows events."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def event(self, event: dict[str, Any]) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self, run: dict[str, Any]) -> None: ...


class Silent:
    """Shows nothing: standard output belongs to the JSON document at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def event(self, event: dict[str, Any]) -> None:
        return

    def note(self, text: str) -> None:
        print(escape(text), file=sys.stderr)

    def end(self, run: dict[str, Any]) -> None:
        return


class Plain(Silent):
    """One line for each step that ends or waits, on standard error."""

    def __init__(self, run: str, name: str) -> None:
        self._board = EventBoard()
        print(f"run {escape(run)} of {escape(name)}", file=sys.stderr)

    def event(self, event: dict[str, Any]) -> None:
        line = self._board.apply(event)
        if event["type"] == "step.log":
            print(f"  {event_log_line(event)}", file=sys.stderr)
        elif line is not None and _worth_a_line(line):
            print(describe(line, self._board.now()), file=sys.stderr)

    def end(self, run: dict[str, Any]) -> None:
        print(f"{run['status']}: {reason(run['error'])}" if run["error"] else run["status"], file=sys.stderr)


class Tree(Silent):
    """The tree that `flowrunner run FILE` shows."""

    def __init__(self, name: str) -> None:
        from flowrunner.cli.tree import LiveTree

        self._board = EventBoard()
        self._tree = LiveTree(name, self._board, self._board.now)

    def __enter__(self) -> Self:
        self._tree.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.stop()

    def event(self, event: dict[str, Any]) -> None:
        self._board.apply(event)
        if event["type"] == "step.log":
            data = event.get("data") or {}
            self._tree.log(str(event.get("step_id")), said(data), str(data.get("level")))

    def note(self, text: str) -> None:
        self._tree.note(text)

    def end(self, run: dict[str, Any]) -> None:
        self._tree.end(run["status"], run["duration_ms"], run["error"] and reason(run["error"]))


def watch(client: Client, run: dict[str, Any], *, as_json: bool) -> ExitCode | int:
    """Show a run until it ends, then print its output, or with `as_json` the run. Ctrl-C leaves it running."""
    identity = run["id"]
    view: View
    if as_json:
        view = Silent()
    elif sys.stderr.isatty():
        view = Tree(run["flow"]["name"])
    else:
        view = Plain(identity, run["flow"]["name"])
    client.tell = view.note
    try:
        with view:
            for event in follow(client, at("/v1/runs/{}/events", identity)):
                view.event(event)
    except KeyboardInterrupt:
        return left_running(identity)
    except RemoteError as error:
        if not error.status:
            print(f"the run may go on; watch it again: flowrunner runs watch {identity}", file=sys.stderr)
        raise
    ended = client.get(at("/v1/runs/{}", identity))
    view.end(ended)
    print_result(ended, as_json=as_json)
    return exit_of(ended["status"])


def left_running(run: str) -> int:
    """Say that the run goes on. Answers the exit code."""
    print(f"\nthe run goes on; watch it again: flowrunner runs watch {run}", file=sys.stderr)
    print(f"or stop it: flowrunner runs cancel {run}", file=sys.stderr)
    return INTERRUPTED


def print_result(run: dict[str, Any], *, as_json: bool) -> None:
    """The output of a completed run, or the whole run as JSON."""
    if as_json:
        print_json(run)
    elif run["status"] == "completed":
        print(safe_json(run["output"], indent=2))


def exit_of(status: str) -> ExitCode:
    """1 for a run that has ended otherwise than completed."""
    return ExitCode.FAILED if status in ("failed", "cancelled") else ExitCode.OK


def event_log_line(event: dict[str, Any]) -> str:
    """What a step said, in one line."""
    return log_line(str(event.get("step_id")), event.get("data") or {})


def _worth_a_line(line: Line) -> bool:
    return line.status in (*OVER, "waiting", "retrying")
