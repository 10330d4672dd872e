"""A worker whose store does not answer for a while: what it did is not undone by doing it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from flowrunner.errors import StoreError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.queue import Receipt

from tests.engine.harness import ACCOUNT, Bench, bench, flow

HOUR = 3_600_000
LEASE = 30_000


class NoParams(Params):
    """None."""


class Counted(NodeType[NoParams]):
    """Counts its executions."""

    name = "counted"
    params = NoParams
    quick = True
    executed = 0

    def execute(self, ctx: Context[NoParams]) -> Result:
        self.executed += 1
        return Result(self.executed)


class Large(Counted):
    """Counts its executions in an output that is kept beside its row."""

    name = "large"

    def execute(self, ctx: Context[NoParams]) -> Result:
        self.executed += 1
        return Result({"count": self.executed, "filling": "x" * 200_000})


@pytest.fixture
def registry() -> Registry:
    kinds = (Counted, Large)
    return Registry([EntryPoint(one.name, f"{__name__}:{one.__name__}", "flowrunner.nodes") for one in kinds])


@pytest.fixture
def b(registry: Registry) -> Iterator[Bench]:
    with bench(registry=registry) as made:
        yield made


def once(b: Bench, store: str, name: str, wanted: Callable[[Any], bool], *, done: bool) -> None:
    """Let the next call that is `wanted` raise `StoreError`, done or not."""
    target = getattr(b.engine.parts.backend, store)
    call = getattr(target, name)

    def failing(*given: Any, **named: Any) -> Any:
        if not wanted(given):
            return call(*given, **named)
        setattr(target, name, call)
        if done:
            call(*given, **named)
        raise StoreError("no answer")

    setattr(target, name, failing)


def turn(b: Bench) -> None:
    """One turn of the worker, which meets that trouble."""
    with pytest.raises(StoreError):
        b.worker.drain()
    b.worker._views.clear()  # as it does itself, before it tries again


def test_the_timer_of_a_wait_survives_a_commit_whose_answer_is_lost(b: Bench) -> None:
    """The wait is there already when it is tried again, and so is the message that ends it."""
    run = b.start(flow("a: {type: delay, params: {for: 1h}, next: z}\nz: {type: transform, params: {value: 1}}"))
    once(b, "runs", "commit", lambda given: given[0][0].status == "waiting", done=True)
    turn(b)
    b.work()
    assert b.result(run).status == "completed"
    assert b.clock.now() >= b.result(run).started_at + HOUR
    assert [(one.label, one.rev) for one in b.steps(run)] == [("a", 3), ("z", 4)]


def test_the_row_of_a_wait_keeps_its_revision(b: Bench) -> None:
    """Whoever reads what was committed finds it there while the step waits."""
    run = b.start(flow("a: {type: delay, params: {for: 1h}}"))
    once(b, "runs", "commit", lambda given: given[0][0].status == "waiting", done=True)
    turn(b)
    b.work(until=b.clock.now())
    assert [(one.status, one.rev) for one in b.steps(run)] == [("waiting", 2)]


def test_a_foreach_collects_although_the_answer_to_its_expansion_is_lost(b: Bench) -> None:
    """The message that lists the items and the one that collects what they gave are the same."""
    run = b.start(flow("a: {type: transform, foreach: {items: [1, 2]}, params: {value: '${item}'}}"))
    once(b, "runs", "commit", lambda given: True, done=True)
    turn(b)
    b.work()
    assert b.result(run).output == {"a": [1, 2]}


@pytest.mark.parametrize("at_most_once", ["true", "false"])
def test_a_message_that_a_worker_holds_already_is_not_executed_twice(
    b: Bench, registry: Registry, at_most_once: str
) -> None:
    """Its lease has lapsed while the store did not answer, so the worker that has it is given it again."""
    run = b.start(flow(f"a: {{type: counted, at_most_once: {at_most_once}}}"))
    once(b, "queue", "next_visible", lambda given: True, done=False)
    turn(b)
    b.clock.turn_to(b.clock.now() + LEASE + 1)
    b.work()
    assert b.result(run).status == "completed"
    counted = registry.get("counted")
    assert isinstance(counted, Counted)
    assert counted.executed == 1


def test_what_is_done_and_could_not_be_written_is_not_executed_again(b: Bench, registry: Registry) -> None:
    """The same, when the lease lapses before the commit could be made."""
    run = b.start(flow("a: {type: counted}"))
    once(b, "runs", "commit", lambda given: True, done=False)
    turn(b)
    b.clock.turn_to(b.clock.now() + LEASE + 1)
    b.work()
    assert b.result(run).output == {"a": 1}
    counted = registry.get("counted")
    assert isinstance(counted, Counted)
    assert counted.executed == 1


def test_what_is_stored_beside_a_row_is_not_taken_for_that_of_the_execution_before(b: Bench) -> None:
    """Seed 103835: it was stored, no answer came, and the step is executed again within the same millisecond."""
    run = b.start(flow("a: {type: large, next: z}\nz: {type: transform, params: {value: 1}}"))
    once(b, "blobs", "put", lambda given: True, done=True)
    b.worker.drain()
    queue, now = b.engine.parts.backend.queue, b.clock.now()
    [step] = b.engine.control.view(ACCOUNT, run).state.frontier
    queue.release([Receipt(ACCOUNT, run, step, 1)], now)
    b.worker.drain()
    assert b.clock.now() == now
    [output] = [b.engine.value(ACCOUNT, run, one.output) for one in b.steps(run) if one.label == "a"]
    assert output == {"count": 2, "filling": "x" * 200_000}
