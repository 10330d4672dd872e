"""Several processes on one SQLite file and on one PostgreSQL database."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowrunner.ports.backend import Backend
from flowrunner.ports.wakeups import Topic

from tests.contracts.process import open_backend
from tests.contracts.suites.build import ACCOUNT, NOW, commit, load, message, run_row, start
from tests.postgres import Cluster

ROOT = Path(__file__).parents[2]
MESSAGES = 500
PATIENCE = 120.0
"""Seconds after which a hint from another process counts as lost."""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that several processes share, without a schema yet."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture
def backend(url: str) -> Iterator[Backend]:
    made = open_backend(url)
    yield made
    made.close()


def begin(url: str, *names: str) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.contracts.process", url]
    return [
        subprocess.Popen([*command, name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in names
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[list[str]]:
    """What each process won; fails with what it wrote on standard error."""
    results = []
    for process in processes:
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        results.append(output.split())
    return results


def test_processes_share_the_work_and_each_message_is_done_once(url: str, backend: Backend) -> None:
    """Of 500 messages none is lost, and none is committed by two processes."""
    backend.migrate()
    runs = [f"run-{n}" for n in range(MESSAGES)]
    backend.runs.create([run_row(run) for run in runs], [message(run=run) for run in runs])
    won = finish(begin(url, "p1", "p2", "p3"))
    assert sorted(run for share in won for run in share) == sorted(runs)
    assert {load(backend, run).head for run in runs} <= {b"p1", b"p2", b"p3"}
    assert backend.queue.next_visible() is None


def test_processes_that_start_at_once_migrate_once(url: str, backend: Backend) -> None:
    """Each finds or makes the schema, and none fails over the others."""
    assert finish(begin(url, "p1", "p2", "p3", "p4")) == [[], [], [], []]
    backend.migrate()
    start(backend)
    assert load(backend).account == ACCOUNT


def test_a_message_wakes_the_other_processes(url: str, backend: Backend) -> None:
    """A listener hears of what another opener of the store sends and ends."""
    backend.migrate()
    heard: dict[Topic, threading.Event] = {"queue": threading.Event(), "runs": threading.Event()}
    ready = threading.Event()

    def hear(topic: Topic) -> None:
        heard[topic].set()
        if all(event.is_set() for event in heard.values()):
            ready.set()

    leave = backend.wakeups.listen(hear)
    other = open_backend(url)
    if url.startswith("postgresql:"):
        assert ready.wait(PATIENCE), "the listener says so when it begins to listen"
    for event in heard.values():
        event.clear()
    other.runs.create([run_row()], [message()])
    other.runs.commit([commit(status="completed", ended_at=NOW)])
    assert heard["queue"].wait(PATIENCE)
    assert heard["runs"].wait(PATIENCE)
    leave()
    other.close()
