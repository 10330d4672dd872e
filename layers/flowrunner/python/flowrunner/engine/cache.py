"""A small cache that forgets what was used longest ago, bounded by the size of what it holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SizedCache(Generic[K, V]):
    """Least recently used first out. Sizes are the caller's estimate in bytes. Safe for several threads."""

    def __init__(self, max_size: int) -> None:
        self._max = max_size
        self._size = 0
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            found = self._items.get(key)
            if found is None:
                return None
            self._items.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep `value`; one larger than a quarter of the cache is not kept at all."""
        with self._lock:
            self._drop(key)
            if size > self._max // 4:
                return
            self._items[key] = (value, size)
            self._size += size
            while self._size > self._max:
                self._drop(next(iter(self._items)))

    def drop(self, key: K) -> None:
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        found = self._items.pop(key, None)
        if found is not None:
            self._size -= found[1]
