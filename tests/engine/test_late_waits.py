"""Steps that begin to wait when their run is over already: a redrive goes on with the wait, and executes nothing again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from flowrunner.core.ids import AccountId, RunId
from flowrunner.errors import StepError, StoreError
from flowrunner.nodes.base import Context, NodeType, Params, Result, Wait
from flowrunner.nodes.registry import Registry
from flowrunner.ports.history import RunFilter
from flowrunner.ports.runs import Commit

from tests.engine.harness import ACCOUNT, Bench, bench, flow

QUICK = {"metadata": {"name": "inner"}, "nodes": {"z": {"type": "transform"}}}
CHILD = {"metadata": {"name": "inner"}, "nodes": {"z": {"type": "delay", "params": {"for": "1h"}}}}


class NoParams(Params):
    """None."""


class Fails(NodeType[NoParams]):
    """Fails once."""

    name = "fails"
    params = NoParams
    quick = True
    failed = False

    def execute(self, ctx: Context[NoParams]) -> Result:
        if not self.failed:
            self.failed = True
            raise StepError("not the first time", code="E")
        return Result()


class Waits(NodeType[NoParams]):
    """Waits for an answer, or for a run that it starts, and may have its own run cancelled before that."""

    name = "waits"
    params = NoParams
    quick = True
    child = False
    document: Any = CHILD
    executed = 0
    before: Any = None

    def execute(self, ctx: Context[NoParams]) -> Wait:
        self.executed += 1
        if self.before is not None:
            self.before(AccountId(ctx.run.account), RunId(ctx.run.id))
        if not self.child:
            return Wait(callback=ctx.callback())
        run = ctx.children.start(flow=None, revision=None, document=self.document, input=None, signal_parent=True)
        return Wait(child=run, data={"run_id": run})


@pytest.fixture
def types() -> Registry:
    return Registry([EntryPoint(one.name, f"{__name__}:{one.__name__}", "flowrunner.nodes") for one in (Fails, Waits)])


@pytest.fixture
def waits(types: Registry) -> Waits:
    made = types.get("waits")
    assert isinstance(made, Waits)
    return made


@pytest.fixture
def b(types: Registry) -> Iterator[Bench]:
    with bench(registry=types) as made:
        yield made


def children(b: Bench) -> list[RunId]:
    """The runs that the waiting step has started."""
    return [row.id for row in b.engine.parts.backend.history.runs(ACCOUNT, RunFilter()) if row.flow_name != "test"]


def failed(b: Bench) -> RunId:
    """A run whose one step failed in the very commit in which the other would have begun to wait."""
    run = b.start(flow("fails: {type: fails}\nwaits: {type: waits, next: end}\nend: {type: transform}"))
    b.work(until=b.clock.now())
    assert b.result(run).status == "failed"
    [waiting] = [one for one in b.steps(run) if one.node == "waits"]
    assert (waiting.status, waiting.rev) == ("waiting", 0), "the wait was recorded, and no commit has taken it"
    return run


def test_a_redrive_goes_on_with_a_wait_that_began_too_late(b: Bench, waits: Waits) -> None:
    """It waits, can be answered, and the step is not executed again."""
    run = failed(b)
    b.engine.control.redrive(ACCOUNT, run)
    b.work()
    assert b.result(run).status == "waiting"
    b.engine.control.signal(ACCOUNT, run, "waits", {"answer": 42})
    b.work()
    assert b.result(run).status == "completed"
    assert waits.executed == 1


def test_a_redrive_goes_on_with_the_run_that_a_late_wait_is_for(b: Bench, waits: Waits) -> None:
    """That was started, and nobody has cancelled it; its end ends the wait."""
    waits.child = True
    run = failed(b)
    b.engine.control.redrive(ACCOUNT, run)
    b.work()
    assert b.result(run).status == "completed"
    assert waits.executed == 1
    assert [b.result(one).status for one in children(b)] == ["completed"]


def test_a_run_that_nobody_will_wait_for_is_cancelled(b: Bench, waits: Waits) -> None:
    """It was started while the run that was to wait for it was cancelled."""
    waits.child = True
    waits.before = b.engine.control.cancel
    run = b.start(flow("waits: {type: waits}"))
    b.work()
    assert b.result(run).status == "cancelled"
    assert [b.result(one).status for one in children(b)] == ["cancelled"]


def test_a_redrive_finds_the_run_that_a_dead_worker_has_started(b: Bench, waits: Waits) -> None:
    """It has ended meanwhile, and told that to a run that was over: the step is executed again and finds its output."""
    waits.child = True
    run = b.start(flow("waits: {type: waits}"))
    runs = b.engine.parts.backend.runs
    commit = runs.commit

    def dying(commits: object) -> Sequence[bool]:
        runs.commit = commit  # type: ignore[method-assign]  # it died once
        raise StoreError("the worker dies")

    runs.commit = dying  # type: ignore[method-assign]  # where the worker dies
    with pytest.raises(StoreError):
        b.worker.drain()
    b.worker = b.engine.worker()
    b.engine.control.cancel(ACCOUNT, run)
    b.work()
    assert [b.result(one).status for one in children(b)] == ["completed"]
    b.engine.control.redrive(ACCOUNT, run)
    b.work()
    assert b.result(run).status == "completed"
    assert waits.executed == 2


def test_a_wait_that_is_committed_after_a_redrive_is_looked_at(b: Bench, waits: Waits) -> None:
    """Seed 106776: the child run has told its end before its parent waited for it, and was cancelled and redriven."""
    waits.child = True
    waits.document = QUICK
    run = b.start(flow("waits: {type: waits}"))
    runs = b.engine.parts.backend.runs
    commit = runs.commit

    def overtaken(commits: Sequence[Commit]) -> Sequence[bool]:
        runs.commit = commit  # type: ignore[method-assign]  # it died once
        b.engine.worker().drain()
        assert [b.result(one).status for one in children(b)] == ["completed"]
        b.engine.control.cancel(ACCOUNT, run)
        b.engine.control.redrive(ACCOUNT, run)
        return commit(commits)

    runs.commit = overtaken  # type: ignore[method-assign]  # where all that happens
    b.work()
    assert b.result(run).status == "completed"
    assert waits.executed == 1
