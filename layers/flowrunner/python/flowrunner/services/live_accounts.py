"""Starts and ends of all runs of an account: what of them was told, and how those of other processes are found."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.core.state import State
from flowrunner.core.status import LIVE, TERMINAL
from flowrunner.engine.feed import WHOLE, Placed, Position, end_event
from flowrunner.engine.heads import read_head
from flowrunner.engine.run_events import RunEvent, run_event
from flowrunner.engine.watch import Change
from flowrunner.errors import UnreadableRun
from flowrunner.ports.history import RunFilter, RunHistory
from flowrunner.ports.runs import RunRow, RunStore
from flowrunner.services.live_frames import Frame, frame

if TYPE_CHECKING:
    from flowrunner.services.live_readers import Subscription

AT_ONCE = 500
OVERLAP: Millis = 60_000
"""Runs are looked for this far back: the clocks of two processes differ, and a write takes its time."""
REMEMBERED = 10_000
"""Runs whose start and end were told, so that neither is told twice."""


class AccountChannel:
    """What was told of an account's runs."""

    def __init__(self, account: AccountId, since: Millis, live: Sequence[RunRow], recent: Sequence[RunRow]) -> None:
        self.account = account
        self.since = since
        """Runs that were created before are known."""
        self.live: dict[RunId, int] = {row.id: row.rev for row in live}
        """Runs that have not ended, with their revision as last seen."""
        self.members: list[Subscription] = []
        self.relayed: set[RunId] = set()
        """Live runs whose steps are passed on, or were."""
        self._started: OrderedDict[RunId, int] = OrderedDict((row.id, 1) for row in (*live, *recent))
        self._ended: OrderedDict[RunId, int] = OrderedDict(
            (row.id, state.attempt) for row, state in _readable(recent) if row.status in TERMINAL
        )

    @property
    def wants_steps(self) -> bool:
        return any(member.steps for member in self.members)

    def to_relay(self, most: int) -> list[RunId]:
        """Live runs whose steps are to be passed on from now on; `relayed` has all of them then, and no others."""
        wanted = list(self.live)[:most] if self.wants_steps else []
        new = [run for run in wanted if run not in self.relayed]
        self.relayed.update(wanted)
        self.relayed.intersection_update(wanted)
        return new

    def see(self, row: RunRow, state: State) -> list[Frame]:
        """The frames of a run's start and end that were not told."""
        found: list[Frame] = []
        known = self._started.get(row.id, 0)
        if known == 0 or (not state.status.over and row.id not in self.live and known < state.attempt):
            _remember(self._started, row.id, state.attempt)
            found.append(_frame(run_event(row.id, "run.started", row.created_at, state.attempt)))
        if not state.status.over:
            self.live[row.id] = row.rev
            return found
        self.live.pop(row.id, None)
        self.relayed.discard(row.id)
        if self._ended.get(row.id, 0) < state.attempt:
            _remember(self._ended, row.id, state.attempt)
            found.append(_frame(end_event(row, state)))
        return found


def known_runs(history: RunHistory, account: AccountId, now: Millis) -> AccountChannel:
    """A channel that knows the runs of now. It reads the store."""
    live = history.runs(account, RunFilter(statuses=LIVE, limit=AT_ONCE))
    recent = history.runs(account, RunFilter(created_from=now - OVERLAP, limit=AT_ONCE))
    return AccountChannel(account, now - OVERLAP, live, recent)


def new_runs(
    history: RunHistory, runs: RunStore, channel: AccountChannel, now: Millis
) -> Sequence[tuple[RunRow, State]]:
    """Runs that are new, or have moved. It reads the store."""
    found = list(history.runs(channel.account, RunFilter(created_from=channel.since, limit=AT_ONCE)))
    channel.since = max(channel.since, now - OVERLAP)
    listed = {row.id for row in found}
    rest = [(channel.account, run) for run in list(channel.live) if run not in listed]
    for key, row in zip(rest, runs.load(rest) if rest else (), strict=True):
        if row is None:
            channel.live.pop(key[1], None)
        else:
            found.append(row)
    return list(_readable(row for row in reversed(found) if channel.live.get(row.id) != row.rev))


def row_after(change: Change) -> RunRow:
    """The row as a commit of this process left it, as far as events need it."""
    row, state = change.view.row, change.state
    return replace(row, rev=state.rev, status=state.shown_status, ended_at=change.at if change.ended else None)


def _readable(rows: Iterable[RunRow]) -> Iterator[tuple[RunRow, State]]:
    """The rows with their states; a run that this program cannot read tells it nothing."""
    for row in rows:
        with suppress(UnreadableRun):
            yield row, read_head(row)


def _frame(event: RunEvent) -> Frame:
    return frame(Placed(Position(0, WHOLE, event.id), event))


def _remember(where: OrderedDict[RunId, int], run: RunId, attempt: int) -> None:
    where[run] = attempt
    where.move_to_end(run)
    if len(where) > REMEMBERED:
        where.popitem(last=False)
