"""A disk that is full: nothing that was acknowledged is lost, and all goes on when there is room again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError

from tests.engine.harness import ACCOUNT, Bench, bench, flow

ROOM = 40
"""Pages that are left, of 4 KiB."""
NODES = """
a: {type: transform, params: {value: "${input}"}, next: b}
b: {type: transform, params: {value: "${prev}"}, next: c}
c: {type: delay, params: {for: 1m}, next: d}
d: {type: transform, params: {value: 1}}"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteBackend]:
    made = SqliteBackend(tmp_path / "full.db", "normal")
    made.migrate()
    yield made
    made.close()


def limit(store: SqliteBackend, pages: int) -> None:
    """Let the file have so many pages more, at most: SQLite answers with SQLITE_FULL, as it does for the disk."""
    writer = store._database._writer
    [now] = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {now + pages}")


def fill(b: Bench, document: str) -> list[RunId]:
    """Start runs until there is no room for another one; answers those that were acknowledged."""
    runs: list[RunId] = []
    try:
        while len(runs) < 1_000:
            runs.append(b.start(document, "x" * 3_000, run=f"run-{len(runs)}"))
    except StoreError:
        return runs
    raise AssertionError("the disk is never full")


def test_a_full_disk_loses_nothing_that_was_acknowledged(store: SqliteBackend) -> None:
    """Runs are refused while it is full, those under way stand still, and all of them end when there is room."""
    with bench(store) as b:
        document = flow(NODES)
        b.engine.save_flow(ACCOUNT, document)
        limit(store, ROOM)
        runs = fill(b, document)
        assert runs, "there was no room for a single run"
        with pytest.raises(StoreError):
            b.work()
        limit(store, 100 * ROOM)
        b.worker._views.clear()  # as it does itself, before it tries again
        b.work()
        assert {b.result(run).status for run in runs} == {"completed"}
        for run in runs:
            assert [(one.label, one.attempt) for one in b.steps(run)] == [("a", 1), ("b", 1), ("c", 1), ("d", 1)]


def test_a_run_that_was_refused_is_not_there(store: SqliteBackend) -> None:
    """Who starts it again, when there is room, starts it once."""
    with bench(store) as b:
        document = flow(NODES)
        b.engine.save_flow(ACCOUNT, document)
        limit(store, ROOM)
        refused = RunId(f"run-{len(fill(b, document))}")
        assert b.engine.parts.backend.runs.load([(ACCOUNT, refused)]) == [None]
        limit(store, 100 * ROOM)
        assert b.start(document, "x", run=refused) == refused
        b.work()
        assert b.result(refused).status == "completed"
