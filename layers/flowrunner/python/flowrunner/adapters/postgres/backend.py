"""The PostgreSQL backend."""

from __future__ import annotations

from flowrunner.adapters.postgres.database import Database
from flowrunner.adapters.postgres.entities import PostgresEntities
from flowrunner.adapters.postgres.erasure import delete_account
from flowrunner.adapters.postgres.history import PostgresHistory
from flowrunner.adapters.postgres.queue import PostgresQueue
from flowrunner.adapters.postgres.runs import PostgresRuns
from flowrunner.adapters.postgres.things import (
    PostgresBlobs,
    PostgresCallbacks,
    PostgresDocuments,
    PostgresFlows,
    PostgresKeyValues,
)
from flowrunner.adapters.postgres.wakeups import PostgresWakeups
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


class PostgresBackend:
    """See `ports.backend.Backend`. Connections are opened on first use; `migrate` says what is wrong with
    the server.
    """

    name = "PostgreSQL"
    capabilities = Capabilities(durable=True, shared=True)

    def __init__(self, url: str, pool_size: int = 4) -> None:
        """Raises `ConfigurationError` for a URL that cannot be read."""
        self._database = Database(url, pool_size)
        self._wakeups = PostgresWakeups(self._database)
        self.wakeups: Wakeups = self._wakeups
        self.runs: RunStore = PostgresRuns(self._database, self._wakeups)
        self.history: RunHistory = PostgresHistory(self._database)
        self.queue: WorkQueue = PostgresQueue(self._database, self._wakeups)
        self.flows: Flows = PostgresFlows(self._database)
        self.blobs: Blobs = PostgresBlobs(self._database)
        self.values: KeyValues = PostgresKeyValues(self._database)
        self.callbacks: Callbacks = PostgresCallbacks(self._database)
        self.documents: Documents = PostgresDocuments(self._database)
        self.entities: Entities = PostgresEntities(self._database)

    def migrate(self) -> None:
        self._database.migrate()

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        return delete_account(self._database, self.history, account, limit)

    def close(self) -> None:
        self._wakeups.close()
        self._database.close()
