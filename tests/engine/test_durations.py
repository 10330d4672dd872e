"""How long attempts are said to have taken."""

from __future__ import annotations

from importlib.metadata import EntryPoint

from flowrunner.core.state import parent_of_item
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.testing import TurnedClock

from tests.engine.harness import bench, flow

WORK = 70


class Working(NodeType[Params]):
    """Works for 70 ms in the worker's own thread."""

    name = "working"
    params = Params
    pure = True
    quick = True

    def __init__(self) -> None:
        self.clock = TurnedClock()

    def execute(self, ctx: Context[Params]) -> Result:
        self.clock.turn_to(self.clock.now() + WORK)
        return Result(None)


def test_steps_of_a_batch_do_not_count_each_other() -> None:
    """Items that the worker takes together are executed one after the other: each took its own time."""
    registry = Registry([EntryPoint("working", f"{__name__}:Working", "flowrunner.nodes")])
    node = registry.get("working")
    assert isinstance(node, Working)
    with bench(registry=registry) as b:
        node.clock = b.clock
        run = b.start(flow('a: {type: working, foreach: {items: "${input}", max_concurrency: 10}}'), list(range(10)))
        b.work()
        items = [one for one in b.steps(run) if parent_of_item(one.step)]
    assert [one.ended_at - one.started_at for one in items] == [WORK] * 10
