"""When a join fires, is skipped or fails (R4, R5)."""

from __future__ import annotations

import pytest
from flowrunner.core.commands import RecordStep
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import OnError
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import NodeState
from flowrunner.core.status import StepStatus

from tests.builders import flow
from tests.core.harness import Run

END = {"ok": Run.ok, "skip": Run.skip, "fail": Run.fail}


def play(run: Run, *moves: str) -> None:
    """Start and play moves such as `ok a` or `fail b`."""
    run.start()
    for move in moves:
        kind, label = move.split()
        END[kind](run, label)


@pytest.mark.parametrize(
    ("mode", "moves", "result"),
    [
        ("all", ["ok a", "ok b"], "runs"),
        ("all", ["ok a", "skip b"], "runs"),
        ("all", ["skip a", "skip b"], "skipped"),
        ("all", ["ok a"], "waits"),
        ("any", ["ok a"], "runs"),
        ("any", ["skip a"], "waits"),
        ("any", ["skip a", "ok b"], "runs"),
        ("any", ["skip a", "skip b"], "skipped"),
        ("any", ["fail a", "skip b"], "JOIN_FAILED"),
        ("any", ["fail a", "fail b"], "JOIN_FAILED"),
        ("any", ["fail a", "ok b"], "runs"),
        ("settled", ["ok a"], "waits"),
        ("settled", ["fail a", "fail b"], "runs"),
        ("settled", ["skip a", "skip b"], "runs"),
    ],
)
def test_modes(mode: str, moves: list[str], result: str) -> None:
    """R5: what each mode makes of its arrivals."""
    run = Run(flow(f"a; b; j needs a, b {mode}"))
    play(run, *moves)
    if result == "runs":
        assert "j" in run.active
    elif result == "waits":
        assert "j" not in run.active
        assert run.ended("j") is None
    elif result == "skipped":
        assert run.ended("j") == "skipped"
        assert run.status == "completed"
    else:
        assert run.error == result
        assert run.ended("j") == "failed"


def test_a_failure_that_is_handled_lets_an_all_join_run() -> None:
    """R3 and R5: only unhandled failures keep an `all` join from running."""
    run = Run(flow("a -error-> e; b; j needs a, b"))
    play(run, "fail a", "ok b", "ok e")
    assert run.active == ["j"]


def test_an_unhandled_failure_that_another_join_tolerates_skips_the_all_join() -> None:
    """R3 and R5: the `settled` join keeps the run alive; the `all` join beside it is skipped."""
    run = Run(flow("a; b; s needs a, b settled; j needs a, b"))
    play(run, "fail a", "ok b")
    assert run.active == ["s"]
    assert run.ended("j") == "skipped"


def test_a_failure_that_only_an_all_join_waits_for_fails_the_run_at_once() -> None:
    """R3: an `all` join tolerates nothing, and what was scheduled beside is parked."""
    run = Run(flow("a; b; j needs a, b"))
    play(run, "fail a")
    assert run.status == "failed"
    assert [entry.node for entry in run.state.parked.values()] == ["b", "a"]


def test_a_branch_that_was_not_taken_does_not_block() -> None:
    """R5: a need that cannot run any more is not waited for."""
    run = Run(flow("c -left-> l; c -right-> r; j needs l, r"))
    run.start()
    run.ok("c", "left")
    run.ok("l")
    assert run.active == ["j"]


def test_a_join_waits_while_a_branch_may_still_arrive() -> None:
    """R5: some steps away is not too far, and neither is a step that waits or is held."""
    run = Run(flow("a; b -> c; c -> d; d -> e; j needs a, e settled", max_parallel=1))
    run.start()
    run.ok("a")
    run.wait("b")
    assert run.active == ["b"]
    run.signal("b")
    for label in ("c", "d"):
        run.ok(label)
        assert "j" not in run.active
    run.ok("e")
    assert run.active == ["j"]


def test_any_fires_once_in_a_round() -> None:
    """R5: `any` starts at the first success and ignores what comes later in the round."""
    run = Run(flow("a; b; c; j needs a, b, c any"))
    play(run, "ok a", "ok b", "ok j", "fail c")
    assert run.status == "completed"
    assert run.state.nodes[NodeId("j")].n == 1


