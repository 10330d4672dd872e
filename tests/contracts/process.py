"""A process that works on a store, for the tests of several at once: `python -m tests.contracts.process URL NAME`.

It migrates, then takes messages until there are none and commits each one's run. For every commit that it won it
prints a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.ports.backend import Backend

from tests.contracts.suites.build import LEASE, NOW, commit


def open_backend(url: str) -> Backend:
    """SQLite for a path, PostgreSQL for its URL."""
    return PostgresBackend(url, pool_size=2) if url.startswith("postgresql:") else SqliteBackend(Path(url), "normal")


def work(backend: Backend, name: str) -> list[str]:
    """Take and commit until nothing is due; answers the runs whose commit was ours."""
    won: list[str] = []
    while deliveries := backend.queue.receive(name, NOW, LEASE, 7):
        receipts = [one.receipt for one in deliveries]
        commits = [commit(run=one.run, ack=[one], head=name.encode()) for one in receipts]
        applied = backend.runs.commit(commits)
        won += [one.run for one, took in zip(receipts, applied, strict=True) if took]
    return won


if __name__ == "__main__":
    made = open_backend(sys.argv[1])
    made.migrate()
    sys.stdout.write("\n".join(work(made, sys.argv[2])))
    made.close()
