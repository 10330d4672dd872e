"""Entities in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowrunner.adapters.memory.data import Data
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.ports.entities import ANY_REVISION, Entity


class MemoryEntities:
    """See `ports.entities.Entities`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def get(self, account: AccountId, kind: str, id: str, now: Millis) -> Entity | None:
        with self._data.lock:
            return _alive(self._kind(kind).get((account, id)), now)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        for text in (entity.account, entity.kind, entity.id, entity.lookup or ""):
            _check(text)
        key = (entity.account, entity.id)
        with self._data.lock:
            kind = self._kind(entity.kind)
            found = _alive(kind.get(key), now)
            if expected_rev not in (ANY_REVISION, found.rev if found else 0):
                return None
            if entity.lookup is not None:
                holder = self.find(entity.kind, entity.lookup, now)
                if holder is not None and (holder.account, holder.id) != key:
                    raise Conflict(f"there is a {entity.kind} of that name already")
            stored = replace(entity, rev=(found.rev if found else 0) + 1)
            self._forget(kind.get(key))
            kind[key] = stored
            if stored.lookup is not None:
                self._data.lookups[stored.kind, stored.lookup] = key
            return stored

    def delete(self, account: AccountId, kind: str, id: str, expected_rev: int = ANY_REVISION) -> bool:
        with self._data.lock:
            found = self._kind(kind).get((account, id))
            if found is None or expected_rev not in (ANY_REVISION, found.rev):
                return False
            self._forget(found)
            del self._kind(kind)[account, id]
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
        with self._data.lock:
            found = [
                entity
                for (owner, id), entity in self._kind(kind).items()
                if owner == account and id.startswith(prefix) and _alive(entity, now) is not None
            ]
        found.sort(key=lambda entity: entity.id.encode(), reverse=descending)
        if after is not None:
            edge = after.encode()
            found = [one for one in found if (one.id.encode() < edge if descending else one.id.encode() > edge)]
        return found[:limit]

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        with self._data.lock:
            key = self._data.lookups.get((kind, lookup))
            return _alive(self._kind(kind).get(key), now) if key is not None else None

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        with self._data.lock:
            found = [one for one in self._kind(kind).values() if one.due is not None and one.due <= until]
        return sorted(found, key=lambda one: (one.due, one.account, one.id))[:limit]

    def next_due(self, kind: str) -> Millis | None:
        with self._data.lock:
            return min((one.due for one in self._kind(kind).values() if one.due is not None), default=None)

    def purge(self, now: Millis) -> int:
        with self._data.lock:
            gone = [one for kind in self._data.entities.values() for one in kind.values() if _alive(one, now) is None]
            for one in gone:
                self.delete(one.account, one.kind, one.id)
        return len(gone)

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        with self._data.lock:
            gone = [one for kind in self._data.entities.values() for one in kind.values() if one.account == account]
            for one in gone[:limit]:
                self.delete(one.account, one.kind, one.id)
        return len(gone[:limit])

    def _kind(self, kind: str) -> dict[tuple[AccountId, str], Entity]:
        return self._data.entities.setdefault(kind, {})

    def _forget(self, entity: Entity | None) -> None:
        if entity is not None and entity.lookup is not None:
            self._data.lookups.pop((entity.kind, entity.lookup), None)


def _alive(entity: Entity | None, now: Millis) -> Entity | None:
    return None if entity is None or (entity.expires_at is not None and entity.expires_at <= now) else entity


def _check(text: str) -> None:
    """Refuse text that not every backend can hold."""
    if "\0" in text:
        raise InvalidInput(f"{text!r} holds a NUL character, which cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{text!r} holds half a surrogate pair: it is not Unicode text") from None
