"""SQLite beyond the contracts: files that are none, other versions, and what survives."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from flowrunner.adapters.sqlite import database
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.errors import ConfigurationError, FlowrunnerError, StoreError
from flowrunner.ports.entities import Entity

from tests.contracts.suites.build import ACCOUNT, NOW, commit, indexed_reads, load, message, start

FIRST = Path(database.__file__).parent / "migrations" / "0001_initial.sql"


def open_store(path: Path) -> SqliteBackend:
    made = SqliteBackend(path)
    try:
        made.migrate()
    except FlowrunnerError:
        made.close()
        raise
    return made


def test_a_file_is_made_with_its_folder_and_read_again(tmp_path: Path) -> None:
    """What was committed is there for the next process."""
    path = tmp_path / "new" / "folder" / "store.db"
    first = open_store(path)
    start(first)
    first.runs.commit([commit()])
    first.close()
    second = open_store(path)
    assert load(second).rev == 2
    second.close()


def test_what_was_committed_is_there_for_who_opens_it_meanwhile(tmp_path: Path) -> None:
    """Two openers of one file see each other's commits, and only one wins a revision."""
    first, second = open_store(tmp_path / "store.db"), open_store(tmp_path / "store.db")
    start(first)
    assert load(second).rev == 1
    assert [list(store.runs.commit([commit()])) for store in (second, first)] == [[True], [False]]
    first.close()
    second.close()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file, a folder, a path through a file: each names the path and the setting."""
    text = tmp_path / "text.db"
    text.write_text("not a database, but longer than the header of one. " * 40)
    for path in (text, tmp_path, text / "below.db"):
        with pytest.raises(ConfigurationError) as caught:
            open_store(path)
        assert str(path) in str(caught.value)
        assert "store.url" in str(caught.value)
    assert text.read_text().startswith("not a database")


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """With what to do about it."""
    path = tmp_path / "store.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"999.*upgrade"):
        open_store(path)


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """A file of the first version gets what came since, and keeps its runs."""
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST.read_text("utf-8"))
        connection.execute("INSERT INTO runs VALUES ('acme', 'run-1', 'f', 1, 'greet', 1, 1, x'', NULL, NULL)")
        connection.execute("INSERT INTO heads VALUES ('acme', 'run-1', 7, 'running', x'')")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    made = open_store(path)
    assert load(made).rev == 7
    assert made.history.count(ACCOUNT, statuses=["running"]) == 1
    assert made.entities.put(Entity(ACCOUNT, "thing", "e", b""), 0) is not None
    made.close()


@pytest.mark.parametrize(("synchronous", "expected"), [("full", 2), ("normal", 1)])
def test_durability_is_as_asked(tmp_path: Path, synchronous: str, expected: int) -> None:
    """`full` waits for the disk at each commit; both write ahead."""
    made = SqliteBackend(tmp_path / "store.db", synchronous)  # type: ignore[arg-type]  # one of the two literals
    with made._database.write() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (expected,)
    made.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """For reading, writing and listening; closing it again is no error."""
    made = open_store(tmp_path / "store.db")
    start(made)
    load(made)
    made.close()
    made.close()
    for use in (lambda: load(made), lambda: start(made, "b"), lambda: made.wakeups.listen(print)):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_closing_leaves_no_connection_to_those_who_read_meanwhile(tmp_path: Path) -> None:
    """A reader that was under way ends well, and closes its connection itself."""
    made = open_store(tmp_path / "store.db")
    database = made._database
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(type(database)._connect(database))
        opened[-1].create_function("close_store", 0, made.close)
        return opened[-1]

    database._connect = connect  # type: ignore[method-assign]  # the moment in which a reader reads
    assert database.read("SELECT 1, close_store()") == [(1, None)]
    assert len(opened) == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


INDEXES = {
    "get": "sqlite_autoindex_entities_1",
    "list": "sqlite_autoindex_entities_1",
    "list backwards": "sqlite_autoindex_entities_1",
    "find": "entities_lookup",
    "due": "entities_due",
    "next due": "entities_due",
    "count": "heads_by_status",
    "count of a flow": "heads_by_status",
}


def test_entities_and_counts_are_read_by_an_index(tmp_path: Path) -> None:
    """Each question walks its own index, in order: nothing is sorted, and no table is read whole."""
    made = open_store(tmp_path / "store.db")
    plans: dict[str, str] = {}
    plain = made._database.read

    def explained(sql: str, parameters: tuple[object, ...] = ()) -> list[object]:
        plans[asked] = "; ".join(row[3] for row in plain(f"EXPLAIN QUERY PLAN {sql}", parameters))
        return plain(sql, parameters)

    made._database.read = explained  # type: ignore[method-assign]  # the way every question takes
    for asked, read in indexed_reads(made).items():
        read()
        assert f"INDEX {INDEXES[asked]} " in plans[asked]
        assert "TEMP B-TREE" not in plans[asked]
        assert not re.search(r"SCAN (entities|heads|runs|h|r)\b", plans[asked])
    made.close()


def test_the_queue_is_never_read_whole(tmp_path: Path) -> None:
    """Whatever the number of timers: receiving, with and without something due, and asking when the next one is."""
    made = open_store(tmp_path / "store.db")
    made.queue.send([message("due"), message("timer", due=NOW + 10**6)])
    asked: list[str] = []
    made._database._writer.set_trace_callback(asked.append)
    made._database.read("SELECT 1")
    made._database._idle[0].set_trace_callback(asked.append)
    assert len(made.queue.receive("w", NOW, NOW + 10**6, 10)) == 1
    assert not made.queue.receive("w", NOW, NOW + 10**6, 10)
    assert made.queue.next_visible() == NOW + 10**6
    made._database._idle[0].set_trace_callback(None)
    plans = [row[3] for sql in asked if "queue" in sql for row in made._database.read(f"EXPLAIN QUERY PLAN {sql}")]
    made.close()
    assert len(plans) >= 8
    assert [plan for plan in plans if not plan.startswith("SEARCH queue")] == []


def test_a_failed_write_leaves_the_store_usable(tmp_path: Path) -> None:
    """The transaction is rolled back, and the next one goes through."""
    made = open_store(tmp_path / "store.db")
    with pytest.raises(StoreError), made._database.write() as connection:
        connection.execute("INSERT INTO no_such_table VALUES (1)")
    start(made)
    assert load(made).rev == 1
    made.close()
