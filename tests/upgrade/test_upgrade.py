"""A store that an older version has written, with runs that were under way: it is migrated, and every run ends.

`recorded/` holds what versions wrote (`record.py`), by store and version of its schema.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import RunId
from flowrunner.ports.backend import Backend

from tests.engine.harness import ACCOUNT, Bench, bench
from tests.upgrade.record import MINUTE

RECORDED = sorted(Path(__file__).parent.joinpath("recorded").glob("*.sql"))

COMPLETED = {
    "timer-0": {"b": "late"},
    "fan-0": {"sum": 7},
    "retry-0": {"b": "after"},
    "limited-0": None,
    "limited-1": None,
    "killed-0": {"a": {"value": 1}},
    "large-0": {"b": 9000},
    "done-0": {"a": {"who": "Ada"}},
    "parent-0": {"b": {"b": "late"}},
}
"""What the runs give that need nobody; of `limited` the time is all there is to see."""


def load_sqlite(recorded: Path, folder: Path) -> SqliteBackend:
    path = folder / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(recorded.read_text("utf-8"))
    return SqliteBackend(path, "normal")


def load_postgres(recorded: Path, url: str) -> PostgresBackend:
    """The tables as the migrations up to that version made them, and its rows."""
    version = int(recorded.stem.partition("-")[2])
    folder = files("flowrunner.adapters.postgres").joinpath("migrations")
    scripts = sorted((one for one in folder.iterdir() if one.name.endswith(".sql")), key=lambda one: one.name)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA flowrunner")
        connection.execute("CREATE TABLE flowrunner.schema_version (version integer PRIMARY KEY, name text NOT NULL)")
        for script in scripts[:version]:
            connection.execute(script.read_text("utf-8").encode())
        connection.execute(recorded.read_text("utf-8").encode())
    return PostgresBackend(url)


@pytest.fixture(params=RECORDED, ids=[one.stem for one in RECORDED])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    recorded: Path = request.param
    backend: Backend
    if recorded.stem.startswith("sqlite"):
        backend = load_sqlite(recorded, tmp_path)
    else:
        backend = load_postgres(recorded, request.getfixturevalue("postgres").new_database())
    yield backend
    backend.close()


@pytest.fixture
def upgraded(old: Backend) -> Iterator[Bench]:
    """An engine of today on the migrated store, five minutes after the last one has gone."""
    old.migrate()
    with bench(old) as b:
        b.clock.turn_to(b.clock.now() + 6 * MINUTE)
        yield b


def test_every_run_ends_as_it_would_have(upgraded: Bench) -> None:
    """Timers, half a foreach, a retry, a place in a queue, a child; a step whose worker died has its effect once."""
    upgraded.work()
    results = {name: upgraded.result(RunId(name)) for name in COMPLETED}
    assert {name: one.status for name, one in results.items()} == dict.fromkeys(COMPLETED, "completed")
    given = {name: one.output for name, one in results.items() if not name.startswith("limited")}
    assert given == {name: output for name, output in COMPLETED.items() if output is not None}


def test_what_waits_for_a_person_still_does(upgraded: Bench) -> None:
    """The answer to an approval goes on with the flow."""
    upgraded.work()
    run = RunId("approval-0")
    assert upgraded.result(run).status == "waiting"
    upgraded.engine.control.signal(ACCOUNT, run, "ask", {"approved": True})
    upgraded.work()
    assert (upgraded.result(run).status, upgraded.path(run)) == ("completed", ["ask", "go"])


def test_what_had_failed_can_be_redriven(upgraded: Bench) -> None:
    """Its error is read as it was written; it fails again, in a second life."""
    run = RunId("failed-0")
    before = upgraded.result(run)
    assert before.error is not None
    upgraded.engine.control.redrive(ACCOUNT, run)
    upgraded.work()
    after = upgraded.result(run)
    assert (after.status, after.attempt) == ("failed", before.attempt + 1)
    assert after.error is not None
    assert after.error["code"] == before.error["code"]
