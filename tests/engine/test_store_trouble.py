"""A store or a vault that does not answer while a worker executes: no step fails for that, and no other run waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.engine.values import ValueLimits
from flowrunner.engine.worker import PATIENCE
from flowrunner.errors import StoreError

from tests.engine.harness import Bench, bench, flow

LARGE = "x" * 200
BIG = f"big: {{type: transform, params: {{value: {LARGE}}}, next: use}}\n"
USE = 'use: {type: transform, params: {value: "${prev.length}"}}'
USES = {
    "in the worker's thread": USE,
    "in a thread of the pool": 'use: {type: script, hooks: {exec: "return input.length"}}',
}


@pytest.fixture
def b() -> Iterator[Bench]:
    """Values above 100 bytes are blobs, and nothing that was read stays in memory."""
    with bench(MemoryBackend(), limits=ValueLimits(inline=100)) as made:
        made.engine.services.reader._blobs.put = lambda *_: None  # type: ignore[method-assign]  # as after a restart
        yield made


def away(b: Bench, times: int) -> Callable[[], int]:
    """Let blobs be unreadable so often; answers how often they were asked for."""
    blobs: Any = b.engine.parts.backend.blobs
    read, calls = blobs.get, [0]

    def failing(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] <= times:
            raise StoreError("the store does not answer")
        return read(*given)

    blobs.get = failing
    return lambda: calls[0]


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_step_that_cannot_read_its_input_comes_again(b: Bench, use: str) -> None:
    """Until the store answers; the attempt is the same one."""
    asked = away(b, 3)
    run = b.start(flow(BIG + use))
    b.work()
    assert b.result(run).output == {"use": 200}
    assert asked() > 3
    assert [(one.label, one.attempt) for one in b.steps(run)] == [("big", 1), ("use", 1)]


def test_an_output_that_cannot_be_evaluated_is_evaluated_later(b: Bench) -> None:
    """The step that completed the run is not executed again for it."""
    asked = away(b, 2)
    outputs = 'outputs: {length: "${nodes.big.output.length + 0}"}'
    run = b.start(flow(f"big: {{type: transform, params: {{value: {LARGE}}}}}", outputs))
    for _ in range(2):
        with pytest.raises(StoreError):
            b.work()
    b.work()
    assert (b.result(run).status, b.result(run).output) == ("completed", {"length": 200})
    assert asked() == 3
    assert len(b.steps(run)) == 1


def test_patience_ends(b: Bench) -> None:
    """A store that never answers again fails the step, as one that may be redriven."""
    away(b, 10**9)
    run = b.start(flow(BIG + USE))
    started = b.clock.now()
    b.work()
    assert b.result(run).status == "failed"
    assert PATIENCE < b.clock.now() - started < PATIENCE + 10_000


LOSING = {
    "a step": flow(f"{BIG.replace('use', 'wait')}wait: {{type: delay, params: {{for: 1m}}, next: use}}\n{USE}"),
    "the run's output": flow(
        f"{BIG.replace(', next: use', '')}wait: {{type: delay, params: {{for: 1m}}}}",
        'outputs: {all: "${nodes.big.output}"}',
    ),
}
"""Flows in which this needs a value a minute after it was stored."""


@pytest.mark.parametrize("document", LOSING.values(), ids=LOSING)
def test_a_lost_value_fails_its_run_and_no_other(b: Bench, document: str) -> None:
    """At once; and the worker goes on with other runs."""
    blobs: Any = b.engine.parts.backend.blobs
    read = blobs.get
    lost: list[str] = []
    blobs.get = lambda account, run, key: None if run in lost else read(account, run, key)
    runs = [b.start(document) for _ in range(2)]
    b.work(until=b.clock.now() + 1_000)
    lost.append(runs[0])
    b.work()
    error = b.result(runs[0]).error
    assert error is not None
    assert error["code"] == "VALUE_LOST"
    assert b.result(runs[1]).status == "completed"
