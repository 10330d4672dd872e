"""Entities in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowrunner.adapters.memory.data import Data
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict
from flowrunner.ports.entities import ANY_REVISION, Entity
from flowrunner.ports.text import require_storable


class MemoryEntities:
    """See `ports.entities.Entities`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def get(self, account: AccountId, kind: str, id: str, now: Millis) -> Entity | None:
        require_storable(account, kind, id)
        with self._data.lock:
            return _alive(self._kind(kind).get((account, id)), now)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        require_storable(entity.account, entity.kind, entity.id, entity.lookup)
        key = (entity.account, entity.id)
        with self._data.lock:
            kind = self._kind(entity.kind)
            found = _alive(kind.get(key), now)
            rev = found.rev if found is not None else 0
            if expected_rev not in (ANY_REVISION, rev):
                return None
            if entity.lookup is not None:
                self._free(entity, entity.lookup, now)
            stored = replace(entity, rev=rev + 1)
            self._remove(kind.get(key))
            kind[key] = stored
            if stored.lookup is not None:
                self._data.lookups[stored.kind, stored.lookup] = key
            return stored

    def delete(self, account: AccountId, kind: str, id: str, expected_rev: int = ANY_REVISION) -> bool:
        require_storable(account, kind, id)
        with self._data.lock:
            found = self._kind(kind).get((account, id))
            if found is None or expected_rev not in (ANY_REVISION, found.rev):
                return False
            self._remove(found)
            return True

    def list(
        self,
        account: AccountId,
        kind: str,
        now: Millis,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> Sequence[Entity]:
        require_storable(account, kind, prefix, after)
        with self._data.lock:
            found = [
                entity
                for (owner, id), entity in self._kind(kind).items()
                if owner == account and id.startswith(prefix) and _alive(entity, now) is not None
            ]
        if after is not None:
            found = [one for one in found if (one.id < after if descending else one.id > after)]
        # Code points sort as their UTF-8 does.
        return sorted(found, key=lambda one: one.id, reverse=descending)[:limit]

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        require_storable(kind, lookup)
        with self._data.lock:
            key = self._data.lookups.get((kind, lookup))
            return _alive(self._kind(kind).get(key), now) if key is not None else None

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        require_storable(kind)
        with self._data.lock:
            found = [one for one in self._kind(kind).values() if one.due is not None and one.due <= until]
        return sorted(found, key=lambda one: (one.due, one.account, one.id))[:limit]

    def next_due(self, kind: str) -> Millis | None:
        require_storable(kind)
        with self._data.lock:
            return min((one.due for one in self._kind(kind).values() if one.due is not None), default=None)

    def purge(self, now: Millis) -> int:
        with self._data.lock:
            gone = [one for kind in self._data.entities.values() for one in kind.values() if _alive(one, now) is None]
            for one in gone:
                self._remove(one)
        return len(gone)

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        require_storable(account)
        with self._data.lock:
            mine = [one for kind in self._data.entities.values() for one in kind.values() if one.account == account]
            for one in mine[:limit]:
                self._remove(one)
        return len(mine[:limit])

    def _kind(self, kind: str) -> dict[tuple[AccountId, str], Entity]:
        return self._data.entities.setdefault(kind, {})

    def _free(self, entity: Entity, lookup: str, now: Millis) -> None:
        """Make sure that no other entity holds the lookup. Raises `Conflict`."""
        key = self._data.lookups.get((entity.kind, lookup))
        if key is None or key == (entity.account, entity.id):
            return
        holder = self._kind(entity.kind).get(key)
        if _alive(holder, now) is not None:
            raise Conflict(f"there is a {entity.kind} of that name already")
        self._remove(holder)

    def _remove(self, entity: Entity | None) -> None:
        if entity is not None:
            self._kind(entity.kind).pop((entity.account, entity.id), None)
            if entity.lookup is not None:
                self._data.lookups.pop((entity.kind, entity.lookup), None)


def _alive(entity: Entity | None, now: Millis) -> Entity | None:
    return None if entity is None or (entity.expires_at is not None and entity.expires_at <= now) else entity
