"""Compiled flows by revision, kept in memory: a revision never changes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, FlowId
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.program import Program, compile_program
from flowrunner.errors import NotFound
from flowrunner.nodes.registry import Registry
from flowrunner.ports.flows import FlowRow, Flows

LoadFlow = Callable[[str], Flow]
"""Loads a document that was found valid when it was saved; raises `InvalidFlow` if it no longer is."""

CACHE_BYTES = 64 * 1024 * 1024
COMPILED_FACTOR = 20
"""How much larger a compiled flow is than its text, roughly; for the cache's bound only."""


class Programs:
    """Gives the program of a flow revision."""

    def __init__(self, flows: Flows, load: LoadFlow, registry: Registry) -> None:
        self._flows = flows
        self._load = load
        self._registry = registry
        self._cache: SizedCache[tuple[str, str, int, int], Program] = SizedCache(CACHE_BYTES)
        self._lock = Lock()

    def get(self, account: AccountId, flow: FlowId, revision: int) -> Program:
        """The program of a stored revision. Raises `NotFound` or `InvalidFlow`."""
        key = (account, flow, revision, self._registry.generation)
        found = self._cache.get(key)
        if found is None:
            row = self._flows.get(account, flow, revision)
            if row is None:
                raise NotFound(f"flow {flow} has no revision {revision}")
            found = self.compile(row)
        return found

    def compile(self, row: FlowRow) -> Program:
        """Compile a stored revision, and keep it."""
        with self._lock:
            key = (row.account, row.id, row.revision, self._registry.generation)
            found = self._cache.get(key)
            if found is None:
                found = compile_program(self._load(row.document), self._registry)
                self._cache.put(key, found, len(row.document) * COMPILED_FACTOR)
            return found
