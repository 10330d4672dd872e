"""Key-value items in memory.

Values are kept as JSON text: what is stored is then nobody's to change, and what the other backends refuse
is refused here as well, so that a flow tried out in memory runs on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

import orjson

from flowrunner.adapters.memory.data import Data
from flowrunner.core.ids import AccountId, Millis
from flowrunner.core.json_text import packed
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.ports.kv import Item
from flowrunner.ports.text import require_storable


class MemoryKeyValues:
    """See `ports.kv.KeyValues`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None:
        with self._data.lock:
            item = self._data.values.get((account, namespace), {}).get(key)
            return _read(item) if item is not None and _alive(item, now) else None

    def set(self, account: AccountId, namespace: str, item: Item) -> None:
        require_storable(namespace, item.key)
        try:
            stored = replace(item, value=packed(item.value))
        except TypeError as error:  # orjson.JSONEncodeError is one
            raise InvalidInput(f"the value of {item.key!r} cannot be stored as JSON: {error}") from None
        with self._data.lock:
            self._data.values.setdefault((account, namespace), {})[item.key] = stored

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        with self._data.lock:
            return self._data.values.get((account, namespace), {}).pop(key, None) is not None

    def list(
        self,
        account: AccountId,
        namespace: str,
        now: Millis,
        *,
        prefix: str = "",
        after: str = "",
        limit: int = 100,
    ) -> Sequence[Item]:
        with self._data.lock:
            items = list(self._data.values.get((account, namespace), {}).values())
        found = [item for item in items if item.key.startswith(prefix) and item.key > after and _alive(item, now)]
        return [_read(item) for item in sorted(found, key=lambda item: item.key)[:limit]]

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        with self._data.lock:
            item = self.get(account, namespace, key, now)
            value = item.value if item is not None else 0
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Conflict(f"the value of {key!r} is no number")
            total = value + by
            if not isfinite(total) or (isinstance(total, int) and not -(2**63) <= total < 2**63):
                raise Conflict(f"the value of {key!r} would leave the range of numbers")
            self.set(account, namespace, Item(key, total, expires_at))
            return total

    def purge(self, now: Millis) -> int:
        with self._data.lock:
            gone = [
                (namespace, key)
                for namespace, items in self._data.values.items()
                for key, item in items.items()
                if not _alive(item, now)
            ]
            for namespace, key in gone:
                del self._data.values[namespace][key]
            return len(gone)


def _alive(item: Item, now: Millis) -> bool:
    return item.expires_at is None or item.expires_at > now


def _read(item: Item) -> Item:
    return replace(item, value=orjson.loads(item.value))
