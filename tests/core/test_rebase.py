"""Carrying an ended run over to another revision of its flow (R11)."""

from __future__ import annotations

import pytest
from flowrunner.core.flow import Flow, Foreach
from flowrunner.core.graph import build_graph
from flowrunner.core.ids import NodeId
from flowrunner.core.rebase import rebase
from flowrunner.core.state import JoinState, State
from flowrunner.core.status import StepStatus
from flowrunner.core.turn import Rejected

from tests.builders import flow
from tests.core.harness import Run

OK, FAILED = (StepStatus.SUCCEEDED, True), (StepStatus.FAILED, False)


def failed(subject: Flow, *done: str, at: str) -> State:
    """A run in which `done` succeeded and `at` failed."""
    run = Run(subject)
    run.start()
    for label in done:
        run.ok(label)
    run.fail(at)
    return run.state


def carried(state: State, clauses: str) -> State:
    return rebase(state, build_graph(flow(clauses)))


def test_what_has_ended_stays_and_what_is_gone_is_forgotten() -> None:
    """R11: nodes that the revision lacks are dropped; the step to go on from, vars and counters stay as they are."""
    state = failed(flow("a -> b; b -> c"), "a", "b", at="c")
    after = carried(state, "a -> c; c -> d")
    assert set(state.nodes) == {"a", "b", "c"}
    assert set(after.nodes) == {"a", "c"}
    assert after.nodes[NodeId("a")] == state.nodes[NodeId("a")]
    assert (after.parked, after.rev, after.status, after.error) == (state.parked, state.rev, state.status, state.error)


def test_a_new_join_takes_what_has_ended_before() -> None:
    """R11: its needs have arrived as they ended, were it before the revision had the join; the others may come."""
    state = failed(flow("a; b; c"), "a", at="c")
    after = carried(state, "a; b; c; j needs a, b; k needs b; m needs c settled")
    assert after.joins == {
        "j": JoinState({NodeId("a"): OK}),
        "m": JoinState({NodeId("c"): FAILED}),
    }


def test_a_join_needs_what_the_revision_says() -> None:
    """R11: arrivals of nodes that it needs no more are gone, and such of nodes that it needs now are there."""
    state = failed(flow("a; b; c; j needs a, c"), "a", "b", at="c")
    assert set(state.joins[NodeId("j")].arrived) == {"a"}
    assert carried(state, "a; b; c; j needs b, c").joins == {"j": JoinState({NodeId("b"): OK, NodeId("c"): FAILED})}


def test_a_join_that_has_run_is_not_run_again() -> None:
    """R11: what is left of its round is kept; a join of the old flow that has fired remembers that."""
    state = failed(flow("a; b; j needs a, b any; j -> c"), "a", "j", at="c")
    assert state.joins == {"j": JoinState({NodeId("a"): OK}, fired=True)}
    after = carried(state, "a; b; j needs a, b any; j -> c; d needs c")
    assert after.joins == {**state.joins, NodeId("d"): JoinState({NodeId("c"): FAILED})}
    over = failed(flow("a; j needs a; j -> c"), "a", "j", at="c")
    assert over.joins == {}
    assert carried(over, "a; j needs a; j -> c").joins == {"j": JoinState()}


def test_a_join_that_was_cut_off_keeps_its_round() -> None:
    """R11: it is scheduled already, so its needs do not arrive a second time."""
    run = Run(flow("a; x; j needs a"))
    run.start()
    run.ok("a")
    run.fail("x")
    assert "j" in {entry.node for entry in run.state.parked.values()}
    assert carried(run.state, "a; x; j needs a").joins == {"j": JoinState()}


def test_a_node_that_is_gone_is_named() -> None:
    """R11: the step that was cut off has nowhere to go; whoever asked may name another node."""
    state = failed(flow("a -> b"), "a", at="b")
    with pytest.raises(Rejected, match=r"^the revision has no node 'b', at which the run was cut off; name a node"):
        carried(state, "a")


def test_items_need_a_foreach() -> None:
    """R8 and R11: a foreach under way, or an item of one, goes on only where the node still is one."""
    each = {"a": {"foreach": Foreach("x", max_concurrency=1)}}
    run = Run(flow("a; b", nodes=each))
    run.start()
    run.expand("a", 2)
    run.ok("a[0]")
    run.fail("b")
    assert rebase(run.state, build_graph(flow("a; b; c", nodes=each))).maps == run.state.maps
    words = "^node 'a' is no foreach in that revision, and its items were cut off$"
    with pytest.raises(Rejected, match=words):
        carried(run.state, "a; b")
    only_item = {step: entry for step, entry in run.state.parked.items() if "[" in step}
    assert only_item
    with pytest.raises(Rejected, match=words):
        carried(State(parked=only_item), "a; b")
    waits = Run(flow("a", nodes=each))
    waits.start()
    waits.cancel()
    assert carried(waits.state, "a").parked == waits.state.parked, "it had not begun, so it may become a plain node"
