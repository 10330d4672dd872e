"""What a run lives on: the messages that have to come for it to go on, derived from its state.

The frontier is the outbox of a run, so whatever a queue has lost can be sent again from it; a message too many changes
nothing.
"""

from __future__ import annotations

from flowrunner.core.ids import Millis, StepId
from flowrunner.core.state import DEADLINE, SETTLE, Phase, State
from flowrunner.core.status import RunStatus
from flowrunner.engine.dispatch import ADMIT, POKE
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import RunRow

STILL: Millis = 300_000
"""A run of which something was due so long ago and that has not moved since may have lost its message."""


def owed(row: RunRow, state: State, now: Millis) -> list[Message]:
    """The messages of a run. Waits without a timer are owed a look: their answer may have come."""
    return [
        Message(Receipt(row.account, row.id, step, attempt), due, row.priority)
        for step, attempt, due in _owed(state, now)
    ]


def look_at(state: State, now: Millis) -> Millis | None:
    """When to look whether the run has moved on; None when it is owed nothing any more."""
    moments = [due for _, _, due in _owed(state, now)]
    return max(now, min(moments)) + STILL if moments else None


def owed_at(state: State, receipt: Receipt, now: Millis) -> Millis | None:
    """When this message of a run is due; None if it is not owed (any more)."""
    return next((due for step, attempt, due in _owed(state, now) if (step, attempt) == receipt[2:]), None)


def _owed(state: State, now: Millis) -> list[tuple[StepId, int, Millis]]:
    """Step, attempt and due time of each message."""
    if state.status.over:
        settling = state.frontier.get(SETTLE)
        return [(SETTLE, settling.attempt, settling.due)] if settling is not None else []
    if state.status is RunStatus.QUEUED:
        return [(StepId(ADMIT), 1, now)]
    found: list[tuple[StepId, int, Millis]] = []
    for step, entry in state.frontier.items():
        if entry.phase is Phase.READY or (entry.phase is Phase.WAITING and entry.due):
            found.append((step, entry.attempt, entry.due))
        elif entry.phase is Phase.WAITING:
            found.append((step, POKE, now))
    if state.deadline:
        found.append((DEADLINE, 1, state.deadline))
    return found
