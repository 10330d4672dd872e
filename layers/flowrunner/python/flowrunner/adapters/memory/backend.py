"""The memory backend: the stores over one lock."""

from __future__ import annotations

from flowrunner.adapters.memory.data import Data
from flowrunner.adapters.memory.entities import MemoryEntities
from flowrunner.adapters.memory.erasure import delete_account
from flowrunner.adapters.memory.flows import MemoryBlobs, MemoryCallbacks, MemoryDocuments, MemoryFlows
from flowrunner.adapters.memory.history import MemoryHistory
from flowrunner.adapters.memory.kv import MemoryKeyValues
from flowrunner.adapters.memory.queue import MemoryQueue
from flowrunner.adapters.memory.runs import MemoryRuns
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


class MemoryBackend:
    """See `ports.backend.Backend`. What it holds dies with the process."""

    name = "memory"
    capabilities = Capabilities(durable=False, shared=False)

    def __init__(self) -> None:
        data = self._data = Data()
        self.runs: RunStore = MemoryRuns(data)
        self.history: RunHistory = MemoryHistory(data)
        self.queue: WorkQueue = MemoryQueue(data)
        self.flows: Flows = MemoryFlows(data)
        self.blobs: Blobs = MemoryBlobs(data)
        self.values: KeyValues = MemoryKeyValues(data)
        self.callbacks: Callbacks = MemoryCallbacks(data)
        self.documents: Documents = MemoryDocuments(data)
        self.entities: Entities = MemoryEntities(data)
        self.wakeups: Wakeups = data

    def migrate(self) -> None:
        """Nothing to do."""

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        return delete_account(self._data, self.entities, account, limit)

    def close(self) -> None:
        """Nothing to do."""