def test_a_join_in_a_loop_fires_once_per_round() -> None:
    """R5: arrivals are cleared when the join is decided, so the next round needs its own."""
    run = Run(flow("a -> b, c; j needs b, c; j -again-> a"))
    play(run, "ok a", "ok b", "ok c")
    run.ok("j", "again")
    play_on = ["a.2", "b.2"]
    for label in play_on:
        run.ok(label)
    assert run.active == ["c.2"]
    run.ok("c.2")
    assert run.active == ["j.2"]
    run.ok("j.2")
    assert run.status == "completed"


def test_the_latest_arrival_of_a_round_counts() -> None:
    """R4: arrivals are a set; a node that ends twice in a round is there once, as it ended last."""
    run = Run(flow("a -again-> a; b; s needs a settled; j needs a, b", start=("a", "b")))
    run.start()
    run.ok("a", "again")
    run.fail("a.2")
    run.ok("b")
    assert run.ended("j") == "skipped"
    assert run.active == ["s"]


def test_joins_that_lead_to_others_are_decided_first() -> None:
    """R5: what the first join starts keeps the second one waiting, whatever the order in the document."""
    run = Run(flow("a; late needs a, early; early needs a"))
    play(run, "ok a")
    assert run.active == ["early"]
    run.ok("early")
    assert run.active == ["late"]


def test_a_skipped_join_is_an_end_of_a_node() -> None:
    """R5: it follows `skipped` and arrives at the joins behind it."""
    run = Run(flow("a; j needs a; j -skipped-> b; k needs j, b"))
    play(run, "skip a")
    assert run.active == ["b"]
    assert run.ended("j") == "skipped"
    run.ok("b")
    assert run.active == ["k"]


def test_a_failed_join_follows_its_error_edge() -> None:
    """R5: `JOIN_FAILED` is a failure like any other and can be handled."""
    run = Run(flow("a; b; j needs a, b any; j -error-> c"))
    play(run, "fail a", "fail b")
    assert (run.ended("j"), run.active) == ("failed", ["c"])


def test_the_error_of_a_failed_join_names_who_failed() -> None:
    """People see which of the needed nodes failed."""
    run = Run(flow("a; b; c; j needs a, b, c any"))
    play(run, "fail a", "skip b", "fail c")
    assert run.state.error is not None
    assert run.state.error["message"] == "none of the needed nodes succeeded; failed: a, c"


def test_a_join_without_arrivals_is_looked_at_once() -> None:
    """R5: a finished loop does not fire a join again whose branch was not taken."""
    run = Run(flow("a -again-> a; a -rare-> r; j needs r; j -skipped-> s; b -> c", start=("a", "b")))
    run.start()
    run.ok("a", "again")
    run.ok("a.2")
    assert run.active == ["b", "s"]
    run.ok("s")
    run.ok("b")
    run.ok("c")
    assert run.state.nodes[NodeId("j")].n == 1


def test_a_run_with_continue_reaches_its_joins() -> None:
    """R3: with the flow's `continue` a failure is handled, so an `all` join runs when something succeeded."""
    run = Run(flow("a; b; j needs a, b", on_error=OnError.CONTINUE))
    play(run, "fail a", "ok b")
    assert run.active == ["j"]


@pytest.mark.parametrize(
    ("end", "status", "action", "error"),
    [
        ("skip", StepStatus.SKIPPED, "skipped", None),
        (
            "fail",
            StepStatus.FAILED,
            "error",
            ErrorFacts("JOIN_FAILED", "none of the needed nodes succeeded; failed: b, c"),
        ),
    ],
)
def test_a_join_that_does_not_run_leaves_a_row(
    end: str, status: StepStatus, action: str, error: ErrorFacts | None
) -> None:
    """R5: one for each activation, with its number, as every step has one that was executed."""
    run = Run(flow("a -> b, c; j needs b, c any; j -skipped-> a; j -error-> a", start=("a",)))
    run.start()
    for n, suffix in ((1, ""), (2, ".2")):
        run.ok(f"a{suffix}")
        END[end](run, f"b{suffix}")
        decision = END[end](run, f"c{suffix}")
        step = StepId(f"{run.state.rev}.0")
        assert decision.commands[0] == RecordStep(step, 1, NodeId("j"), n, None, status, error)
        assert run.state.nodes[NodeId("j")] == NodeState(step, status, action, 1, n)
