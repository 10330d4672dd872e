"""The SQLite backend."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from flowrunner.adapters.sqlite.database import Database
from flowrunner.adapters.sqlite.entities import SqliteEntities
from flowrunner.adapters.sqlite.erasure import delete_account
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
from flowrunner.core.ids import AccountId
from flowrunner.ports.backend import Capabilities
from flowrunner.ports.blobs import Blobs
from flowrunner.ports.callbacks import Callbacks
from flowrunner.ports.documents import Documents
from flowrunner.ports.entities import Entities
from flowrunner.ports.flows import Flows
from flowrunner.ports.history import RunHistory
from flowrunner.ports.kv import KeyValues
from flowrunner.ports.queue import WorkQueue
from flowrunner.ports.runs import RunStore
from flowrunner.ports.wakeups import Wakeups


class SqliteBackend:
    """See `ports.backend.Backend`. One machine; a few processes may share the file."""

    name = "SQLite"
    capabilities = Capabilities(durable=True, shared=False)

    def __init__(self, path: Path, synchronous: Literal["full", "normal"] = "full") -> None:
        self._database = Database(path, synchronous)
        self.runs: RunStore = SqliteRuns(self._database)
        self.history: RunHistory = SqliteHistory(self._database)
        self.queue: WorkQueue = SqliteQueue(self._database)
        self.flows: Flows = SqliteFlows(self._database)
        self.blobs: Blobs = SqliteBlobs(self._database)
        self.values: KeyValues = SqliteKeyValues(self._database)
        self.callbacks: Callbacks = SqliteCallbacks(self._database)
        self.documents: Documents = SqliteDocuments(self._database)
        self.entities: Entities = SqliteEntities(self._database)
        self.wakeups: Wakeups = self._database

    def migrate(self) -> None:
        self._database.migrate()

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        return delete_account(self._database, self.history, account, limit)

    def close(self) -> None:
        self._database.close()
