"""Key-value items in memory."""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.adapters.memory.data import Data
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict
from flowrunner.ports.kv import Item


class MemoryKeyValues:
    """See `ports.kv.KeyValues`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None:
        with self._data.lock:
            item = self._data.values.get((account, namespace), {}).get(key)
            return item if item is not None and _alive(item, now) else None

    def set(self, account: AccountId, namespace: str, item: Item) -> None:
        with self._data.lock:
            self._data.values.setdefault((account, namespace), {})[item.key] = item

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        with self._data.lock:
            return self._data.values.get((account, namespace), {}).pop(key, None) is not None

    def list(
        self, account: AccountId, namespace: str, now: Millis, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Item]:
        with self._data.lock:
            items = list(self._data.values.get((account, namespace), {}).values())
        found = [item for item in items if item.key.startswith(prefix) and item.key > after and _alive(item, now)]
        return sorted(found, key=lambda item: item.key.encode())[:limit]

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        with self._data.lock:
            item = self.get(account, namespace, key, now)
            value = item.value if item is not None else 0
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Conflict(f"the value of {key!r} is no number")
            self.set(account, namespace, Item(key, value + by, expires_at))
            return value + by

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
