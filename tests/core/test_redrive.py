"""Going on after a run has ended (R11)."""

from __future__ import annotations

import pytest
from flowrunner.core.commands import ScheduleStep
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.events import RedriveRequested
from flowrunner.core.flow import Foreach
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import Entry

from tests.builders import flow, retry
from tests.core.harness import Run


def test_a_failed_step_gets_a_new_attempt_and_a_fresh_budget() -> None:
    """R11: same step, next attempt, and as many tries as the policy gives."""
    run = Run(flow("a", nodes={"a": {"retry": retry(2)}}))
    run.start()
    run.fail("a", retryable=True)
    run.fail("a", retryable=True)
    assert run.status == "failed"
    run.redrive()
    entry = run.state.frontier[StepId("1.0")]
    assert (entry.attempt, entry.spent, run.state.attempt) == (3, 2, 2)
    run.fail("a", retryable=True)
    assert run.status == "running"
    run.ok("a")
    assert run.status == "completed"


def test_steps_in_flight_go_on_as_they_were() -> None:
    """R11: same step and attempt, so a result that came meanwhile is taken over; their messages are owed again."""
    run = Run(flow("a; b"))
    run.start()
    run.fail("a")
    decision = run.redrive()
    assert set(decision.commands) == {
        ScheduleStep(StepId("1.0"), 2, run.now),
        ScheduleStep(StepId("1.1"), 1, run.now),
    }


def test_a_redrive_keeps_max_parallel() -> None:
    """R6: what was cut off is held again as far as there is no place."""
    run = Run(flow("a; b; c", max_parallel=2))
    run.start()
    run.cancel()
    run.redrive()
    assert run.phases == {"a": "r", "b": "r", "c": "h"}


def test_waits_go_on() -> None:
    """R11: a step that waited for a person still does, with its timer."""
    run = Run(flow("a; b"))
    run.start()
    run.wait("a", run.now + 500)
    run.fail("b")
    decision = run.redrive()
    assert ScheduleStep(StepId("1.0"), 1, run.now + 500) in decision.commands
    assert run.phases == {"a": "w", "b": "r"}


def test_a_wait_for_a_child_begins_anew() -> None:
    """R11: the child run was cancelled with this one, so a new attempt starts another."""
    run = Run(flow("a"))
    run.start()
    run.wait("a", child=True)
    run.cancel()
    run.redrive()
    entry = run.state.frontier[StepId("1.0")]
    assert (entry.phase.value, entry.attempt, entry.child) == ("r", 2, None)


def test_a_named_node_runs_again_with_all_behind_it() -> None:
    """R11: what lies behind is forgotten, the rest stays."""
    run = Run(flow("a -> b; b -> c; x"))
    run.start()
    for label in ("a", "x", "b", "c"):
        run.ok(label)
    run.redrive("b")
    assert run.active == ["b"]
    assert set(run.state.nodes) == {"a", "x"}
    run.ok("b")
    run.ok("c")
    assert run.status == "completed"


def test_a_named_node_is_reached_as_it_was_before() -> None:
    """R11: what it sees as `prev` is the output of the step that led to it."""
    run = Run(flow("a"))
    run.start()
    run.ok("a")
    event = RedriveRequested(NodeId("a"), StepId("1.7"), "again")
    state = decide(run.graph, run.state, event, 2_000).state
    assert state.frontier == {StepId("3.0"): Entry(NodeId("a"), StepId("1.7"), "again", 2_000)}


def test_a_join_behind_keeps_what_came_from_elsewhere() -> None:
    """R11: arrivals of branches that do not run again are put back."""
    run = Run(flow("a; b; j needs a, b"))
    run.start()
    for label in ("a", "b", "j"):
        run.ok(label)
    run.redrive("a")
    assert set(run.state.joins[NodeId("j")].arrived) == {"b"}
    run.skip("a")
    assert run.active == ["j"]


def test_joins_beside_the_named_node_are_left_alone() -> None:
    """R11: one that waits goes on waiting for what it lacks, and one that has run does not run again."""
    run = Run(flow("x; y; early needs x; late needs x, y; a; b; k needs a, b"))
    run.start()
    for label in ("x", "early", "a", "b"):
        run.ok(label)
    run.fail("y")
    run.redrive("a")
    assert run.active == ["a", "y"]
    arrived = {join: set(state.arrived) for join, state in run.state.joins.items()}
    assert arrived == {"late": {"x"}, "k": {"b"}}


