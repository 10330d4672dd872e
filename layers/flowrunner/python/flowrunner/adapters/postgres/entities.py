"""Entities in PostgreSQL: every write is one conditional statement.

Who holds a `lookup` is the unique index's to say. Only when it refuses a write is the holder looked at: it may have
expired, be gone by now, or be this very entity, written by another process at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flowrunner.adapters.postgres.database import Database
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, StoreError
from flowrunner.ports.entities import ANY_REVISION, Entity
from flowrunner.ports.text import prefix_end, require_storable

TRIES = 5
UNIQUE_VIOLATION = "23505"

_ENTITY = "SELECT account, kind, id, body, rev, lookup, due, expires_at FROM flowrunner.entities"
_THIS = "account = %s AND kind = %s AND id = %s"
_ALIVE = "(expires_at IS NULL OR expires_at > %s)"
_UPSERT = """
INSERT INTO flowrunner.entities AS e (account, kind, id, body, rev, lookup, due, expires_at)
VALUES (%(account)s, %(kind)s, %(id)s, %(body)s, 1, %(lookup)s, %(due)s, %(expires_at)s)
ON CONFLICT (account, kind, id) DO UPDATE
SET body = excluded.body, lookup = excluded.lookup, due = excluded.due, expires_at = excluded.expires_at,
    rev = CASE WHEN e.expires_at <= %(now)s THEN 1 ELSE e.rev + 1 END
"""
_CREATE = f"{_UPSERT} WHERE e.expires_at <= %(now)s RETURNING rev"
_WRITE = f"{_UPSERT} RETURNING rev"
_UPDATE = """
UPDATE flowrunner.entities
SET body = %(body)s, lookup = %(lookup)s, due = %(due)s, expires_at = %(expires_at)s, rev = rev + 1
WHERE account = %(account)s AND kind = %(kind)s AND id = %(id)s AND rev = %(expected_rev)s
  AND (expires_at IS NULL OR expires_at > %(now)s)
RETURNING rev
"""
_DELETE_SOME = """
DELETE FROM flowrunner.entities WHERE (account, kind, id) IN (
    SELECT account, kind, id FROM flowrunner.entities WHERE account = %s ORDER BY kind, id LIMIT %s FOR UPDATE
)
"""


class PostgresEntities:
    """See `ports.entities.Entities`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account: AccountId, kind: str, id: str, now: Millis) -> Entity | None:
        require_storable(account, kind, id)
        return self._one(f"{_ENTITY} WHERE {_THIS} AND {_ALIVE}", account, kind, id, now)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        require_storable(entity.account, entity.kind, entity.id, entity.lookup)
        for _ in range(TRIES):
            try:
                return self._put(entity, now, expected_rev)
            except StoreError as error:
                if error.details.get("sqlstate") != UNIQUE_VIOLATION:
                    raise
                self._free_lookup(entity, now)
        raise StoreError(f"the {entity.kind} could not be stored: others of its name come and go all the time")

    def delete(self, account: AccountId, kind: str, id: str, expected_rev: int = ANY_REVISION) -> bool:
        require_storable(account, kind, id)
        sql, values = f"DELETE FROM flowrunner.entities WHERE {_THIS}", (account, kind, id)  # noqa: S608  # joins our own texts; values are parameters
        if expected_rev == ANY_REVISION:
            return self._database.run(sql, values, repeatable=False) == 1
        return self._database.run(f"{sql} AND rev = %s", (*values, expected_rev), repeatable=False) == 1

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
            ("id >= %s", prefix or None),
            ("id < %s", prefix_end(prefix)),
            ("id < %s" if descending else "id > %s", after),
        ]
        given = [(condition, value) for condition, value in conditions if value is not None]
        where = " AND ".join(["account = %s AND kind = %s", _ALIVE, *(condition for condition, _ in given)])
        order = "DESC" if descending else "ASC"
        return self._all(
            f"{_ENTITY} WHERE {where} ORDER BY id {order} LIMIT %s",
            account,
            kind,
            now,
            *(value for _, value in given),
            limit,
        )

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        require_storable(kind, lookup)
        return self._one(f"{_ENTITY} WHERE kind = %s AND lookup = %s AND {_ALIVE}", kind, lookup, now)

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        require_storable(kind)
        where = "kind = %s AND due <= %s ORDER BY due, account, id LIMIT %s"
        return self._all(f"{_ENTITY} WHERE {where}", kind, until, limit)

    def next_due(self, kind: str) -> Millis | None:
        require_storable(kind)
        sql = "SELECT due FROM flowrunner.entities WHERE kind = %s AND due IS NOT NULL ORDER BY due LIMIT 1"
        rows = self._database.read(sql, (kind,))
        return rows[0][0] if rows else None

    def purge(self, now: Millis) -> int:
        return self._database.run("DELETE FROM flowrunner.entities WHERE expires_at <= %s", (now,), repeatable=True)

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        require_storable(account)
        return self._database.run(_DELETE_SOME, (account, limit), repeatable=True)

    def _put(self, entity: Entity, now: Millis, expected_rev: int) -> Entity | None:
        sql = {ANY_REVISION: _WRITE, 0: _CREATE}.get(expected_rev, _UPDATE)
        parameters = {
            "account": entity.account,
            "kind": entity.kind,
            "id": entity.id,
            "body": entity.body,
            "lookup": entity.lookup,
            "due": entity.due,
            "expires_at": entity.expires_at,
            "expected_rev": expected_rev,
            "now": now,
        }
        rows = self._database.read(sql, parameters, repeatable=expected_rev == ANY_REVISION)
        return replace(entity, rev=rows[0][0]) if rows else None

    def _free_lookup(self, entity: Entity, now: Millis) -> None:
        """See who holds the lookup, and remove it if it has expired. Raises `Conflict` when another does."""
        others = "kind = %s AND lookup = %s AND (account, id) <> (%s, %s)"
        values = (entity.kind, entity.lookup, entity.account, entity.id)
        self._database.run(
            f"DELETE FROM flowrunner.entities WHERE {others} AND expires_at <= %s",  # noqa: S608  # joins our own texts; values are parameters
            (*values, now),
            repeatable=True,
        )
        if self._database.read(f"SELECT 1 FROM flowrunner.entities WHERE {others}", values):  # noqa: S608  # joins our own texts; values are parameters
            raise Conflict(f"there is a {entity.kind} of that name already")

    def _one(self, sql: str, *values: Any) -> Entity | None:
        rows = self._database.read(sql, values)
        return Entity(*rows[0]) if rows else None

    def _all(self, sql: str, *values: Any) -> Sequence[Entity]:
        return [Entity(*row) for row in self._database.read(sql, values)]
