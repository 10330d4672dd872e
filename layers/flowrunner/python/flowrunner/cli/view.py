"""A run in the terminal: a live tree of its steps, or plain lines where there is no terminal, or nothing for --json."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from flowrunner.cli.lines import Line, describe, log_line, reason
from flowrunner.core.ids import RunId, StepId
from flowrunner.core.state import Phase, parent_of_item, step_label
from flowrunner.engine.engine import Engine, RunResult
from flowrunner.engine.records import Attempt
from flowrunner.engine.watch import Change
from flowrunner.ports.runs import RowStatus

Answer = Callable[[RunId, str, Any], None]

LAST_CHANGE_SECONDS = 1.0
"""The store may show the end of a run a moment before its last change has been shown here."""


class RunView(Protocol):
    """Something that shows a run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def change(self, change: Change) -> None:
        """A change of the run; called from the worker's thread."""
        ...

    def other(self, change: Change) -> None:
        """A change of any run of this process; called from the threads of its workers."""
        ...

    def ask(self, answer: Answer) -> None:
        """Let the person at the terminal answer what waits for a decision; called from the main thread."""
        ...

    def finish(self, result: RunResult) -> None: ...


class Board:
    """The steps of a run, kept up to date from its changes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lines: dict[StepId, Line] = {}
        self.progress: int | None = 0
        self.status = "running"

    def apply(self, change: Change, now: int) -> list[Attempt]:
        """Take a change; answers the attempts that ended with it, items of a foreach left out."""
        with self.lock:
            self.progress = change.state.progress
            self.status = change.state.shown_status
            for step, entry in change.state.frontier.items():
                if parent_of_item(step) is not None or step in ("settle", "deadline"):
                    continue
                line = self.lines.setdefault(step, Line(step_label(entry.node, entry.n), entry.node))
                line.attempt = entry.attempt
                if step in change.state.maps:
                    items = change.state.maps[step]
                    line.items = (items.done.bit_count(), len(items.bad), items.count)
                    line.status = "running"
                if entry.phase is Phase.WAITING:
                    line.status = "waiting"
            if change.started is not None and change.started in self.lines:
                line = self.lines[change.started]
                line.status = "running"
                line.started_at = line.started_at or now
            ended = [attempt for attempt in change.attempts if parent_of_item(attempt.step) is None]
            for attempt in ended:
                self._attempt(attempt, change)
            return ended

    def _attempt(self, attempt: Attempt, change: Change) -> None:
        line = self.lines.setdefault(attempt.step, Line(attempt.label, attempt.node))
        line.started_at = line.started_at or attempt.started_at
        line.ended_at = attempt.ended_at
        line.attempt = attempt.attempt
        line.error = str((attempt.error or {}).get("message", ""))
        entry = change.state.frontier.get(attempt.step)
        again = entry is not None and entry.attempt > attempt.attempt
        if attempt.items and attempt.status is RowStatus.RUNNING:
            line.status = "running"
        else:
            line.status = "retrying" if again else attempt.status.value
        line.wait = attempt.wait.data if attempt.wait and attempt.status is RowStatus.WAITING else None
        line.marks = [mark for mark, on in (("fallback", attempt.fallback), ("cached", attempt.cached)) if on]


class SilentView:
    """Shows nothing: standard output belongs to the JSON document."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def change(self, change: Change) -> None:
        return

    def other(self, change: Change) -> None:
        return

    def ask(self, answer: Answer) -> None:
        return

    def finish(self, result: RunResult) -> None:
        return


class PlainView(SilentView):
    """One line for each step that ends, on standard error."""

    def __init__(self, engine: Engine, name: str, run: RunId) -> None:
        self._board = Board()
        self._clock = engine.parts.clock
        self._ended = threading.Event()
        print(f"run {run} of {name}", file=sys.stderr)

    def change(self, change: Change) -> None:
        for attempt in self._board.apply(change, self._clock.now()):
            line = self._board.lines[attempt.step]
            for entry in attempt.logs:
                print(f"  {log_line(attempt.label, entry)}", file=sys.stderr)
            if line.status != "running":
                print(describe(line, self._clock.now()), file=sys.stderr)
        if change.ended:
            self._ended.set()

    def finish(self, result: RunResult) -> None:
        self._ended.wait(LAST_CHANGE_SECONDS)
        print(f"{result.status}: {reason(result.error)}" if result.error else result.status, file=sys.stderr)


def make_view(engine: Engine, run: RunId, name: str, *, quiet: bool) -> RunView:
    """The view that fits where the output goes."""
    if quiet:
        return SilentView()
    if not sys.stderr.isatty():
        return PlainView(engine, name, run)
    from flowrunner.cli.live import LiveView

    return LiveView(engine, name, run)
