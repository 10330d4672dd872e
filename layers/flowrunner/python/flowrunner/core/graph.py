"""The shape of a flow: who reaches whom.

Sets of nodes are integers used as bit sets (bit i is the i-th node of the document), so that "can this join still get
an arrival?" is one `&`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flowrunner.core.flow import Flow, Node
from flowrunner.core.ids import NodeId


@dataclass(frozen=True, slots=True)
class Graph:
    """A flow with what can be computed from its edges once.

    `reach[i]` holds node i and everything that its edges, of either kind and any action, lead to. `joins` is in the
    order in which joins are looked at: one that reaches another comes before it. `needs` is the bit set of each join's
    needed nodes, `needed_by` names the joins that need a node.
    """

    flow: Flow
    index: Mapping[NodeId, int]
    reach: tuple[int, ...]
    joins: tuple[NodeId, ...]
    needs: Mapping[NodeId, int]
    needed_by: Mapping[NodeId, tuple[NodeId, ...]]

    def node(self, node_id: NodeId) -> Node:
        return self.flow.nodes[node_id]

    def mask(self, nodes: Iterable[NodeId]) -> int:
        """The bit set of `nodes`; ids that the flow does not have are left out."""
        result = 0
        for node in nodes:
            position = self.index.get(node)
            if position is not None:
                result |= 1 << position
        return result

    def reachable(self, nodes: Iterable[NodeId]) -> int:
        """The bit set of everything that is in `nodes` or reachable from there."""
        result = 0
        for node in nodes:
            position = self.index.get(node)
            if position is not None:
                result |= self.reach[position]
        return result

    def members(self, mask: int) -> tuple[NodeId, ...]:
        """The nodes of a bit set, in the document's order."""
        return tuple(node for node, position in self.index.items() if mask >> position & 1)


def build_graph(flow: Flow) -> Graph:
    """Compute the graph of a compiled flow (whose edges name existing nodes)."""
    index = {node: position for position, node in enumerate(flow.nodes)}
    needed_by: dict[NodeId, list[NodeId]] = {}
    for node in flow.nodes.values():
        for needed in node.join.needs if node.join else ():
            needed_by.setdefault(needed, []).append(node.id)
    edges = [_successors(node, needed_by, index) for node in flow.nodes.values()]
    reach = _closure(edges)
    needs = {
        node.id: sum(1 << index[needed] for needed in node.join.needs) for node in flow.nodes.values() if node.join
    }
    join_mask = sum(1 << index[join] for join in needs)
    # What a join reaches holds all that a join behind it reaches and that join, hence the sizes give the order.
    joins = sorted(
        needs,
        key=lambda join: (-(reach[index[join]] & join_mask).bit_count(), index[join]),
    )
    by_node = {node: tuple(waiting) for node, waiting in needed_by.items()}
    return Graph(flow, index, reach, tuple(joins), needs, by_node)


def _successors(node: Node, needed_by: Mapping[NodeId, list[NodeId]], index: Mapping[NodeId, int]) -> list[int]:
    targets = [target for group in node.next.values() for target in group]
    return [index[target] for target in [*targets, *needed_by.get(node.id, ())]]


def _closure(edges: list[list[int]]) -> tuple[int, ...]:
    """Reachability, each node included in its own set.

    Sets are filled in the order in which a depth-first search leaves the nodes, so one pass is enough without cycles
    and few are with them.
    """
    order = _postorder(edges)
    reach = [1 << node for node in range(len(edges))]
    changed = True
    while changed:
        changed = False
        for node in order:
            grown = reach[node]
            for target in edges[node]:
                grown |= reach[target]
            if grown != reach[node]:
                reach[node] = grown
                changed = True
    return tuple(reach)


def _postorder(edges: list[list[int]]) -> list[int]:
    order: list[int] = []
    seen = [False] * len(edges)
    for root in range(len(edges)):
        if seen[root]:
            continue
        seen[root] = True
        stack = [(root, iter(edges[root]))]
        while stack:
            node, rest = stack[-1]
            for target in rest:
                if not seen[target]:
                    seen[target] = True
                    stack.append((target, iter(edges[target])))
                    break
            else:
                stack.pop()
                order.append(node)
    return order
