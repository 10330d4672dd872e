"""Running a node once per item (R8)."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.core import events as ev
from flowrunner.core.commands import CancelChild, RecordStep, ScheduleStep
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import Flow, Foreach
from flowrunner.core.foreach import MAX_ITEMS, collecting
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.status import StepStatus

from tests.builders import flow, retry
from tests.core.harness import Run


def each(clauses: str = "a -> b", *, tolerate: float = 0, percent: bool = False, window: int = 2, **a: Any) -> Flow:
    """A flow whose node `a` runs once per item."""
    foreach = Foreach("x", max_concurrency=window, tolerate=tolerate, tolerate_percent=percent)
    return flow(clauses, nodes={"a": {"foreach": foreach, **a}})


def started(subject: Flow, count: int) -> Run:
    """A run whose foreach `a` has got its items."""
    run = Run(subject)
    run.start()
    run.expand("a", count)
    return run


def test_a_window_moves_over_the_items() -> None:
    """R8: `max_concurrency` items run at once, the next one starts when one ends, whatever their order."""
    run = started(each(), 4)
    assert run.phases == {"a": "m", "a[0]": "r", "a[1]": "r"}
    run.ok("a[1]")
    assert run.phases == {"a": "m", "a[0]": "r", "a[2]": "r"}
    run.ok("a[2]")
    run.ok("a[3]")
    run.ok("a[0]")
    assert run.phases == {"a": "r"}
    assert collecting(run.state, run.step("a"))


def test_the_collecting_execution_ends_by_default() -> None:
    """R8: the step is executed once more, and ends by `default` whatever it is told."""
    run = started(each("a -> b; a -x-> c"), 1)
    assert not collecting(run.state, run.step("a"))
    decision = run.ok("a[0]", "x")
    assert [one.attempt for one in decision.commands if isinstance(one, ScheduleStep)] == [1]
    run.ok("a", "x")
    assert run.active == ["b"]
    assert run.state.maps == {}


@pytest.mark.parametrize(
    ("tolerate", "percent", "count", "bad", "ends"),
    [
        (0, False, 3, 1, True),
        (1, False, 3, 1, False),
        (1, False, 3, 2, True),
        (5, True, 20, 1, False),
        (5, True, 20, 2, True),
        (50, True, 3, 1, False),
        (50, True, 3, 2, True),
        (100, True, 3, 3, False),
    ],
)
def test_how_many_failures_are_tolerated(tolerate: int, percent: bool, count: int, bad: int, ends: bool) -> None:
    """R8: a number of items or a share of them may fail."""
    run = started(each(tolerate=tolerate, percent=percent, window=20), count)
    for index in range(bad):
        run.fail(f"a[{index}]")
    assert (run.status == "failed") is ends


def test_an_item_too_many_fails_the_step_with_its_code() -> None:
    """R8: the error is the item's, with which and how many; items in the window are dropped."""
    run = started(each("a -error-> c", tolerate=1, window=3), 4)
    run.fail("a[0]")
    decision = run.fail("a[1]", "HttpStatus:500")
    (row,) = [one for one in decision.commands if isinstance(one, RecordStep)]
    assert row.error is not None
    assert row.error.code == "HttpStatus:500"
    assert row.error.message == "2 of 4 items failed and 1 are tolerated; item 1: no luck"
    assert row.error.details == {"status": 500, "index": 1, "failed": 2, "count": 4}
    assert run.active == ["c"]
    assert run.state.maps == {}


def test_a_foreach_that_fails_is_recorded_as_its_own_step() -> None:
    """R8: the row is that of the activation and attempt that was expanded, and blames one item where none may fail."""
    options = {"foreach": Foreach("x"), "retry": retry(2)}
    run = Run(flow("a -> b; b -again-> a; b -error-> c", nodes={"b": options}))
    run.start()
    run.ok("a")
    run.ok("b", "again")
    parent = run.step("a.2")
    run.ok("a.2")
    run.fail("b.2", retryable=True)
    step = run.step("b.2")
    run.expand("b.2", 3)
    decision = run.fail("b.2[1]", "E")
    (row,) = [one for one in decision.commands if isinstance(one, RecordStep)]
    details = {"status": 500, "index": 1, "failed": 1, "count": 3}
    error = ErrorFacts("E", "item 1: no luck", details=details)
    assert row == RecordStep(step, 2, NodeId("b"), 2, parent, StepStatus.FAILED, error)


def test_child_runs_of_dropped_items_are_cancelled() -> None:
    """R8: nobody will wait for them any more."""
    run = started(each("a -error-> c"), 2)
    run.wait("a[0]", child=True)
    child = run.state.frontier[StepId("1.0[0]")].child
    decision = run.fail("a[1]")
    assert [one.run for one in decision.commands if isinstance(one, CancelChild)] == [child]


