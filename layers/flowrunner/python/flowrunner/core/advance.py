"""What a step's end leads to: edges are followed, arrivals noted, joins looked at.

The rule of joins: a join is *ready* when none of its needed nodes can run any more (or again), that is, when no active
step sits at a node from which one of them can be reached. Then its mode decides. So a branch that was not taken never
blocks a join, and a join never fires while one of its branches may still arrive, be it for a second time.

Two of the rules are easy to get wrong, so here they are with their reason:

- Joins are looked at in an order in which one that leads to another comes first, and again from the start whenever
  one moved: a join that is about to run makes what lies behind it reachable.
- A join that got no arrival at all is looked at once in a run's attempt only (a branch that was not taken); without
  that, a join in a finished loop would fire again and again.
"""

from __future__ import annotations

from flowrunner.core.commands import RecordStep
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import DEFAULT, ERROR, SKIPPED, Flow, JoinMode, Node, OnError
from flowrunner.core.graph import Graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry, JoinState, NodeState
from flowrunner.core.status import StepStatus
from flowrunner.core.turn import Turn

JOIN_FAILED = "JOIN_FAILED"


def activate(
    turn: Turn,
    node: NodeId,
    parent: StepId | None,
    via: str | None,
    due: int | None = None,
) -> None:
    """Schedule a new step at `node`, reached from `parent` by the action `via`."""
    entry = Entry(
        node=node,
        parent=parent,
        via=via,
        due=turn.now if due is None else due,
        n=turn.activation(node),
    )
    turn.schedule(turn.new_step(), entry)


def follow(turn: Turn, node: Node, step: StepId, action: str) -> None:
    """Activate the targets of an action."""
    for target in node.next.get(action, ()):
        activate(turn, target, step, action)


def end_node(turn: Turn, step: StepId, entry: Entry, status: StepStatus, action: str) -> None:
    """The activation `step` ended without a failure, or with one that is handled along `action`."""
    node = turn.graph.node(entry.node)
    turn.node_ended(NodeState(step, status, action, entry.attempt, entry.n), node.id)
    follow(turn, node, step, action)
    arrive(turn, node.id, status, handled=True)


def fail_node(turn: Turn, step: StepId, entry: Entry, error: ErrorFacts) -> ErrorFacts | None:
    """The activation failed for good. Answers the error when nothing handles it and the flow has to."""
    node = turn.graph.node(entry.node)
    action = handling_action(turn.flow, node)
    if action is not None:
        end_node(turn, step, entry, StepStatus.FAILED, action)
        return None
    turn.node_ended(
        NodeState(step, StepStatus.FAILED, None, entry.attempt, entry.n, handled=False),
        node.id,
    )
    if not tolerated_by_join(turn.graph, node.id):
        return error
    arrive(turn, node.id, StepStatus.FAILED, handled=False)
    return None


def handling_action(flow: Flow, node: Node) -> str | None:
    """The action along which a failure of `node` goes on; None when it is unhandled."""
    if node.on_error is OnError.CONTINUE:
        return DEFAULT
    if ERROR in node.next:
        return ERROR
    return DEFAULT if flow.on_error is OnError.CONTINUE else None


def tolerated_by_join(graph: Graph, node: NodeId) -> bool:
    """Whether a join that copes with failures (`any`, `settled`) needs the node."""
    return any(_mode(graph, join) is not JoinMode.ALL for join in graph.needed_by.get(node, ()))


def arrive(turn: Turn, node: NodeId, status: StepStatus, *, handled: bool) -> None:
    """Note the end of `node` at every join that needs it."""
    for join in turn.graph.needed_by.get(node, ()):
        arrive_at(turn, join, node, status, handled=handled)


def arrive_at(turn: Turn, join: NodeId, node: NodeId, status: StepStatus, *, handled: bool) -> None:
    """Note an arrival. Arrivals are a set: a second one of the same node in a round takes the place of the first."""
    state = turn.joins.get(join, JoinState())
    turn.joins[join] = JoinState({**state.arrived, node: (status, handled)}, state.fired)


def look_at_joins(turn: Turn) -> tuple[NodeId, ErrorFacts] | None:
    """Let every join that is ready run, be skipped or fail, until none moves.

    Answers join and error when one failed and nothing handles that.
    """
    moved = bool(turn.graph.joins)
    while moved:
        reachable = turn.graph.reachable({entry.node for entry in turn.frontier.values()})
        for join in turn.graph.joins:
            moved, error = _look_at(turn, join, reachable)
            if error is not None:
                return join, error
            if moved:
                break
    return None


def _look_at(turn: Turn, join_id: NodeId, reachable: int) -> tuple[bool, ErrorFacts | None]:
    join = turn.graph.node(join_id).join
    assert join is not None, "graph.joins lists joins only"
    state = turn.joins.get(join_id)
    if state is None:
        if join_id in turn.nodes or any(entry.node == join_id for entry in turn.frontier.values()):
            return False, None
        state = JoinState()
    succeeded = any(status is StepStatus.SUCCEEDED for status, _ in state.arrived.values())
    if join.mode is JoinMode.ANY and succeeded and not state.fired:
        turn.joins[join_id] = JoinState(state.arrived, fired=True)
        activate(turn, join_id, None, None)
        return True, None
    if turn.graph.needs[join_id] & reachable:
        return False, None
    turn.joins.pop(join_id, None)
    if state.fired:
        return True, None
    return True, _decide_join(turn, join_id, join.mode, state)


def _decide_join(turn: Turn, join_id: NodeId, mode: JoinMode, state: JoinState) -> ErrorFacts | None:
    statuses = [status for status, _ in state.arrived.values()]
    unhandled = [node for node, (status, handled) in state.arrived.items() if not handled]
    if mode is JoinMode.SETTLED or (mode is JoinMode.ALL and StepStatus.SUCCEEDED in statuses and not unhandled):
        activate(turn, join_id, None, None)
        return None
    entry = Entry(join_id, n=turn.activation(join_id))
    step = turn.new_step()
    turn.steps += 1
    if mode is JoinMode.ANY and StepStatus.FAILED in statuses:
        failed = ", ".join(node for node, (status, _) in state.arrived.items() if status is StepStatus.FAILED)
        error = ErrorFacts(JOIN_FAILED, f"none of the needed nodes succeeded; failed: {failed}")
        turn.record(RecordStep(step, 1, join_id, entry.n, None, StepStatus.FAILED, error))
        return fail_node(turn, step, entry, error)
    turn.record(RecordStep(step, 1, join_id, entry.n, None, StepStatus.SKIPPED))
    end_node(turn, step, entry, StepStatus.SKIPPED, SKIPPED)
    return None


def _mode(graph: Graph, join: NodeId) -> JoinMode:
    found = graph.node(join).join
    assert found is not None, "needed_by names joins only"
    return found.mode
