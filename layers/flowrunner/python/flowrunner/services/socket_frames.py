"""What commits mean for who watches all runs of an account: starts and ends, and what their steps did.

The events are derived from the commits themselves, under the ids that the history has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowrunner.engine.feed import WHOLE, Placed, Position, end_event
from flowrunner.engine.heads import read_head
from flowrunner.engine.records import read_attempt
from flowrunner.engine.run_events import RunEvent, attempt_events, run_event
from flowrunner.errors import UnreadableRun
from flowrunner.ports.changes import RunMoved
from flowrunner.ports.history import step_order
from flowrunner.services.live_frames import frame
from flowrunner.services.socket_messages import ACCOUNT, sized_event


def account_messages(moved: Sequence[RunMoved], *, steps: bool) -> list[bytes]:
    """The messages to one who watches an account, in the order of the commits."""
    return [
        sized_event(ACCOUNT, frame(Placed(Position(0, WHOLE, event.id), event)))
        for change in moved
        for event in _events(change, steps=steps)
    ]


def _events(change: RunMoved, *, steps: bool) -> Iterator[RunEvent]:
    row = change.row
    try:
        state = read_head(row)
    except UnreadableRun:
        return  # a newer program goes on with it
    if change.created or change.reopened:
        yield run_event(row.id, "run.started", row.created_at, state.attempt)
    if steps:
        taken = [one for one in change.steps if one.rev]
        for one in sorted(taken, key=lambda one: (*step_order(one.step), one.attempt)):
            yield from attempt_events(row.id, read_attempt(one))
    if change.ended:
        yield end_event(row, state)
