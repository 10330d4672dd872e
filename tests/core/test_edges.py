"""Where a run begins and where it goes when a node ends (R1 to R3). `Run` compares every event with the model."""

from __future__ import annotations

import pytest
from flowrunner.core.commands import ScheduleStep
from flowrunner.core.flow import OnError

from tests.builders import flow
from tests.core.harness import Run


@pytest.mark.parametrize(
    ("clauses", "start", "active"),
    [
        ("a -> b", None, ["a"]),
        ("a; b; c -> d", None, ["a", "b", "c"]),
        ("a -> b; b -> a", None, ["a"]),
        ("a -> b; b -> a", ("b",), ["b"]),
        ("a; j needs a", None, ["a"]),
    ],
)
def test_every_start_node_is_activated(clauses: str, start: tuple[str, ...] | None, active: list[str]) -> None:
    """R1: a run begins at every start node, with one message each."""
    run = Run(flow(clauses, start=start))
    decision = run.start()
    assert run.active == active
    assert [one for one in decision.commands if not isinstance(one, ScheduleStep)] == []
    assert [str(one.step) for one in decision.commands if isinstance(one, ScheduleStep)] == [
        f"1.{index}" for index in range(len(active))
    ]


@pytest.mark.parametrize(
    ("action", "active"),
    [("default", ["b", "c"]), ("x", ["c"]), ("error", ["d"]), ("nowhere", [])],
)
def test_a_success_follows_its_action(action: str, active: list[str]) -> None:
    """R3: the targets of the action are activated in the order written; an action without an edge ends the branch."""
    run = Run(flow("a -> b, c; a -x-> c; a -error-> d"))
    run.start()
    run.ok("a", action)
    assert list(run.phases) == active
    assert run.status == ("running" if active else "completed")


def test_a_skipped_node_follows_skipped_only() -> None:
    """R3: a node whose `when` was false goes on along `skipped`, not along `default`."""
    run = Run(flow("a -> b; a -skipped-> c"))
    run.start()
    run.skip("a")
    assert run.active == ["c"]
    assert run.ended("a") == "skipped"


@pytest.mark.parametrize(
    ("edges", "node", "of_flow", "active", "status"),
    [
        ("", OnError.FAIL, OnError.STOP, [], "failed"),
        ("", OnError.CONTINUE, OnError.STOP, ["b"], "running"),
        ("", OnError.FAIL, OnError.CONTINUE, ["b"], "running"),
        ("; a -error-> c", OnError.FAIL, OnError.STOP, ["c"], "running"),
        ("; a -error-> c", OnError.FAIL, OnError.CONTINUE, ["c"], "running"),
        ("; a -error-> c", OnError.CONTINUE, OnError.STOP, ["b"], "running"),
    ],
)
def test_what_a_failure_leads_to(edges: str, node: OnError, of_flow: OnError, active: list[str], status: str) -> None:
    """R3: the node's `continue` comes first, then the error edge, then the flow's `continue`; else the run fails."""
    run = Run(flow(f"a -> b{edges}", nodes={"a": {"on_error": node}}, on_error=of_flow))
    run.start()
    run.fail("a")
    assert (run.active, run.status) == (active, status)
    assert run.error == (None if active else "E")


def test_the_error_of_a_failed_run_names_the_node() -> None:
    """People see which node failed, with code, message and details."""
    run = Run(flow("a"))
    run.start()
    run.fail("a", "HttpStatus:500")
    assert run.state.error == {
        "code": "HttpStatus:500",
        "message": "no luck",
        "node": "a",
        "details": {"status": 500},
    }


def test_two_arrivals_by_next_are_two_activations() -> None:
    """R2: a node that two branches lead to runs twice, and its activations are numbered."""
    run = Run(flow("a -> c; b -> c"))
    run.start()
    run.ok("a")
    run.ok("b")
    assert run.active == ["c", "c.2"]
    run.ok("c.2")
    run.ok("c")
    assert run.status == "completed"


def test_a_loop_numbers_its_rounds() -> None:
    """R1: `n` counts the activations of a node over a loop."""
    run = Run(flow("poll -again-> poll; poll -> done"))
    run.start()
    run.ok("poll", "again")
    run.ok("poll.2", "again")
    run.ok("poll.3")
    assert run.active == ["done"]


def test_vars_name_the_step_that_wrote_them() -> None:
    """The head keeps who wrote a key last, not the value; a removed key is gone."""
    run = Run(flow("a -> b; b -> c"))
    run.start()
    run.ok("a", keys=("x", "y"))
    run.ok("b", keys=("y",))
    assert run.state.vars == {"x": "1.0", "y": "2.0"}


def test_an_empty_flow_is_completed_at_once() -> None:
    """R10: nothing to do is a run that has ended."""
    run = Run(flow(""))
    run.start()
    assert (run.status, run.state.progress) == ("completed", 100)
