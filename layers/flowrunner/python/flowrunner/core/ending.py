"""How a run ends, and how it starts again from nothing."""

from __future__ import annotations

from collections.abc import Mapping

from flowrunner.core.advance import activate
from flowrunner.core.commands import EndRun
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import OnError
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.retry import retry_delay
from flowrunner.core.state import SETTLE, Entry
from flowrunner.core.status import TRANSITIONS, RunStatus
from flowrunner.core.turn import Rejected, Turn


def start(turn: Turn, delay: Millis = 0) -> None:
    """Activate the first nodes, and set the run's deadline when it begins."""
    if turn.flow.timeout and not turn.deadline:
        turn.set_deadline(turn.now + turn.flow.timeout)
    for node in turn.flow.start:
        activate(turn, node, None, None, turn.now + delay)


def end(turn: Turn, status: RunStatus) -> None:
    """The run is over. Those who wait for its end are told by one last step, which the frontier owes like any."""
    move(turn, status)
    turn.park()
    turn.deadline = 0
    turn.commands.append(EndRun(status))
    if turn.before.parent or turn.slot:
        turn.put(SETTLE, Entry(node=NodeId(SETTLE), due=turn.now))


def fail(
    turn: Turn,
    error: ErrorFacts,
    node: NodeId,
    again: Mapping[StepId, Entry] | None = None,
) -> None:
    """Nothing handled a failure: do what the flow's `on_error` says.

    `again` holds the entries with which a redrive repeats what failed.
    """
    policy = turn.flow.retry_run
    if turn.flow.on_error is OnError.RETRY_RUN and turn.retries + 1 < policy.max_attempts:
        restart(turn, retry_delay(policy, turn.retries + 1, turn.draw, error.retry_after))
        return
    turn.error = error.record(node)
    end(turn, RunStatus.FAILED)
    turn.parked = {**turn.parked, **(again or {})}


def restart(turn: Turn, delay: Millis) -> None:
    """Start the run again from nothing; only its history, its deadline and its counters stay."""
    turn.park()
    turn.parked = {}
    turn.nodes, turn.joins, turn.maps, turn.vars = {}, {}, {}, {}
    turn.attempt += 1
    turn.retries += 1
    start(turn, delay)


def move(turn: Turn, status: RunStatus) -> None:
    """Change the status along the table. Raises `Rejected` for a transition that it does not have."""
    if status not in TRANSITIONS[turn.status]:
        raise Rejected(f"a run that is {turn.status} cannot become {status}")
    turn.status = status