def test_a_named_join_runs_at_once() -> None:
    """R11: naming a join means running it, whoever has arrived."""
    run = Run(flow("a; j needs a"))
    run.start()
    run.skip("a")
    run.redrive("j")
    assert run.active == ["j"]


def test_a_named_node_lets_the_other_parked_steps_go_on() -> None:
    """R11: what was cut off elsewhere is taken up as well; what lies behind the node is not."""
    run = Run(flow("a -> b; c"))
    run.start()
    run.ok("a")
    run.fail("b")
    run.redrive("a")
    assert run.active == ["a", "c"]


def test_only_unfinished_items_run_again() -> None:
    """R8 and R11: those that failed first, with a new attempt, and those in flight; done ones stay done."""
    foreach = Foreach("x", max_concurrency=2, tolerate=1)
    run = Run(flow("a", nodes={"a": {"foreach": foreach}}))
    run.start()
    run.expand("a", 5)
    run.ok("a[0]")
    run.fail("a[1]")
    run.fail("a[2]")
    assert run.status == "failed"
    run.redrive()
    attempts = {label: run.state.frontier[run.step(label)].attempt for label in run.phases if label != "a"}
    assert attempts == {"a[3]": 1, "a[1]": 2}
    run.ok("a[1]")
    assert "a[2]" in run.active
    for label in ("a[2]", "a[3]", "a[4]", "a"):
        run.ok(label)
    assert run.status == "completed"


def test_an_item_that_waited_for_a_child_begins_anew() -> None:
    """R11: as any step."""
    run = Run(flow("a", nodes={"a": {"foreach": Foreach("x")}}))
    run.start()
    run.expand("a", 1)
    run.wait("a[0]", child=True)
    run.cancel()
    run.redrive()
    entry = run.state.frontier[StepId("1.0[0]")]
    assert (entry.phase.value, entry.attempt, entry.child) == ("r", 2, None)


def test_an_item_whose_child_has_answered_stays_done() -> None:
    """R11: only what had not ended well runs again, however it came to its end."""
    run = Run(flow("a", nodes={"a": {"foreach": Foreach("x", max_concurrency=1)}}))
    run.start()
    run.expand("a", 2)
    run.wait("a[0]", child=True)
    run.signal("a[0]")
    run.cancel()
    run.redrive()
    assert run.active == ["a", "a[1]"]


def test_a_named_foreach_forgets_its_items() -> None:
    """R11: run from the node, it starts with its list."""
    run = Run(flow("a", nodes={"a": {"foreach": Foreach("x")}}))
    run.start()
    run.expand("a", 2)
    run.ok("a[0]")
    run.fail("a[1]")
    run.redrive("a")
    assert run.active == ["a"]
    assert run.state.maps == {}


def test_activation_numbers_are_not_given_twice() -> None:
    """R1 and R11: an older activation that failed after a younger one had ended does not reset the count."""
    run = Run(flow("a -> c; b -> c; c -again-> c"))
    run.start()
    run.ok("a")
    run.ok("b")
    run.ok("c.2")
    run.fail("c")
    run.redrive()
    run.ok("c", "again")
    assert run.active == ["c.3"]


def test_progress_does_not_go_back() -> None:
    """R10: not even when a completed run is redriven."""
    run = Run(flow("a -> b"))
    run.start()
    run.ok("a")
    assert run.state.progress == 50
    run.fail("b")
    run.redrive("a")
    assert run.state.progress == 50
    run.ok("a")
    run.ok("b")
    run.redrive("a")
    assert run.state.progress == 100


def test_a_new_deadline() -> None:
    """R11: a redrive has the whole timeout again, and as many steps."""
    run = Run(flow("a -> b", timeout=1_000, max_steps=2))
    run.start()
    run.ok("a")
    run.now += 1_000
    run.ok("b")
    assert run.error == "RUN_TIMEOUT"
    decision = run.redrive("a")
    assert ScheduleStep(StepId("deadline"), 1, run.now + 1_000) in decision.commands
    assert run.state.steps == 1


@pytest.mark.parametrize(
    ("moves", "node", "words"),
    [
        ((), None, "only a run that has ended"),
        (("ok",), None, "name the node"),
        (("ok",), "zzz", "no node 'zzz'"),
    ],
)
def test_what_cannot_be_redriven(moves: tuple[str, ...], node: str | None, words: str) -> None:
    """R13: and the person who asked is told why."""
    run = Run(flow("a"))
    run.start()
    for _ in moves:
        run.ok("a")
    with pytest.raises(Rejected, match=words):
        decide(run.graph, run.state, RedriveRequested(NodeId(node) if node else None), run.now)
