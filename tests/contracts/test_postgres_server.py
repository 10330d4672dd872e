"""PostgreSQL beyond the contracts: restarts, refusals, plans and what must not be printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from queue import SimpleQueue

import psycopg
import pytest
from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.adapters.postgres.database import SESSION, Connection, Database, statement
from flowrunner.errors import ConfigurationError, InvalidInput, StoreError
from flowrunner.ports.backend import Backend
from flowrunner.ports.runs import ClaimStatus
from flowrunner.ports.wakeups import Topic

from tests.contracts.suites.build import ACCOUNT, LEASE, NOW, RUN, claim, commit, indexed_reads, load, message, start
from tests.postgres import USER, Cluster

PATIENCE = 120.0

INDEXES = {
    "get": "entities_pkey",
    "list": "entities_pkey",
    "list backwards": "entities_pkey",
    "find": "entities_lookup",
    "due": "entities_due",
    "next due": "entities_due",
    "count": "runs_by_status",
    "count of a flow": "runs_by_status",
}


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A server of the test's own, to be restarted."""
    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def backend(postgres: Cluster) -> Iterator[Backend]:
    made = PostgresBackend(postgres.new_database())
    made.migrate()
    yield made
    made.close()


def test_a_restarted_server_is_found_again(own_cluster: Cluster) -> None:
    """What may be repeated is, what may not be says so, nothing is lost, and the listener hears again."""
    backend = PostgresBackend(own_cluster.new_database())
    backend.migrate()
    start(backend)
    hints: SimpleQueue[Topic] = SimpleQueue()
    leave = backend.wakeups.listen(hints.put)
    assert {hints.get(timeout=PATIENCE) for _ in range(2)} == {"queue", "runs"}
    own_cluster.restart()
    assert load(backend).rev == 1
    assert backend.runs.claim([claim()])[0].status is ClaimStatus.GRANTED
    # Whoever listens is told to look, since hints were lost with the connection.
    assert {hints.get(timeout=PATIENCE) for _ in range(2)} == {"queue", "runs"}
    own_cluster.restart()
    with pytest.raises(StoreError):
        backend.runs.commit([commit()])
    assert load(backend).rev == 1
    assert list(backend.runs.commit([commit()])) == [True]
    leave()
    backend.close()


@pytest.mark.parametrize("url", ["postgresql://user:sesame@[::1/db", "postgresql://u:sesame@h/db?nonsense=1"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        PostgresBackend(url)
    assert "sesame" not in str(caught.value)
    assert "store.url" in str(caught.value)


def test_a_server_that_is_not_there_is_named() -> None:
    """Host, port and database are in the message, the password is not."""
    backend = PostgresBackend("postgresql://user:sesame@127.0.0.1:1/db")
    with pytest.raises(StoreError) as caught:
        backend.migrate()
    assert "127.0.0.1:1/db" in str(caught.value)
    assert "sesame" not in str(caught.value)
    backend.close()


def test_a_newer_schema_is_refused(postgres: Cluster) -> None:
    """With what to do about it, and without touching it."""
    url = postgres.new_database()
    backend = PostgresBackend(url)
    backend.migrate()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO flowrunner.schema_version VALUES (999, 'future')")
    with pytest.raises(ConfigurationError, match=r"999.*update"):
        backend.migrate()
    backend.close()


def test_another_encoding_is_refused(postgres: Cluster) -> None:
    """Text would not come back as it was stored."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    backend = PostgresBackend(postgres.url("latin"))
    with pytest.raises(ConfigurationError, match="UTF8"):
        backend.migrate()
    backend.close()


def test_a_user_without_rights_is_told_what_to_ask_for(postgres: Cluster) -> None:
    """The owner has to make the schema."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE poor LOGIN")
    backend = PostgresBackend(url.replace(f"{USER}@", "poor@"))
    with pytest.raises(ConfigurationError, match="CREATE SCHEMA"):
        backend.migrate()
    backend.close()


def test_a_missing_schema_is_said(postgres: Cluster) -> None:
    """Instead of the server's words about a relation."""
    backend = PostgresBackend(postgres.new_database())
    with pytest.raises(StoreError, match="migrates"):
        backend.queue.next_visible()
    backend.close()


def test_a_closed_store_says_so(backend: Backend) -> None:
    """And no connection is opened again."""
    backend.close()
    with pytest.raises(StoreError, match="closed"):
        backend.queue.next_visible()


def test_text_that_cannot_be_stored_is_the_callers_fault(backend: Backend) -> None:
    """Trying again would not help, so it is no StoreError; the store goes on."""
    for text in ("a\0b", "half \ud83d"):
        with pytest.raises(InvalidInput):
            load(backend, text)
        with pytest.raises(InvalidInput):
            backend.blobs.put(ACCOUNT, RUN, text, b"")
    start(backend)


def test_receiving_reads_no_more_than_it_gives(backend: Backend, postgres: Cluster) -> None:
    """The plan walks the index of due messages, whatever the number of timers."""
    backend.queue.send([message(f"t{n}", due=NOW + 10**6 + n, priority=n % 3) for n in range(5000)])
    backend.queue.send([message("due")])
    url = postgres.url(f"test_{next(postgres._numbers) - 1}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SESSION)
        parameters = {"now": NOW, "limit": 10, "lease_until": LEASE, "owner": "w"}
        sql = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {statement('receive')}"
        plan = "\n".join(row[0] for row in connection.execute(sql, parameters))
    assert "queue_due" in plan
    assert "Seq Scan" not in plan
    assert not re.search("Rows Removed by Filter: [1-9]", plan), plan


def test_plans_made_on_empty_tables_do_not_stay(postgres: Cluster) -> None:
    """An empty table says nothing about its indexes; once it has grown, a commit finds its run by the run's key."""
    backend = PostgresBackend(postgres.new_database(), pool_size=1)
    backend.migrate()
    for batch in range(20):
        names = [f"run-{batch}-{number}" for number in range(100)]
        start(backend, *names)
        assert all(backend.runs.commit([commit(run=name) for name in names]))
    plan = "\n".join(kept_plan(backend._database, "-- Commits of"))
    backend.close()
    assert "using runs_pkey on" in plan, plan


def kept_plan(database: Database, beginning: str) -> list[str]:
    """The plan that a statement has on its connection, and keeps."""

    def look(connection: Connection) -> list[str]:
        sql = "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE starts_with(statement, %s)"
        [(name, parameters)] = connection.execute(sql, (beginning,)).fetchall()
        nothing = ", ".join(["NULL"] * parameters)
        return [row[0] for row in connection.execute(f'EXPLAIN EXECUTE "{name}" ({nothing})')]

    return database.do(look, repeatable=True)


def test_entities_and_counts_are_read_by_an_index(backend: Backend) -> None:
    """Each question walks its own index, in order: nothing is sorted, and no table is read whole."""
    database = backend._database  # type: ignore[attr-defined]  # the adapter's own
    plans: dict[str, str] = {}
    plain = database.read

    def explained(sql: str, parameters: tuple[object, ...] = (), **options: bool) -> object:
        plans[asked] = "\n".join(row[0] for row in plain(f"EXPLAIN {sql}", parameters))
        return plain(sql, parameters, **options)

    database.read = explained
    for asked, read in indexed_reads(backend).items():
        read()
        index = INDEXES[asked]
        assert f"using {index} on" in plans[asked], plans[asked]
        assert "Sort" not in plans[asked], plans[asked]
        assert "Filter: (status" not in plans[asked], plans[asked]
