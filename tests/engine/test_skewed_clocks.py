"""Workers whose clocks are two minutes apart: a lease that seems over costs an execution, and never a second commit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend

from tests.engine.harness import Bench, bench, flow
from tests.engine.talking import PATIENCE, TalkRegistry

SKEW = 120_000
TALKS = flow("a: {type: talk, params: {lines: [one]}, next: b}\nb: {type: transform, params: {value: '${prev.lines}'}}")


@pytest.fixture
def registry() -> TalkRegistry:
    return TalkRegistry()


@pytest.fixture
def workers(registry: TalkRegistry) -> Iterator[list[Bench]]:
    """One that goes by the right time, one that is ahead, one that is behind; on one store."""
    backend = MemoryBackend()
    with (
        bench(backend, registry=registry) as right,
        bench(backend, registry=registry) as ahead,
        bench(backend, registry=registry) as behind,
    ):
        right.clock.turn_to(behind.clock.now() + SKEW)
        ahead.clock.turn_to(right.clock.now() + SKEW)
        yield [right, ahead, behind]


def begin(b: Bench, registry: TalkRegistry) -> None:
    """Let a worker take the step, which then is in the middle of its execution."""
    b.worker._look = True
    b.worker._turn(0)
    assert registry.talk.said.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("first", ["who began first", "who is ahead"])
def test_a_step_that_two_execute_is_committed_once(workers: list[Bench], registry: TalkRegistry, first: str) -> None:
    """Whoever ends first has it; the run goes on once, and comes to its end on any clock."""
    right, ahead, behind = workers
    run = right.start(TALKS)
    begin(right, registry)
    begin(ahead, registry)
    behind.work(until=behind.clock.now())
    order = [right, ahead] if first == "who began first" else [ahead, right]
    registry.talk.go.release(2)
    for one in order:
        one.work()
    steps = right.steps(run)
    assert [(one.label, one.attempt, one.status) for one in steps] == [("a", 1, "succeeded"), ("b", 1, "succeeded")]
    assert len({one.rev for one in steps}) == 2
    assert (right.result(run).status, right.result(run).output) == ("completed", {"b": 1})
    behind.work()
    assert right.steps(run) == steps


def test_a_step_that_may_be_executed_once_is_given_up_instead(workers: list[Bench], registry: TalkRegistry) -> None:
    """Who is ahead takes it for lapsed; it is not executed again, and what it comes to later changes nothing."""
    right, ahead, _ = workers
    run = right.start(TALKS.replace("type: talk,", "type: talk, at_most_once: true,"))
    begin(right, registry)
    ahead.work()
    error = ahead.result(run).error
    assert error is not None
    assert error["code"] == "AMBIGUOUS"
    assert not registry.talk.said.acquire(blocking=False)
    registry.talk.go.release()
    right.work()
    assert right.result(run).status == "failed"
