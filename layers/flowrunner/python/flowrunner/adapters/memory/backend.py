"""The memory backend: the stores over one lock."""

from __future__ import annotations

from flowrunner.adapters.memory.data import Data
from flowrunner.adapters.memory.flows import MemoryBlobs, MemoryCallbacks, MemoryDocuments, MemoryFlows
from flowrunner.adapters.memory.history import MemoryHistory
from flowrunner.adapters.memory.kv import MemoryKeyValues
from flowrunner.adapters.memory.queue import MemoryQueue
from flowrunner.adapters.memory.runs import MemoryRuns
from flowrunner.ports.backend import Capabilities


class MemoryBackend:
    """See `ports.backend.Backend`. What it holds dies with the process."""

    name = "memory"
    capabilities = Capabilities(durable=False, shared=False)

    def __init__(self) -> None:
        data = Data()
        self.runs = MemoryRuns(data)
        self.history = MemoryHistory(data)
        self.queue = MemoryQueue(data)
        self.flows = MemoryFlows(data)
        self.blobs = MemoryBlobs(data)
        self.values = MemoryKeyValues(data)
        self.callbacks = MemoryCallbacks(data)
        self.documents = MemoryDocuments(data)
        self.wakeups = data

    def migrate(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
