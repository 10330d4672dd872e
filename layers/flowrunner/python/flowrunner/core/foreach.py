"""Running a node once per item.

The foreach step stays in the frontier (`MAPPING`) while a window of its items runs beside it. What is done is a set
of indexes, never a counter, so that an item that arrives twice changes nothing. When all items have ended the step
becomes ready again: its second execution collects the outputs.
"""

from __future__ import annotations

from dataclasses import replace

from flowrunner.core.commands import CancelChild, RecordStep
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import Foreach
from flowrunner.core.ids import StepId
from flowrunner.core.state import Entry, MapState, Phase, State, item_index, item_step
from flowrunner.core.status import StepStatus
from flowrunner.core.turn import Rejected, Turn

MAX_ITEMS = 100_000
"""Items of one foreach; the set of those that are done must fit the head."""


def collecting(state: State, step: StepId) -> bool:
    """Whether the step is a foreach whose items have all ended, so that its execution collects their outputs."""
    return step in state.maps and state.maps[step].finished


def expand(turn: Turn, step: StepId, entry: Entry, count: int) -> None:
    """The foreach has `count` items: start the first window."""
    if step in turn.maps or item_index(step) >= 0:
        raise Rejected(f"step {step} is expanded already")
    if not 0 < count <= MAX_ITEMS:
        raise Rejected(f"a foreach has 1 to {MAX_ITEMS} items")
    turn.frontier[step] = replace(entry, phase=Phase.MAPPING)
    turn.maps[step] = MapState(count=count)
    _fill_window(turn, step)


def resume(turn: Turn, step: StepId) -> None:
    """Take up a foreach after a redrive: items that failed run again, items in flight are in the frontier already.

    One whose items have all ended well is not taken up: it is to collect, and parked as such.
    """
    state = turn.maps[step]
    turn.maps[step] = replace(state, bad={}, again={**state.again, **state.bad})
    _fill_window(turn, step)


def end_item(
    turn: Turn,
    parent: StepId,
    step: StepId,
    attempt: int,
    error: ErrorFacts | None = None,
) -> ErrorFacts | None:
    """An item ended. Answers the error when the whole foreach fails by it."""
    state = turn.maps[parent]
    index = item_index(step)
    if error is None:
        turn.maps[parent] = state = replace(state, done=state.done | 1 << index)
    else:
        turn.maps[parent] = state = replace(state, bad={**state.bad, index: attempt})
        tolerated = _foreach(turn, parent).tolerated(state.count)
        if len(state.bad) > tolerated:
            return _failure(turn, parent, index, tolerated, error)
    if state.finished:
        turn.put(parent, replace(turn.frontier[parent], phase=Phase.READY, due=turn.now))
    else:
        _start_next(turn, parent)
    return None


def drop_items(turn: Turn, parent: StepId) -> dict[StepId, Entry]:
    """Take the items of a foreach out of the frontier; those in flight end and are recorded, but not taken.

    Runs that they wait for are cancelled.
    """
    prefix = f"{parent}["
    items = {step: entry for step, entry in turn.frontier.items() if step.startswith(prefix)}
    for step, entry in items.items():
        del turn.frontier[step]
        if entry.child:
            turn.commands.append(CancelChild(entry.child))
    return items


def _fill_window(turn: Turn, parent: StepId) -> None:
    prefix = f"{parent}["
    running = sum(1 for step in turn.frontier if step.startswith(prefix))
    for _ in range(_foreach(turn, parent).max_concurrency - running):
        if not _start_next(turn, parent):
            return


def _start_next(turn: Turn, parent: StepId) -> bool:
    """Start the item that is next, those that a redrive repeats first. False when all were started."""
    entry, state = turn.frontier[parent], turn.maps[parent]
    spent = 0
    if state.again:
        index = min(state.again)
        spent = state.again[index]
        state = replace(
            state,
            again={item: tries for item, tries in state.again.items() if item != index},
        )
    elif state.cursor < state.count:
        index = state.cursor
        state = replace(state, cursor=index + 1)
    else:
        return False
    turn.maps[parent] = state
    item = Entry(
        entry.node,
        entry.parent,
        entry.via,
        turn.now,
        Phase.READY,
        spent + 1,
        spent,
        entry.n,
    )
    turn.put(item_step(parent, index), item)
    return True


def _failure(turn: Turn, parent: StepId, index: int, tolerated: int, error: ErrorFacts) -> ErrorFacts:
    entry, state = turn.frontier[parent], turn.maps[parent]
    how = f"{len(state.bad)} of {state.count} items failed and {tolerated} are tolerated; " if tolerated else ""
    details = {
        **(error.details or {}),
        "index": index,
        "failed": len(state.bad),
        "count": state.count,
    }
    summary = ErrorFacts(error.code, f"{how}item {index}: {error.message}", details=details)
    turn.record(
        RecordStep(
            parent,
            entry.attempt,
            entry.node,
            entry.n,
            entry.parent,
            StepStatus.FAILED,
            summary,
        )
    )
    return summary


def _foreach(turn: Turn, step: StepId) -> Foreach:
    entry = turn.frontier[step]
    foreach = turn.graph.node(entry.node).foreach
    if foreach is None:
        raise Rejected(f"node {entry.node} has no foreach")
    return foreach
