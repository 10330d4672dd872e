"""Reading the events of a run: from the beginning, or from where a reader was before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.state import State
from flowrunner.core.status import RunStatus
from flowrunner.engine.heads import read_head
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.run_events import RunEvent, attempt_events, run_event
from flowrunner.engine.told import ToldSteps
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.ports.history import RunHistory
from flowrunner.ports.runs import RunRow, RunStore, StepRow

PAGE = 1_000
ENDS = {
    RunStatus.COMPLETED: "run.completed",
    RunStatus.FAILED: "run.failed",
    RunStatus.CANCELLED: "run.cancelled",
}

STEP_ENDS = frozenset({"step.succeeded", "step.failed", "step.skipped", "step.retrying"})

WHOLE = "~"
WITHIN = "-"
OPEN = "!"
TOLD = "="
_CURSOR = re.compile(r"(\d{1,12})([~!=-])([\x21-\x7e]{0,200})")


class Position(NamedTuple):
    """Where a reader is: the revision of the head, and the event that it has seen last.

    The kind says how far that is. WHOLE: all steps that commits up to `rev` have taken. WITHIN: those of `rev` itself
    only up to `event`. OPEN: all of `rev`, and on this walk over the steps under way those up to `event`. TOLD: all of
    `rev`, and of the steps under way what `event` says (`told`).
    """

    rev: int = 0
    kind: str = WHOLE
    event: str = ""

    def __str__(self) -> str:
        return f"{self.rev}{self.kind}{self.event}"

    @staticmethod
    def parse(text: str) -> Position:
        """The position that `str` wrote. Raises `InvalidInput` for what it never writes."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidInput(
                "this is no position among the events of a run", hint="send back the id of an event, or none"
            )
        return Position(int(match[1]), match[2], match[3])


START = Position()


