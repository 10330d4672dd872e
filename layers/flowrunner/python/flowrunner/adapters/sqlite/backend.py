"""The SQLite backend."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from flowrunner.adapters.sqlite.database import Database
from flowrunner.adapters.sqlite.history import SqliteHistory
from flowrunner.adapters.sqlite.queue import SqliteQueue
from flowrunner.adapters.sqlite.runs import SqliteRuns
from flowrunner.adapters.sqlite.things import (
    SqliteBlobs,
    SqliteCallbacks,
    SqliteDocuments,
    SqliteFlows,
    SqliteKeyValues,
)
from flowrunner.ports.backend import Capabilities


class SqliteBackend:
    """See `ports.backend.Backend`. One machine; a few processes may share the file."""

    name = "SQLite"
    capabilities = Capabilities(durable=True, shared=False)

    def __init__(self, path: Path, synchronous: Literal["full", "normal"] = "full") -> None:
        self._database = Database(path, synchronous)
        self.runs = SqliteRuns(self._database)
        self.history = SqliteHistory(self._database)
        self.queue = SqliteQueue(self._database)
        self.flows = SqliteFlows(self._database)
        self.blobs = SqliteBlobs(self._database)
        self.values = SqliteKeyValues(self._database)
        self.callbacks = SqliteCallbacks(self._database)
        self.documents = SqliteDocuments(self._database)
        self.wakeups = self._database

    def migrate(self) -> None:
        self._database.migrate()

    def close(self) -> None:
        self._database.close()
