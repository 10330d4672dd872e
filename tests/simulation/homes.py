"""Where the runs of a simulated world are stored: each home is a new, empty one for each seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.ports.backend import Backend
from flowrunner.testing import TurnedClock

from tests.adapters.aws.fake_cloud import FakeCloud
from tests.adapters.aws.fake_table import FakeTable

HOMES = ("memory", "sqlite", "postgres", "dynamodb")
FUNCTIONS = "functions"
"""Memory, served by invocations."""
LAGGING = "lagging"
"""DynamoDB with indexes that are behind its table: what is late there comes in another order than elsewhere."""

NUMBERS = count()


def home(name: str, folder: Path) -> Callable[[], Backend]:
    """What makes such homes; files go into `folder`."""
    return {
        "memory": MemoryBackend,
        "sqlite": lambda: sqlite(folder),
        "postgres": postgres,
        "dynamodb": dynamodb,
    }[name]


def sqlite(folder: Path) -> Backend:
    from flowrunner.adapters.sqlite.backend import SqliteBackend

    made = SqliteBackend(folder / f"{next(NUMBERS)}.db", "normal")
    made.migrate()
    return made


def dynamodb(table: FakeTable | None = None) -> Backend:
    """A table in this process, with the queue in it."""
    made = FakeCloud(TurnedClock(), table=table).backend()
    made.migrate()
    return made


def postgres() -> Backend:
    """A database of its own on this process's server."""
    from flowrunner.adapters.postgres.backend import PostgresBackend

    from tests.api.harness import _cluster

    made = PostgresBackend(_cluster().new_database())
    made.migrate()
    return made
