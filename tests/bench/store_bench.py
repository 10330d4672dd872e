"""How fast the stores commit: `python -m tests.bench.store_bench [memory|sqlite|postgres ...]`.

A commit is what a step costs the engine: the head moves (compare-and-set), one step row, one acknowledged message, and
one handed off. SQLite and PostgreSQL run with full durability. Entities are what every request needs (its token is
found by its hash) before anything else is done.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import AccountId, FlowId, NodeId, RunId, StepId
from flowrunner.ports.backend import Backend
from flowrunner.ports.entities import Entity
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import Commit, RowStatus, RunRow, StepRow

from tests.postgres import Cluster

ACCOUNT = AccountId("bench")
HEAD = b'{"status":"running","frontier":{}}' + b" " * 500
BODY = b'{"out":{"value":1}}' + b" " * 200
SECONDS = 2.0


def bench(backend: Backend) -> None:
    """Print commits per second for one run at a time and for sixteen in one call."""
    backend.migrate()
    for batch in (1, 16):
        runs = [RunId(f"{batch}-{number}") for number in range(batch)]
        rows = [RunRow(ACCOUNT, run, FlowId("f"), 1, "flow", 1, 0, b"{}", 0, "running", HEAD) for run in runs]
        backend.runs.create(rows, [_message(run, 0) for run in runs], owner="w", lease_until=10**9)
        rev, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < SECONDS:
            assert all(backend.runs.commit([_commit(run, rev) for run in runs]))
            rev += 1
        print(
            f"{backend.name:<11} batch {batch:>2}: {rev * batch / spent:>9,.0f} commits/s, "
            f"{spent / rev * 1000:.3f} ms a call"
        )
    bench_entities(backend)
    backend.close()


def bench_entities(backend: Backend) -> None:
    """Print what it costs to read one of a thousand entities, and to write one."""
    for number in range(1000):
        backend.entities.put(_entity(number), 0)
    calls: dict[str, Callable[[int], object]] = {
        "get by id": lambda number: backend.entities.get(ACCOUNT, "token", str(number % 1000), 0),
        "find by lookup": lambda number: backend.entities.find("token", f"hash {number % 1000}", 0),
        "put": lambda number: backend.entities.put(_entity(number % 1000), 0),
    }
    for name, call in calls.items():
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < SECONDS / 4:
            assert call(count) is not None
            count += 1
        print(f"{backend.name:<11} entities, {name:<15} {spent / count * 1e6:>7,.1f} µs")


def _entity(number: int) -> Entity:
    return Entity(ACCOUNT, "token", str(number), BODY, lookup=f"hash {number}")


def _message(run: RunId, rev: int) -> Message:
    return Message(Receipt(ACCOUNT, run, StepId(f"{rev}.0"), 1), 0)


def _commit(run: RunId, rev: int) -> Commit:
    step = StepRow(StepId(f"{rev}.0"), 1, NodeId("n"), RowStatus.SUCCEEDED, rev + 1, BODY)
    return Commit(
        account=ACCOUNT,
        run=run,
        expected_rev=rev,
        rev=rev + 1,
        head=HEAD,
        status="running",
        steps=[step],
        ack=[_message(run, rev).receipt],
        hand_off=[_message(run, rev + 1)],
        owner="w",
        lease_until=10**9,
    )


def main(wanted: list[str]) -> None:
    if "memory" in wanted:
        bench(MemoryBackend())
    if "sqlite" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            bench(SqliteBackend(Path(folder, "bench.db")))
    if "postgres" in wanted:
        cluster = Cluster(fsync=True)
        try:
            bench(PostgresBackend(cluster.new_database()))
        finally:
            cluster.stop()


if __name__ == "__main__":
    main(sys.argv[1:] or ["memory", "sqlite", "postgres"])
