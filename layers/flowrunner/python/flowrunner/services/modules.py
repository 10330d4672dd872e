"""The WebAssembly modules of an account, which the node `wasm` runs by name."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from flowrunner.errors import InvalidInput
from flowrunner.nodes.wasm_modules import ModuleStore, StoredModule
from flowrunner.ports.clock import Clock
from flowrunner.ports.kv import KeyValues
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require


class Modules:
    """Kept beside the flows, under the same permissions: a module is a part of the flows that name it."""

    def __init__(self, values: KeyValues, clock: Clock, audit: Audit) -> None:
        self._values = values
        self._clock = clock
        self._audit = audit

    def list(self, actor: Actor, after: str | None = None, limit: int = 50) -> Sequence[StoredModule]:
        """By name."""
        require(actor, Permission.FLOWS_READ)
        return self._of(actor).names(self._clock.now(), after or "", limit)

    def get(self, actor: Actor, name: str) -> StoredModule:
        """Raises `NotFound`."""
        require(actor, Permission.FLOWS_READ)
        return self._of(actor).find(name, self._clock.now())

    def put(self, actor: Actor, name: str, content: str) -> StoredModule:
        """Keep a module, given as base64, in the place of the one of that name. Raises `InvalidInput`."""
        require(actor, Permission.FLOWS_WRITE)
        try:
            raw = base64.b64decode(content, validate=True)
        except ValueError:
            raise InvalidInput("the content is not base64") from None
        made = self._of(actor).put(name, raw, actor.name, self._clock.now())
        self._audit.record(actor, Action.MODULE_WRITTEN, name, digest=made.digest)
        return made

    def delete(self, actor: Actor, name: str) -> None:
        """Raises `NotFound`."""
        require(actor, Permission.FLOWS_WRITE)
        gone = self._of(actor).delete(name, self._clock.now())
        self._audit.record(actor, Action.MODULE_DELETED, name, digest=gone.digest)

    def _of(self, actor: Actor) -> ModuleStore:
        return ModuleStore(self._values, actor.account)
