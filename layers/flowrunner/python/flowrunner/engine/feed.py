"""Reading the events of a run: from the beginning, or from where a reader was before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.status import RunStatus
from flowrunner.engine.control import Control
from flowrunner.engine.outcome import RunView
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.run_events import RunEvent, attempt_events, run_event
from flowrunner.ports.history import RunHistory
from flowrunner.ports.runs import StepRow

PAGE = 1_000
ENDS = {
    RunStatus.COMPLETED: "run.completed",
    RunStatus.FAILED: "run.failed",
    RunStatus.CANCELLED: "run.cancelled",
}


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, the cursor to come back with, and whether the run has ended with them."""

    events: list[RunEvent]
    cursor: int
    ended: bool


class Feed:
    """Gives the events of runs. The cursor is the revision of the head up to which a reader has seen everything."""

    def __init__(self, control: Control, history: RunHistory) -> None:
        self._control = control
        self._history = history

    def read(self, account: AccountId, run: RunId, cursor: int = 0) -> Page:
        """All events after `cursor`, 0 for the whole history; those of steps that run now come again later.

        A reader that drops events by an id it has seen gets each exactly once. Raises `NotFound`.
        """
        view = self._control.view(account, run)
        events: list[RunEvent] = []
        if cursor == 0:
            events.append(run_event(run, "run.started", view.row.created_at, 1))
        rows = {(row.step, row.attempt): row for row in self._committed(account, run, cursor, view.state.rev)}
        for row in self._history.open_steps(account, run):
            rows.setdefault((row.step, row.attempt), row)
        for row in rows.values():
            events += _of(run, read_attempt(row), view)
        ended = view.state.status.over
        if ended:
            kind = ENDS[view.state.status]
            events.append(run_event(run, kind, view.row.ended_at or 0, view.state.attempt, view.state.error))
        return Page(events, view.state.rev, ended)

    def _committed(self, account: AccountId, run: RunId, after: int, until: int) -> Iterator[StepRow]:
        while True:
            page = self._history.committed(account, run, after_rev=after, limit=PAGE)
            yield from (row for row in page if row.rev <= until)
            if len(page) < PAGE:
                return
            # A revision may have several rows (joins that it skipped), so the next page begins with the last one's.
            after = page[-1].rev - 1


def _of(run: RunId, attempt: Attempt, view: RunView) -> Iterator[RunEvent]:
    later = view.state.frontier.get(attempt.step) or view.state.parked.get(attempt.step)
    retried = later is not None and later.attempt > attempt.attempt and not view.state.status.over
    yield from attempt_events(run, attempt, retried=retried)
