"""`scripts/bench large`: a `foreach` over 10,000 items with a join behind it, and a loop of 10,000 steps, on each store.

`--stores memory,sqlite,postgres,dynamodb` chooses (`dynamodb` is the tests' fake of its table, in this process: its time
says nothing of AWS), `--size N` another size. Each run has to come to what it should: every item once, the join once, the
loop exactly to its limit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from flowrunner.core.decide import STEP_LIMIT
from flowrunner.core.state import parent_of_item
from flowrunner.engine.records import Attempt
from flowrunner.ports.backend import Backend

from tests.bench import workloads
from tests.bench.__main__ import stores

STORES = ("memory", "sqlite", "postgres", "dynamodb")
SIZE = 10_000
SECONDS = 1_800.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--size", type=int, default=SIZE)
    options = parser.parse_args()
    workloads.WAIT_SECONDS = SECONDS
    wanted = options.stores.split(",")
    print(f"| store | foreach over {options.size:,} and join | a loop of {options.size:,} steps |\n| --- | --- | --- |")
    for name in wanted:
        with opened(name) as (title, backend), workloads.loaded(backend) as load:
            wide, long = foreach(load, options.size), loop(load, options.size)
        print(f"| {title} | {wide:.1f} s | {long:.1f} s |", flush=True)


@contextmanager
def opened(name: str) -> Iterator[tuple[str, Backend]]:
    if name == "dynamodb":
        from tests.adapters.aws.fake_cloud import FakeCloud

        yield "DynamoDB (fake)", FakeCloud().backend()
        return
    found = stores([name])
    yield next(found)
    next(found, None)


def foreach(load: workloads.Loaded, size: int) -> float:
    """Seconds; raises `AssertionError` unless each item and the join were executed once."""
    took, result = load.once(workloads.fan_out("transform"), list(range(size)))
    steps = load.engine.steps(workloads.ACCOUNT, result.id)
    assert (result.status, result.output) == ("completed", {"join": size}), result
    check(steps, items=size, others=2)
    return took


def loop(load: workloads.Loaded, size: int) -> float:
    """Seconds; raises `AssertionError` unless it ended at its limit."""
    took, result = load.once(workloads.loop("transform", size), {"value": 1})
    steps = load.engine.steps(workloads.ACCOUNT, result.id)
    assert result.error is not None
    assert result.error["code"] == STEP_LIMIT, result
    check(steps, items=0, others=size)
    return took


def check(steps: list[Attempt], *, items: int, others: int) -> None:
    """Every step once, and all of them ended well."""
    names = {one.step for one in steps}
    inner = sum(parent_of_item(step) is not None for step in names)
    assert len(names) == len(steps), "a step was executed twice"
    assert (inner, len(names) - inner) == (items, others)
    assert {one.status.value for one in steps} == {"succeeded"}


if __name__ == "__main__":
    main()
