"""Carrying the state of an ended run over to another revision of its flow, so that a redrive can go on with it.

What has happened stays: ended nodes that the revision still has count as they ended. What is to go on must fit: a
step that was cut off needs its node, a foreach its items. Joins that have not run are put together from what is known
of the nodes that they need *now*.
"""

from __future__ import annotations

from dataclasses import replace

from flowrunner.core.graph import Graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry, JoinState, Phase, State, parent_of_item
from flowrunner.core.turn import Rejected


def rebase(state: State, graph: Graph) -> State:
    """The state as `graph` has to see it. Raises `Rejected`, naming the node, when it cannot go on there."""
    for step, entry in state.parked.items():
        _check(step, entry, graph)
    nodes = {name: ended for name, ended in state.nodes.items() if name in graph.index}
    cut_off = {entry.node for entry in state.parked.values()}
    joins: dict[NodeId, JoinState] = {}
    for join in graph.joins:
        definition = graph.node(join).join
        assert definition is not None, "the graph's joins have needs"
        if join in nodes or join in cut_off:
            joins[join] = state.joins.get(join, JoinState())
            continue
        ended = {need: nodes[need] for need in definition.needs if need in nodes}
        if ended:
            joins[join] = JoinState({need: (one.status, one.handled) for need, one in ended.items()})
    return replace(state, nodes=nodes, joins=joins)


def _check(step: StepId, entry: Entry, graph: Graph) -> None:
    if entry.node not in graph.index:
        raise Rejected(
            f"the revision has no node {entry.node!r}, at which the run was cut off; name a node to go on from"
        )
    items = entry.phase is Phase.MAPPING or parent_of_item(step) is not None
    if items and graph.node(entry.node).foreach is None:
        raise Rejected(f"node {entry.node!r} is no foreach in that revision, and its items were cut off")