class Placed(NamedTuple):
    """An event with the position of a reader that has seen it."""

    position: Position
    event: RunEvent


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, the cursor to come back with, and whether the run has ended with them."""

    events: list[RunEvent]
    cursor: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Pages:
    """A page of limited length. `more`: the next one can be had at once; `rev` is that of the head it was read at."""

    events: list[Placed]
    cursor: Position
    rev: int
    more: bool
    ended: bool


@dataclass(frozen=True, slots=True)
class News:
    """A run's head with the attempts that commits above a revision took, and those under way."""

    row: RunRow
    state: State
    committed: Sequence[Attempt]
    under_way: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The attempts of some commits on end; the last stretch has those under way, too. `cursor`: where to go on."""

    row: RunRow
    state: State
    attempts: Sequence[Attempt]
    cursor: Position
    more: bool


class Feed:
    """Gives the events of runs. A reader that drops events by an id it has seen gets each exactly once."""

    def __init__(self, runs: RunStore, history: RunHistory) -> None:
        self._runs = runs
        self._history = history

    def read(self, account: AccountId, run: RunId, cursor: int = 0) -> Page:
        """All events after the revision `cursor`, 0 for the whole history; those of steps under way come again later.

        Raises `NotFound`.
        """
        row, state = self._head(account, run)
        placed = self._placed(row, state, Position(cursor))
        return Page([event for _, event in placed], state.rev, state.status.over)

    def page(
        self, account: AccountId, run: RunId, after: Position = START, limit: int = PAGE, *, once: bool = False
    ) -> Pages:
        """The next events after a position. One that is not of this run's history is taken for the beginning.

        `once`: positions say what was told of the steps under way, so that whoever asks again and again does not hear
        of them each time. Raises `NotFound`.
        """
        row, state = self._head(account, run)
        told = ToldSteps.parse(after.event) if after.kind == TOLD else ToldSteps() if once else None
        events = list(islice(self._placed(row, state, after, told), limit + 1))
        more = len(events) > limit
        del events[limit:]
        cursor = events[-1].position if events else after
        return Pages(events, cursor, state.rev, more, state.status.over and not more)

    def news(self, account: AccountId, run: RunId, after_rev: int | None = None) -> News:
        """What has happened since a revision; None for nothing but how things are. Raises `NotFound`."""
        row, state = self._head(account, run)
        committed: list[Attempt] = []
        if after_rev is not None:
            committed = [read_attempt(one) for one in self._committed(account, run, after_rev, state.rev)]
        return News(row, state, committed, self.under_way(account, run))

    def stretch(self, account: AccountId, run: RunId, after: Position = START, limit: int = PAGE) -> Stretch:
        """The attempts that commits above a position took, at least `limit` of them if there are so many.

        Commits stay whole, so that `page` can go on behind the last one. Raises `NotFound`.
        """
        row, state = self._head(account, run)
        # As in `page`: what is not of this run's history is taken for the beginning.
        last = after.rev if after.rev <= state.rev else 0
        taken: list[Attempt] = []
        for rev, together in groupby(self._committed(account, run, last, state.rev), key=lambda one: one.rev):
            if len(taken) >= limit:
                return Stretch(row, state, taken, Position(last), more=True)
            taken += map(read_attempt, together)
            last = rev
        open_ones = [one for one in self.under_way(account, run) if not one.rev]
        return Stretch(row, state, taken + open_ones, Position(state.rev), more=False)

    def under_way(self, account: AccountId, run: RunId) -> list[Attempt]:
        """The attempts that run or wait."""
        return [read_attempt(one) for one in self._history.open_steps(account, run)]

    def _head(self, account: AccountId, run: RunId) -> tuple[RunRow, State]:
        row = self._runs.load([(account, run)])[0]
        if row is None:
            raise NotFound(f"there is no run {run}")
        return row, read_head(row)

    def _placed(self, row: RunRow, state: State, after: Position, told: ToldSteps | None = None) -> Iterator[Placed]:
        if after.rev > state.rev:
            after, told = START, told and ToldSteps()
        if after.rev == 0 and after.kind != TOLD:
            begun = run_event(row.id, "run.started", row.created_at, 1)
            if after.event != begun.id:
                yield Placed(Position(0, WHOLE, begun.id), begun)
        # Read before what commits have taken: a step that one takes in between is in this or in that.
        rows = self._history.open_steps(row.account, row.id)
        newer: list[StepRow] = []
        yield from self._taken(row, after, state.rev, told, newer)
        if told is None:
            yield from self._open(row, after, state.rev, rows, newer)
        else:
            yield from self._untold(row, state.rev, told, rows)
        if state.status.over:
            ended = end_event(row, state)
            place = Position(state.rev, WHOLE, ended.id)
            if after != place:
                yield Placed(place, ended)

    def _taken(
        self, row: RunRow, after: Position, until: int, told: ToldSteps | None, newer: list[StepRow]
    ) -> Iterator[Placed]:
        """The events of the steps that commits have taken, from the position on; what is `newer` is added to that."""
        last = after.rev - 1 if after.kind == WITHIN else after.rev
        rows = self._committed(row.account, row.id, last, until, newer)
        for rev, together in groupby(rows, key=lambda one: one.rev):
            events: list[RunEvent] = []
            for one in together:
                known = told.taken((one.step, one.attempt)) if told is not None else None
                events += attempt_events(row.id, read_attempt(one), known)
            placed = place(rev, events)
            if told and placed:
                placed[-1] = Placed(Position(rev, TOLD, str(told)), events[-1])
            if after.kind == WITHIN and rev == after.rev:
                placed = _behind(after.event, placed)
            yield from placed

    def _open(
        self, row: RunRow, after: Position, rev: int, rows: Sequence[StepRow], newer: Sequence[StepRow]
    ) -> Iterator[Placed]:
        """The events of the steps under way: only the last one of a walk lets the reader begin a new walk.

        Of a step that a commit has taken since the head was read, they are those before its end.
        """
        events: list[RunEvent] = []
        for one in newer:
            events += [event for event in attempt_events(row.id, read_attempt(one)) if event.type not in STEP_ENDS]
        for one in rows:
            if not one.rev:  # a commit has taken one that waits: it is in the history
                events += attempt_events(row.id, read_attempt(one))
        placed = [Placed(Position(rev, OPEN, event.id), event) for event in events]
        if placed:
            placed[-1] = Placed(Position(rev, WHOLE, events[-1].id), events[-1])
        yield from _behind(after.event, placed) if after.kind == OPEN and after.rev == rev else placed

    def _untold(self, row: RunRow, rev: int, told: ToldSteps, open_ones: Sequence[StepRow]) -> Iterator[Placed]:
        """The events of the steps under way that the reader was not told; each position says what it knows by then."""
        rows = [one for one in open_ones if not one.rev]
        told.keep((one.step, one.attempt) for one in rows)
        for one in rows:
            at = one.step, one.attempt
            known = told.of(at)
            for event in attempt_events(row.id, read_attempt(one), known) if known is not None else ():
                told.hear(at, event)
                yield Placed(Position(rev, TOLD, str(told)), event)

    def _committed(
        self, account: AccountId, run: RunId, after: int, until: int, newer: list[StepRow] | None = None
    ) -> Iterator[StepRow]:
        """The steps that commits up to `until` have taken; those of commits since then are added to `newer`."""
        before: set[tuple[str, int, int]] = set()
        while True:
            page = self._history.committed(account, run, after_rev=after, limit=PAGE)
            yield from (row for row in page if row.rev <= until and (row.step, row.attempt, row.rev) not in before)
            if newer is not None:
                newer += [row for row in page if row.rev > until]
            if len(page) < PAGE:
                return
            # A revision may have several rows (joins that it skipped), so the next page begins with the last one's.
            before = {(row.step, row.attempt, row.rev) for row in page if row.rev == page[-1].rev}
            after = page[-1].rev - 1


def end_event(row: RunRow, state: State) -> RunEvent:
    """How a run ended; its row has the time."""
    return run_event(row.id, ENDS[state.status], row.ended_at or 0, state.attempt, state.error)


def place(rev: int, events: Sequence[RunEvent]) -> list[Placed]:
    """The events of all steps that one commit took, in the order of the history: with the last one it is whole."""
    placed = [Placed(Position(rev, WITHIN, event.id), event) for event in events]
    if placed:
        placed[-1] = Placed(Position(rev, WHOLE, events[-1].id), events[-1])
    return placed


def _behind(event: str, placed: list[Placed]) -> list[Placed]:
    """What comes after an event; everything if it is not there, for its step may have moved on."""
    places = [index for index, one in enumerate(placed) if one.event.id == event]
    return placed[places[0] + 1 :] if places else placed
