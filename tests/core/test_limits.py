"""What bounds a run: steps, parallelism, the size of the frontier and of the head (R2, R6)."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from flowrunner.core.codec import encode
from flowrunner.core.flow import Foreach
from flowrunner.core.state import MAX_FRONTIER

from tests.builders import chain, flow, retry
from tests.core.harness import Run


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_runaway_loop_ends_at_its_limit(limit: int) -> None:
    """R2: the step beyond `limits.max_steps` fails the run; it is parked, not sent."""
    run = Run(flow("a -> a", max_steps=limit))
    run.start()
    for n in range(1, limit + 1):
        assert run.status == "running"
        run.ok("a" if n == 1 else f"a.{n}")
    assert (run.status, run.error) == ("failed", "STEP_LIMIT_EXCEEDED")
    assert run.state.error is not None
    assert "limits.max_steps" in run.state.error["message"]


def test_items_are_no_steps() -> None:
    """R2: a foreach of many items is one step."""
    run = Run(flow("a", nodes={"a": {"foreach": Foreach("x", max_concurrency=5)}}, max_steps=1))
    run.start()
    run.expand("a", 50)
    for index in range(50):
        run.ok(f"a[{index}]")
    run.ok("a")
    assert run.status == "completed"


def test_a_join_that_is_skipped_counts_as_a_step() -> None:
    """R2: it is an activation too, so that a loop of joins ends as well."""
    run = Run(flow("a; j needs a", max_steps=1))
    run.start()
    run.skip("a")
    assert run.error == "STEP_LIMIT_EXCEEDED"


def test_no_more_steps_at_once_than_allowed() -> None:
    """R6: the rest is held and let go in order."""
    run = Run(flow("a; b; c; d -> e", max_parallel=2))
    run.start()
    assert run.phases == {"a": "r", "b": "r", "c": "h", "d": "h"}
    run.ok("b")
    assert run.phases == {"a": "r", "c": "r", "d": "h"}


def test_a_new_step_does_not_overtake_held_ones() -> None:
    """R6: a loop gives its place to whoever has waited longer, or it would starve them."""
    run = Run(flow("poll -> poll; work", start=("poll", "work"), max_parallel=1))
    run.start()
    run.ok("poll")
    assert run.phases == {"work": "r", "poll.2": "h"}


def test_waiting_steps_take_no_place() -> None:
    """R6: a run may wait for more answers than it may have steps at once."""
    run = Run(flow("a; b; c", max_parallel=1))
    run.start()
    run.wait("a")
    run.wait("b")
    assert run.phases == {"a": "w", "b": "w", "c": "r"}


def test_a_retry_after_a_wait_needs_a_place() -> None:
    """R6: a step gave up its place when it began to wait; a further attempt is held until there is one."""
    run = Run(flow("a; b", nodes={"a": {"retry": retry(2)}}, max_parallel=1))
    run.start()
    run.wait("a")
    run.signal("a", error="E", retryable=True)
    assert run.phases == {"a": "h", "b": "r"}
    run.ok("b")
    assert run.phases == {"a": "r"}
    assert run.due("a") == run.now + 1_000


def test_items_take_no_place_and_their_foreach_one() -> None:
    """R6: a foreach has its own limit; its step keeps its place from start to end."""
    run = Run(flow("a; b", nodes={"a": {"foreach": Foreach("x")}}, max_parallel=1))
    run.start()
    run.expand("a", 3)
    assert run.phases == {"a": "m", "b": "h", "a[0]": "r", "a[1]": "r", "a[2]": "r"}


def test_a_frontier_that_is_too_wide_fails_the_run() -> None:
    """No more than 500 steps are scheduled at once; the message says what to use instead."""
    names = ", ".join(f"n{index}" for index in range(MAX_FRONTIER + 1))
    run = Run(flow(f"a -> {names}"))
    run.start()
    run.model.apply = lambda *arguments: None  # type: ignore[method-assign]  # the model knows no such limit
    run.compare = lambda: None  # type: ignore[method-assign]  # so there is nothing to compare with
    run.ok("a")
    assert run.error == "LIMIT_HEAD"
    assert run.state.error is not None
    assert "foreach" in run.state.error["message"]


def test_the_head_of_a_linear_flow_stays_small(record_property: Callable[[str, object], None]) -> None:
    """The cost of a step must not grow with the run: 30 nodes fit 1.5 KB at every moment."""
    run = Run(chain(30), now=1_790_000_000_000)
    run.start()
    largest = 0
    for index in range(30):
        run.ok(f"n{index}")
        largest = max(largest, len(orjson.dumps(encode(run.state))))
    record_property("bytes", largest)
    assert run.status == "completed"
    assert largest < 1_500
