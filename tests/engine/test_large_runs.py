"""Wide and long runs on every store: each item once, the join once, a loop exactly to its limit.

`CHECK_LARGE=10000 scripts/test tests/engine/test_large_runs.py` tries the size of the goal; `scripts/bench large` times it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.ports.backend import Backend

from tests.adapters.aws.fake_cloud import FakeCloud
from tests.bench import workloads
from tests.bench.large_runs import SECONDS, foreach, loop

ITEMS = int(os.environ.get("CHECK_LARGE", "600"))
STEPS = int(os.environ.get("CHECK_LARGE", "200"))


@pytest.fixture(params=["memory", "sqlite", "postgres", "dynamodb"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend
    match request.param:
        case "memory":
            made = MemoryBackend()
        case "sqlite":
            made = SqliteBackend(tmp_path / "large.db", "normal")
        case "postgres":
            made = PostgresBackend(request.getfixturevalue("postgres_url"))
        case _:
            made = FakeCloud().backend()
    yield made
    made.close()


def test_a_wide_and_a_long_run_come_to_what_they_should(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost or executed twice where there is much of it."""
    monkeypatch.setattr(workloads, "WAIT_SECONDS", SECONDS)
    with workloads.loaded(backend) as load:
        foreach(load, ITEMS)
        loop(load, STEPS)
