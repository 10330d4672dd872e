"""The WebAssembly modules that an account keeps under names: where they are among its values, and how one is read.

The namespaces are of no scope of the node `store`, so no flow can change them. The name leads to a digest, and name and
digest to the content, so that a module which is replaced while a step reads it is either the old one or the new one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.ports.kv import Item, KeyValues

NAMES = "wasm/names"
CONTENT = "wasm/content"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
MAGIC = b"\0asm\1\0\0\0"
"""How a module begins; components have another version (WebAssembly specification, 5.5.16)."""
MAX_MODULES = 1_000


@dataclass(frozen=True, slots=True)
class StoredModule:
    """What is known of a module beside its content."""

    name: str
    digest: str
    size: int
    changed_at: Millis
    by: str


def digest_of(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def check_module(content: bytes) -> None:
    """Raises `InvalidInput` for what cannot be a module; whether it is one shows when it is compiled."""
    if not content.startswith(MAGIC):
        hint = "it is a component: build a module for wasm32-wasip1" if content[:4] == MAGIC[:4] else None
        raise InvalidInput("that is no WebAssembly module", hint=hint or "give the .wasm file, not its text form")


class ModuleStore:
    """Names and contents of an account's modules."""

    def __init__(self, values: KeyValues, account: AccountId) -> None:
        self._values = values
        self._account = account

    def find(self, name: str, now: Millis) -> StoredModule:
        """Raises `NotFound`."""
        item = self._values.get(self._account, NAMES, name, now)
        if item is None or not isinstance(item.value, dict):
            raise NotFound(f"there is no module {name!r}")
        return _read(item)

    def content(self, module: StoredModule, now: Millis) -> bytes:
        """The module itself. Raises `NotFound` when it was replaced or deleted meanwhile."""
        item = self._values.get(self._account, CONTENT, _place(module), now)
        if item is None or not isinstance(item.value, str):
            raise NotFound(f"the module {module.name!r} was changed at this moment")
        return base64.b64decode(item.value)

    def names(self, now: Millis, after: str = "", limit: int = 100) -> Sequence[StoredModule]:
        return [_read(item) for item in self._values.list(self._account, NAMES, now, after=after, limit=limit)]

    def put(self, name: str, content: bytes, by: str, now: Millis) -> StoredModule:
        """Keep a module, in the place of the one of that name. Raises `InvalidInput`."""
        if re.fullmatch(NAME.strip("^$"), name) is None:
            raise InvalidInput("a module's name has letters, digits, dots, hyphens and underscores", hint="up to 128")
        check_module(content)
        made = StoredModule(name, digest_of(content), len(content), now, by)
        before = self._values.get(self._account, NAMES, name, now)
        if before is None and len(self.names(now, limit=MAX_MODULES)) >= MAX_MODULES:
            raise InvalidInput(f"an account keeps {MAX_MODULES:,} modules", hint="delete one that no flow uses")
        self._values.set(self._account, CONTENT, Item(_place(made), base64.b64encode(content).decode("ascii")))
        self._values.set(self._account, NAMES, Item(name, asdict(made)))
        if before is not None and _read(before).digest != made.digest:
            self._values.delete(self._account, CONTENT, _place(_read(before)))
        return made

    def delete(self, name: str, now: Millis) -> StoredModule:
        """Raises `NotFound`."""
        found = self.find(name, now)
        self._values.delete(self._account, NAMES, name)
        self._values.delete(self._account, CONTENT, _place(found))
        return found


def _place(module: StoredModule) -> str:
    return f"{module.name}/{module.digest}"


def _read(item: Item) -> StoredModule:
    value = item.value
    return StoredModule(item.key, value["digest"], value["size"], value["changed_at"], value["by"])
