"""How far a run is, 0 to 100: the share of the nodes that have ended among those that have or still may.

A run cannot know which branches it will take, so this is an estimate that is right at the end and never goes back.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowrunner.core.graph import Graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry, MapState, NodeState
from flowrunner.core.status import RunStatus


def progress_of(
    graph: Graph,
    before: int,
    status: RunStatus,
    frontier: Mapping[StepId, Entry],
    nodes: Mapping[NodeId, NodeState],
    maps: Mapping[StepId, MapState],
) -> int:
    """The progress after a decision, at least `before`; 100 for a completed run and, since progress never goes back,
    for one that goes on by a redrive after that.
    """
    if status is RunStatus.COMPLETED:
        return 100
    if before >= 99 or not frontier:
        return before
    ended = graph.mask(nodes)
    open_nodes = graph.reachable({entry.node for entry in frontier.values()}) & ~ended
    done = float(ended.bit_count())
    for step, state in maps.items():
        entry = frontier.get(step)
        if entry is not None and entry.node not in nodes:
            done += (state.done.bit_count() + len(state.bad)) / state.count
    total = ended.bit_count() + open_nodes.bit_count()
    return max(before, min(99, int(100 * done / total))) if total else before
