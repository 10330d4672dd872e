"""Outputs of any size: in the row, beside it, or refused by name; a run's head stays small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import RunId
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend

from tests.adapters.aws.fake_cloud import FakeCloud
from tests.adapters.aws.sizes import item_size
from tests.engine.harness import ACCOUNT, bench, flow

KB, MB = 1024, 1024 * 1024
KEPT = (0, KB, 99 * KB, 101 * KB, 399 * KB, 401 * KB, MB, 10 * MB)
HEAD = 64 * KB
ITEM = 400 * KB
GIVES = flow(
    "a: {type: sized, params: {size: '${input}'}, next: b}\nb: {type: transform, params: {value: '${prev.length}'}}"
)


class Size(Params):
    """How many characters."""

    size: int


class Sized(NodeType[Size]):
    """Gives a text of that size."""

    name = "sized"
    params = Size
    quick = True

    def execute(self, ctx: Context[Size]) -> Result:
        return Result("x" * ctx.params.size)


STORES: dict[str, Callable[[Path], Backend]] = {
    "memory": lambda _: MemoryBackend(),
    "sqlite": lambda folder: SqliteBackend(folder / "sizes.db", "normal"),
    "dynamodb": lambda _: FakeCloud().backend(),
}


@pytest.fixture
def registry() -> Registry:
    return Registry([EntryPoint("sized", f"{__name__}:Sized", "flowrunner.nodes")])


@pytest.fixture(params=STORES)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = STORES[request.param](tmp_path)
    made.migrate()
    yield made
    made.close()


def test_an_output_of_any_size_is_stored_or_refused(backend: Backend, registry: Registry) -> None:
    """It comes back as it went in, and the next step reads it; what is too large says so and fails its step alone."""
    with bench(backend, registry=registry) as b:
        for size in KEPT:
            run = b.start(GIVES, size)
            b.work()
            assert b.result(run).output == {"b": size}
            assert b.output(run, "a") == "x" * size
            assert head(backend, run) <= HEAD
        run = b.start(GIVES, 100 * MB)
        b.work()
        error = b.result(run).error
        assert error is not None
        assert (b.result(run).status, error["code"], error["node"]) == ("failed", "VALUE_TOO_LARGE", "a")
        assert head(backend, run) <= HEAD


def head(backend: Backend, run: RunId) -> int:
    [row] = backend.runs.load([(ACCOUNT, run)])
    assert row is not None
    return len(row.head)


def test_no_item_of_a_table_is_larger_than_dynamodb_takes(registry: Registry) -> None:
    """What does not fit is in the bucket."""
    cloud = FakeCloud()
    with bench(cloud.backend(), registry=registry) as b:
        for size in KEPT:
            b.start(GIVES, size)
        b.work()
    assert max(map(item_size, cloud.table.items.values())) <= ITEM
