"""Going on after a run has ended: from what failed or was cut off, or from one node with all that lies behind it.

What an early end cut off is *parked* in the head with everything needed to schedule it again: the same step ids, so
that a step that had finished meanwhile is taken over instead of executed again, and the same idempotency keys.
Values of `vars` are not taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flowrunner.core.advance import activate, arrive_at
from flowrunner.core.ending import move
from flowrunner.core.events import RedriveRequested
from flowrunner.core.foreach import resume
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import SETTLE, Entry, Phase, parent_of_item
from flowrunner.core.status import RunStatus
from flowrunner.core.turn import Rejected, Turn


def redrive(turn: Turn, event: RedriveRequested) -> None:
    """Apply the request. Raises `Rejected`, with words for whoever asked, when there is nothing to go on from."""
    if not turn.status.over:
        raise Rejected(f"the run is {turn.status}; only a run that has ended can be redriven")
    if SETTLE in turn.frontier:
        raise Rejected("the run's end is still being told to those who wait for it; try again in a moment")
    if event.node is None and not turn.parked:
        raise Rejected("no step of the run failed or was cut off; name the node to go on from")
    if event.node is not None and event.node not in turn.flow.nodes:
        raise Rejected(f"the flow has no node {event.node!r}")
    parked = turn.parked
    turn.parked = {}
    move(turn, RunStatus.RUNNING)
    turn.error = None
    turn.attempt += 1
    turn.steps = 0
    if turn.flow.timeout:
        turn.set_deadline(turn.now + turn.flow.timeout)
    if event.node is not None:
        parked = _forget_behind(turn, event.node, parked)
    _unpark(turn, parked)
    if event.node is not None:
        activate(turn, event.node, event.parent, event.via)


def _forget_behind(turn: Turn, node: NodeId, parked: Mapping[StepId, Entry]) -> Mapping[StepId, Entry]:
    """Drop what is known of `node` and of everything behind it, since it will run again.

    A join behind the node has used up its arrivals; those that come from elsewhere will not come a second time, so
    they are put back from what is known of the nodes they came from.
    """
    behind = set(turn.graph.members(turn.graph.reachable([node])))
    turn.nodes = {name: state for name, state in turn.nodes.items() if name not in behind}
    turn.joins = {join: state for join, state in turn.joins.items() if join not in behind}
    for join in turn.graph.joins:
        definition = turn.graph.node(join).join
        if join == node or join not in behind or definition is None:
            continue
        for need in definition.needs:
            ended = turn.nodes.get(need)
            if ended is not None:
                arrive_at(turn, join, need, ended.status, handled=ended.handled)
    kept = {step: entry for step, entry in parked.items() if entry.node not in behind}
    turn.maps = {step: state for step, state in turn.maps.items() if step in kept}
    return kept


def _without_child(turn: Turn, entry: Entry) -> Entry:
    """The run it waited for was cancelled with this one: a new attempt starts a new one."""
    return replace(
        entry,
        phase=Phase.READY,
        child=None,
        due=turn.now,
        attempt=entry.attempt + 1,
        spent=entry.attempt,
    )


def _unpark(turn: Turn, parked: Mapping[StepId, Entry]) -> None:
    """Schedule again what was cut off. Plain steps are held first, so that `limits.max_parallel` is kept."""
    for step, kept in parked.items():
        entry = _without_child(turn, kept) if kept.child else kept
        ended = turn.nodes.get(entry.node)
        # A later activation that ended before keeps the record: the next one's number counts from there.
        if ended is not None and ended.step == step and ended.n == entry.n:
            del turn.nodes[entry.node]
        if entry.phase is Phase.WAITING or parent_of_item(step) is not None:
            turn.put(step, entry)
        elif entry.phase is Phase.MAPPING:
            turn.frontier[step] = entry
        else:
            turn.put(step, replace(entry, phase=Phase.HELD))
    for step, entry in parked.items():
        if entry.phase is Phase.MAPPING:
            resume(turn, step)
