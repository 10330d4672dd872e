"""Whether and when a failed attempt is repeated (R7)."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import Node, OnError, RetryPolicy
from flowrunner.core.ids import NodeId
from flowrunner.core.retry import matches, retry_delay, will_retry
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import flow, retry
from tests.core.harness import Run
from tests.core.profiles import share


@pytest.mark.parametrize(
    ("pattern", "code", "result"),
    [
        ("NodeTimeout", "NodeTimeout", True),
        ("NodeTimeout", "NodeCrashed", False),
        ("*", "Anything", True),
        ("*", "HttpStatus:404", True),
        ("HttpStatus", "HttpStatus:503", True),
        ("HttpStatus:503", "HttpStatus:503", True),
        ("HttpStatus:503", "HttpStatus:504", False),
        ("HttpStatus:5xx", "HttpStatus:503", True),
        ("HttpStatus:5XX", "HttpStatus:503", True),
        ("HttpStatus:50x", "HttpStatus:503", True),
        ("HttpStatus:50x", "HttpStatus:513", False),
        ("HttpStatus:5xx", "HttpStatus:404", False),
        ("HttpStatus:5xx", "HttpStatus:5030", False),
        ("HttpStatus:5xx", "HttpStatus", False),
        ("Other:5xx", "HttpStatus:503", False),
        ("HttpStatus:", "HttpStatus:503", False),
        ("Sql", "Sql:40:001", True),
        ("Sql:40:xxx", "Sql:40:001", True),
    ],
)
def test_patterns_of_error_codes(pattern: str, code: str, result: bool) -> None:
    """`retry.on` names codes, classes of numbered codes, codes without number, or everything."""
    assert matches(pattern, code) is result


@pytest.mark.parametrize(
    ("fields", "code", "retryable", "tries", "result"),
    [
        ({"retry": retry(3)}, "E", True, 1, True),
        ({"retry": retry(3)}, "E", True, 2, True),
        ({"retry": retry(3)}, "E", True, 3, False),
        ({"retry": retry(1)}, "E", True, 1, False),
        ({"retry": retry(3)}, "E", False, 1, False),
        ({"retry": retry(3, on=("E",))}, "E", False, 1, True),
        ({"retry": retry(3, on=("X",))}, "E", True, 1, False),
        ({"retry": retry(3, on=("*",))}, "AMBIGUOUS", True, 1, False),
        ({"retry": retry(3, on=("*",))}, "CRASH_LOOP", True, 1, False),
        ({"retry": retry(3), "at_most_once": True}, "E", True, 1, False),
    ],
)
def test_what_is_retried(fields: dict[str, Any], code: str, retryable: bool, tries: int, result: bool) -> None:
    """R7: retryable or listed, within the budget, and never where a second try is unsafe or pointless."""
    node = Node(NodeId("a"), "noop", **fields)
    assert will_retry(node, ErrorFacts(code, "", retryable), tries) is result


@pytest.mark.parametrize(
    ("policy", "tries", "draw", "retry_after", "delay"),
    [
        (retry(9, 100), 1, 0.9, 0, 100),
        (retry(9, 100), 2, 0.9, 0, 200),
        (retry(9, 100), 4, 0.9, 0, 800),
        (retry(9, 100, backoff=1), 4, 0.9, 0, 100),
        (retry(9, 100, max_delay=250), 4, 0.9, 0, 250),
        (retry(9, 100, jitter="full"), 2, 0.5, 0, 100),
        (retry(9, 100, jitter="full"), 2, 0.0, 0, 0),
        (retry(9, 100, jitter="full"), 2, 0.0, 700, 700),
        (retry(9, 100), 1, 0.0, 50, 100),
        (retry(9, 100, backoff=100.0), 10_000, 0.5, 0, 300_000),
        (retry(100, 1_000, backoff=1.05), 99, 0.5, 0, 119_275),
        (retry(9, 0), 3, 0.5, 0, 0),
    ],
)
def test_how_long_it_waits(policy: RetryPolicy, tries: int, draw: float, retry_after: int, delay: int) -> None:
    """R7: exponential with a maximum, a share of it by full jitter, never before the other side asked for."""
    assert retry_delay(policy, tries, draw, retry_after) == delay
    if not retry_after:
        assert retry_delay(policy, tries, draw) == delay


@share(20)
@given(
    st.integers(1, 100),
    st.integers(0, 400 * 86_400_000),
    st.floats(1, 100),
    st.integers(0, 400 * 86_400_000),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 3_600_000),
)
def test_delays_stay_within_their_bounds(
    tries: int, delay: int, backoff: float, longest: int, draw: float, after: int
) -> None:
    """Whatever a document may hold, a delay is a whole number between what was asked for and the maximum."""
    policy = RetryPolicy(100, delay, backoff, longest)
    assert after <= retry_delay(policy, tries, draw, after) <= max(longest, after)


def test_a_retry_is_the_same_step_with_the_next_attempt() -> None:
    """R7: step and number stay, the attempt counts up, and the message is due after the delay."""
    run = Run(flow("a", nodes={"a": {"retry": retry(3)}}))
    run.start()
    step = run.step("a")
    for attempt, delay in ((2, 1_000), (3, 2_000)):
        run.fail("a", retryable=True)
        assert run.step("a") == step
        assert run.state.frontier[step].attempt == attempt
        assert run.due("a") == run.now + delay
    run.fail("a", retryable=True)
    assert run.status == "failed"


def test_what_the_other_side_asked_for_is_waited_for() -> None:
    """R7: by a step and by a run that starts again, each with the share of the delay that the draw gives."""
    policy = retry(3, 4_000, jitter="full")
    for options in ({"nodes": {"a": {"retry": policy}}}, {"on_error": OnError.RETRY_RUN, "retry_run": policy}):
        run = Run(flow("a", **options))
        run.start()
        run.draw = 0.25
        run.fail("a", retryable=True)
        assert run.due("a") == run.now + 1_000
        run.draw = 0.5
        run.fail("a", retryable=True, retry_after=9_000)
        assert run.due("a") == run.now + 9_000


def test_a_failed_answer_is_retried_too() -> None:
    """R9 and R7: a signal with an error fails the attempt, not the step, while there is a budget."""
    run = Run(flow("a", nodes={"a": {"retry": retry(2)}}))
    run.start()
    run.wait("a", child=True)
    run.signal("a", error="CHILD_FAILED", retryable=True)
    assert run.phases == {"a": "r"}
    assert run.state.frontier[run.step("a")].child is None


def test_a_retry_keeps_its_place() -> None:
    """R6: a step that will be tried again is not overtaken by one that is held."""
    run = Run(flow("a; b", nodes={"a": {"retry": retry(2)}}, max_parallel=1))
    run.start()
    run.fail("a", retryable=True)
    assert run.phases == {"a": "r", "b": "h"}
