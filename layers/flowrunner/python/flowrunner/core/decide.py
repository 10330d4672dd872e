"""The one entry point of the core: what happened, and what follows.

    decide(graph, state, event, now, draw) -> Decision(state', commands)

An event that does not fit (a duplicate, a late one) raises `Rejected` and changes nothing. Every decision counts
`rev` up by one; a store that writes the new head only where the old `rev` still stands makes the decision unique.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from flowrunner.core import events as ev
from flowrunner.core.advance import end_node, fail_node, look_at_joins
from flowrunner.core.commands import Decision
from flowrunner.core.ending import end, fail, move, start
from flowrunner.core.events import ErrorFacts, Event
from flowrunner.core.flow import DEFAULT, SKIPPED
from flowrunner.core.foreach import drop_items, end_item, expand
from flowrunner.core.graph import Graph
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.redrive import redrive
from flowrunner.core.retry import retry_delay, will_retry
from flowrunner.core.state import (
    MAX_FRONTIER,
    SETTLE,
    Entry,
    Phase,
    State,
    parent_of_item,
)
from flowrunner.core.status import RunStatus, StepStatus
from flowrunner.core.turn import Rejected, Turn

__all__ = ["Decision", "Rejected", "decide"]

STEP_LIMIT = "STEP_LIMIT_EXCEEDED"
HEAD_LIMIT = "LIMIT_HEAD"
RUN_TIMEOUT = "RUN_TIMEOUT"
OUTPUT_FAILED = "OUTPUT_FAILED"


def decide(graph: Graph, state: State, event: Event, now: Millis, draw: float = 0.5) -> Decision:
    """The state after `event` and the commands that follow.

    Arguments: `now`, the moment of the decision; `draw`, a random number from [0, 1) for jitter.
    Raises `Rejected` when the event does not fit the state, which is then as it was.
    """
    turn = Turn(graph, state, now, draw)
    _apply(turn, event)
    if not turn.status.over and turn.status is not RunStatus.QUEUED:
        _go_on(turn)
    return turn.freeze()


def _go_on(turn: Turn) -> None:
    """After every event of a running run: joins, limits, held steps, the end."""
    failed = look_at_joins(turn)
    if failed is not None:
        join, error = failed
        fail(turn, error, join)
    if turn.status.over:
        return
    if turn.steps > turn.flow.limits.max_steps:
        message = f"the run has started more than {turn.flow.limits.max_steps} steps; see limits.max_steps"
        fail_run(turn, ErrorFacts(STEP_LIMIT, message))
    elif len(turn.frontier) > MAX_FRONTIER:
        message = f"more than {MAX_FRONTIER} steps are scheduled at once; use foreach for a wide fan-out"
        fail_run(turn, ErrorFacts(HEAD_LIMIT, message))
    elif turn.deadline and turn.now >= turn.deadline:
        fail_run(turn, _timed_out(turn))
    elif not turn.frontier:
        end(turn, RunStatus.COMPLETED)
    if not turn.status.over:
        turn.release_held()


def fail_run(turn: Turn, error: ErrorFacts) -> None:
    """The run itself failed, not a node: no policy of the flow applies."""
    turn.error = error.record(NodeId(""))
    end(turn, RunStatus.FAILED)


def _apply(turn: Turn, event: Event) -> None:
    match event:
        case ev.RunStarted(queued):
            _require(turn.rev == 1, "the run was started already")
            if queued:
                turn.status = RunStatus.QUEUED
            else:
                start(turn)
        case ev.SlotGranted():
            _require(turn.status is RunStatus.QUEUED, "the run is not queued")
            move(turn, RunStatus.RUNNING)
            start(turn)
        case ev.CancelRequested(reason):
            _require(not turn.status.over, f"the run is {turn.status} already")
            turn.error = ErrorFacts("CANCELLED", reason).record(NodeId(""))
            end(turn, RunStatus.CANCELLED)
        case ev.RedriveRequested():
            redrive(turn, event)
        case ev.DeadlinePassed():
            _require_running(turn)
            _require(
                bool(turn.deadline) and turn.now >= turn.deadline,
                "the run's deadline has not come",
            )
        case ev.OutputFailed(error):
            _require_running(turn)
            fail_run(turn, error)
        case ev.RunSettled():
            _require(SETTLE in turn.frontier, "the run is settled already")
            del turn.frontier[SETTLE]
            turn.slot = None
        case _:
            _require_running(turn)
            _apply_to_step(turn, event)


StepEvent = (
    ev.StepSucceeded
    | ev.StepFailed
    | ev.StepSkipped
    | ev.StepExpanded
    | ev.StepWaiting
    | ev.SignalReceived
    | ev.TimerFired
)


def _apply_to_step(turn: Turn, event: StepEvent) -> None:
    entry = turn.entry(event.step, event.attempt)
    match event:
        case ev.StepSucceeded(step, _, action, keys, removed, secrets):
            _require_executable(entry)
            turn.note_secrets(secrets)
            if removed:
                turn.vars = {key: at for key, at in turn.vars.items() if key not in removed}
            if keys:
                turn.vars = {**turn.vars, **dict.fromkeys(keys, step)}
            _succeed(turn, step, entry, action)
        case ev.StepFailed(step, _, error, secrets):
            _require_executable(entry)
            turn.note_secrets(secrets)
            _fail_step(turn, step, entry, error)
        case ev.StepSkipped(step):
            _require_executable(entry)
            begun = parent_of_item(step) is not None or step in turn.maps
            _require(not begun, "a foreach that has begun, or an item of one, is not skipped")
            del turn.frontier[step]
            end_node(turn, step, entry, StepStatus.SKIPPED, SKIPPED)
        case ev.StepExpanded(step, _, count, secrets):
            _require_executable(entry)
            turn.note_secrets(secrets)
            expand(turn, step, entry, count)
        case ev.StepWaiting(step, _, until, child, secrets):
            _require_executable(entry)
            turn.note_secrets(secrets)
            turn.put(step, replace(entry, phase=Phase.WAITING, due=until, child=child))
        case ev.SignalReceived(step, _, action, error, secrets):
            _require(entry.phase is Phase.WAITING, f"step {step} does not wait")
            turn.note_secrets(secrets)
            if error is None:
                _succeed(turn, step, entry, action)
            else:
                # It gave up its place when it began to wait: a further try has to get one (items need none).
                item = parent_of_item(step) is not None
                phase = Phase.READY if item else Phase.HELD
                _fail_step(turn, step, replace(entry, phase=phase, child=None), error)
        case ev.TimerFired(step, _, action, secrets):
            _require(entry.phase is Phase.WAITING, f"step {step} does not wait")
            _require(0 < entry.due <= turn.now, f"the timer of step {step} is not due")
            turn.note_secrets(secrets)
            _succeed(turn, step, entry, action)
        case _:
            assert_never(event)


def _succeed(turn: Turn, step: StepId, entry: Entry, action: str) -> None:
    parent = parent_of_item(step)
    del turn.frontier[step]
    if parent is not None:
        end_item(turn, parent, step, entry.attempt)
        return
    if turn.maps.pop(step, None) is not None:
        action = DEFAULT  # a foreach ends by `default`, whatever actions its items gave
    end_node(turn, step, entry, StepStatus.SUCCEEDED, action)


def _fail_step(turn: Turn, step: StepId, entry: Entry, error: ErrorFacts) -> None:
    node = turn.graph.node(entry.node)
    tries = entry.attempt - entry.spent
    if will_retry(node, error, tries):
        due = turn.now + retry_delay(node.retry, tries, turn.draw, error.retry_after)
        turn.put(step, replace(entry, attempt=entry.attempt + 1, due=due))
        return
    del turn.frontier[step]
    again = {step: replace(entry, attempt=entry.attempt + 1, spent=entry.attempt, due=turn.now)}
    parent = parent_of_item(step)
    if parent is not None:
        failure = end_item(turn, parent, step, entry.attempt, error)
        if failure is None:
            return
        step, entry, error = parent, turn.frontier.pop(parent), failure
        again = {parent: replace(entry, attempt=entry.attempt + 1, spent=entry.attempt), **drop_items(turn, parent)}
    unhandled = fail_node(turn, step, entry, error)
    if unhandled is not None:
        fail(turn, unhandled, entry.node, again)
    else:
        turn.maps.pop(step, None)


def _timed_out(turn: Turn) -> ErrorFacts:
    seconds = (turn.flow.timeout or 0) / 1000
    return ErrorFacts(RUN_TIMEOUT, f"the run did not end within its timeout of {seconds:g} s")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Rejected(otherwise)


def _require_running(turn: Turn) -> None:
    _require(turn.status is RunStatus.RUNNING, f"the run is {turn.status}")


def _require_executable(entry: Entry) -> None:
    _require(
        entry.phase is Phase.READY,
        f"the step is not to be executed (phase {entry.phase})",
    )