def test_an_item_is_retried_by_itself() -> None:
    """R7 and R8: the policy of the node holds for each item."""
    run = started(each(retry=retry(2)), 2)
    run.fail("a[0]", retryable=True)
    assert run.state.frontier[StepId("1.0[0]")].attempt == 2
    run.ok("a[1]")
    run.ok("a[0]")
    assert run.phases == {"a": "r"}


def test_items_may_wait() -> None:
    """R8 and R9: an item that waits keeps its part of the window, and a retried one is ready at once."""
    run = started(each(retry=retry(2)), 3)
    run.wait("a[0]", run.now + 50)
    run.signal("a[0]", error="E", retryable=True)
    assert run.phases == {"a": "m", "a[0]": "r", "a[1]": "r"}
    run.wait("a[0]", run.now + 50)
    run.now += 50
    run.timer("a[0]")
    assert run.phases == {"a": "m", "a[1]": "r", "a[2]": "r"}


def test_an_item_that_waited_needs_no_place_to_try_again() -> None:
    """R6 and R8: its foreach holds one, be it the only one; a step by itself would be held."""
    run = Run(flow("a", nodes={"a": {"foreach": Foreach("x"), "retry": retry(2)}}, max_parallel=1))
    run.start()
    run.expand("a", 1)
    run.wait("a[0]")
    run.signal("a[0]", error="E", retryable=True)
    assert run.phases == {"a": "m", "a[0]": "r"}


def test_a_foreach_without_items_ends_like_any_node() -> None:
    """R8: an empty list is a success at the first execution."""
    run = Run(each())
    run.start()
    run.ok("a")
    assert run.active == ["b"]


@pytest.mark.parametrize(
    "event",
    [
        ev.StepExpanded(StepId("1.0"), 1, 3),
        ev.StepExpanded(StepId("1.0[0]"), 1, 3),
        ev.StepSucceeded(StepId("1.0"), 1),
        ev.StepSkipped(StepId("1.0[0]"), 1),
        ev.StepSkipped(StepId("1.0"), 1),
        ev.StepSucceeded(StepId("1.0[5]"), 1),
    ],
)
def test_what_does_not_fit_a_foreach_under_way(event: ev.Event) -> None:
    """R13: it is expanded once, ends by its items only, and an item is not skipped or expanded itself."""
    run = started(each(), 4)
    with pytest.raises(Rejected):
        decide(run.graph, run.state, event, run.now)


def test_a_foreach_is_not_skipped_when_its_items_have_run() -> None:
    """R13: `when` is evaluated before the items are, so a skip can only be a mistake."""
    run = started(each(), 1)
    run.ok("a[0]")
    with pytest.raises(Rejected, match="not skipped"):
        run.skip("a")


@pytest.mark.parametrize("count", [0, -1, MAX_ITEMS + 1])
def test_a_number_of_items_that_is_not_possible(count: int) -> None:
    """R13: an empty list is no expansion, and too many items are refused before they fill the head."""
    run = Run(each())
    run.start()
    with pytest.raises(Rejected, match="1 to 100000 items"):
        decide(run.graph, run.state, ev.StepExpanded(run.step("a"), 1, count), run.now)


def test_as_many_items_as_the_head_has_room_for() -> None:
    """R8: the last number that is possible is."""
    run = Run(each())
    run.start()
    step = run.step("a")
    decision = decide(run.graph, run.state, ev.StepExpanded(step, 1, MAX_ITEMS), run.now)
    assert decision.state.maps[step].count == MAX_ITEMS


def test_a_foreach_is_expanded_once() -> None:
    """R13: not even when it is to collect; the message names the step."""
    run = started(each(), 1)
    run.ok("a[0]")
    with pytest.raises(Rejected, match=r"^step 1\.0 is expanded already$"):
        run.expand("a", 1)


def test_a_node_without_foreach_is_not_expanded() -> None:
    """R13: and the message says so."""
    run = Run(flow("a"))
    run.start()
    with pytest.raises(Rejected, match="has no foreach"):
        decide(run.graph, run.state, ev.StepExpanded(run.step("a"), 1, 2), run.now)


def test_a_wide_foreach_fits_the_head() -> None:
    """100,000 items leave 25 KB in the head, far below its limit."""
    from flowrunner.core.codec import encode
    from flowrunner.core.state import MAX_HEAD_BYTES, MapState, State

    state = State(maps={StepId("1.0"): MapState(MAX_ITEMS, MAX_ITEMS, (1 << MAX_ITEMS) - 1)})
    assert len(str(encode(state))) < MAX_HEAD_BYTES / 2
