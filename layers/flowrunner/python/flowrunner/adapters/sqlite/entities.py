"""Entities in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flowrunner.adapters.sqlite.database import Database
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict
from flowrunner.ports.entities import ANY_REVISION, Entity
from flowrunner.ports.text import prefix_end, require_storable

_ENTITY = "SELECT account, kind, id, body, rev, lookup, due, expires_at FROM entities"
_THIS = "account = ? AND kind = ? AND id = ?"
_ALIVE = "(expires_at IS NULL OR expires_at > ?)"
_PUT = (
    "INSERT INTO entities (account, kind, id, body, rev, lookup, due, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (account, kind, id) DO UPDATE SET body = excluded.body, rev = excluded.rev,"
    " lookup = excluded.lookup, due = excluded.due, expires_at = excluded.expires_at"
)


class SqliteEntities:
    """See `ports.entities.Entities`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account: AccountId, kind: str, id: str, now: Millis) -> Entity | None:
        require_storable(account, kind, id)
        return self._one(f"{_ENTITY} WHERE {_THIS} AND {_ALIVE}", account, kind, id, now)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        require_storable(entity.account, entity.kind, entity.id, entity.lookup)
        with self._database.write() as connection:
            found = connection.execute(
                f"SELECT rev FROM entities WHERE {_THIS} AND {_ALIVE}",  # noqa: S608  # joins our own texts; values are parameters
                (entity.account, entity.kind, entity.id, now),
            ).fetchone()
            rev = found[0] if found is not None else 0
            if expected_rev not in (ANY_REVISION, rev):
                return None
            if entity.lookup is not None:
                _free_lookup(connection, entity, now)
            stored = replace(entity, rev=rev + 1)
            connection.execute(_PUT, _values(stored))
            return stored

    def delete(self, account: AccountId, kind: str, id: str, expected_rev: int = ANY_REVISION) -> bool:
        require_storable(account, kind, id)
        with self._database.write() as connection:
            sql = f"DELETE FROM entities WHERE {_THIS} AND ? IN (rev, {ANY_REVISION})"  # noqa: S608  # joins our own texts; values are parameters
            return connection.execute(sql, (account, kind, id, expected_rev)).rowcount == 1

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
        conditions: list[tuple[str, str | None]] = [
            ("id >= ?", prefix or None),
            ("id < ?", prefix_end(prefix)),
            ("id < ?" if descending else "id > ?", after),
        ]
        given = [(condition, value) for condition, value in conditions if value is not None]
        where = " AND ".join(["account = ? AND kind = ?", _ALIVE, *(condition for condition, _ in given)])
        order = "DESC" if descending else "ASC"
        return self._all(
            f"{_ENTITY} WHERE {where} ORDER BY id {order} LIMIT ?",
            account,
            kind,
            now,
            *(value for _, value in given),
            limit,
        )

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        require_storable(kind, lookup)
        return self._one(f"{_ENTITY} WHERE kind = ? AND lookup = ? AND {_ALIVE}", kind, lookup, now)

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        require_storable(kind)
        return self._all(f"{_ENTITY} WHERE kind = ? AND due <= ? ORDER BY due, account, id LIMIT ?", kind, until, limit)

    def next_due(self, kind: str) -> Millis | None:
        require_storable(kind)
        sql = "SELECT due FROM entities WHERE kind = ? AND due IS NOT NULL ORDER BY due LIMIT 1"
        rows = self._database.read(sql, (kind,))
        return rows[0][0] if rows else None

    def purge(self, now: Millis) -> int:
        with self._database.write() as connection:
            return connection.execute("DELETE FROM entities WHERE expires_at <= ?", (now,)).rowcount

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        require_storable(account)
        with self._database.write() as connection:
            sql = "DELETE FROM entities WHERE rowid IN (SELECT rowid FROM entities WHERE account = ? LIMIT ?)"
            return connection.execute(sql, (account, limit)).rowcount

    def _one(self, sql: str, *values: Any) -> Entity | None:
        rows = self._database.read(sql, values)
        return Entity(*rows[0]) if rows else None

    def _all(self, sql: str, *values: Any) -> Sequence[Entity]:
        return [Entity(*row) for row in self._database.read(sql, values)]


def _free_lookup(connection: sqlite3.Connection, entity: Entity, now: Millis) -> None:
    """Make sure that no other entity holds the lookup. Raises `Conflict`."""
    others = "kind = ? AND lookup = ? AND (account, id) <> (?, ?)"
    values = (entity.kind, entity.lookup, entity.account, entity.id)
    connection.execute(f"DELETE FROM entities WHERE {others} AND expires_at <= ?", (*values, now))  # noqa: S608  # joins our own texts; values are parameters
    if connection.execute(f"SELECT 1 FROM entities WHERE {others}", values).fetchone():  # noqa: S608  # joins our own texts; values are parameters
        raise Conflict(f"there is a {entity.kind} of that name already")


def _values(entity: Entity) -> tuple[Any, ...]:
    return (
        entity.account,
        entity.kind,
        entity.id,
        entity.body,
        entity.rev,
        entity.lookup,
        entity.due,
        entity.expires_at,
    )
