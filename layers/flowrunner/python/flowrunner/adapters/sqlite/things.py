"""Flows, blobs, callbacks, documents and key-value items in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import orjson

from flowrunner.adapters.sqlite.database import Database
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.flows import FlowRow, require_revision
from flowrunner.ports.kv import Item
from flowrunner.ports.text import require_storable

_FLOW = "SELECT account, id, name, revision, document, hash, created_at FROM flows"
_SET = "INSERT OR REPLACE INTO kv VALUES (?, ?, ?, ?, ?)"
_CALLBACK = "SELECT token_hash, account, run, step, attempt, created_at, payload, delivered FROM callbacks"


class SqliteFlows:
    """See `ports.flows.Flows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, row: FlowRow, expected_revision: int | None = None) -> FlowRow:
        with self._database.write() as connection:
            found = connection.execute(
                f"{_FLOW} WHERE account = ? AND name = ? ORDER BY revision DESC LIMIT 1",
                (row.account, row.name),
            ).fetchone()
            newest = FlowRow(*found) if found else None
            require_revision(row.name, newest, expected_revision)
            if newest is not None and newest.hash == row.hash:
                return newest
            saved = replace(row, id=newest.id, revision=newest.revision + 1) if newest else replace(row, revision=1)
            connection.execute(
                "INSERT INTO flows (account, id, name, revision, document, hash, created_at) VALUES (?,"
                " ?, ?, ?, ?, ?, ?)",
                (
                    saved.account,
                    saved.id,
                    saved.name,
                    saved.revision,
                    saved.document,
                    saved.hash,
                    saved.created_at,
                ),
            )
            return saved

    def get(self, account: AccountId, flow: FlowId, revision: int | None = None) -> FlowRow | None:
        where = "account = ? AND id = ?"
        if revision is None:
            return self._one(f"{_FLOW} WHERE {where} ORDER BY revision DESC LIMIT 1", account, flow)
        return self._one(f"{_FLOW} WHERE {where} AND revision = ?", account, flow, revision)

    def find(self, account: AccountId, name: str) -> FlowRow | None:
        return self._one(f"{_FLOW} WHERE account = ? AND name = ? ORDER BY revision DESC LIMIT 1", account, name)

    def list(self, account: AccountId, *, after: str = "", limit: int = 100) -> Sequence[FlowRow]:
        newest = (
            "revision = (SELECT max(revision) FROM flows n WHERE n.account = flows.account AND n.name = flows.name)"
        )
        rows = self._database.read(
            f"{_FLOW} WHERE account = ? AND name > ? AND {newest} ORDER BY name LIMIT ?",
            (account, after, limit),
        )
        return [FlowRow(*row) for row in rows]

    def revisions(
        self, account: AccountId, flow: FlowId, *, before: int | None = None, limit: int = 100
    ) -> Sequence[FlowRow]:
        where, values = "account = ? AND id = ?", [account, flow]  # type: str, list[Any]
        if before is not None:
            where += " AND revision < ?"
            values.append(before)
        rows = self._database.read(f"{_FLOW} WHERE {where} ORDER BY revision DESC LIMIT ?", (*values, limit))
        return [FlowRow(*row) for row in rows]

    def delete(self, account: AccountId, flow: FlowId) -> bool:
        with self._database.write() as connection:
            sql = "DELETE FROM flows WHERE account = ? AND id = ?"
            return connection.execute(sql, (account, flow)).rowcount > 0

    def _one(self, sql: str, *values: Any) -> FlowRow | None:
        rows = self._database.read(sql, values)
        return FlowRow(*rows[0]) if rows else None


class SqliteBlobs:
    """See `ports.blobs.Blobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, account: AccountId, run: RunId, key: str, content: bytes) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?)", (account, run, key, content))

    def get(self, account: AccountId, run: RunId, key: str) -> bytes | None:
        rows = self._database.read(
            "SELECT content FROM blobs WHERE account = ? AND run = ? AND key = ?", (account, run, key)
        )
        return rows[0][0] if rows else None


class SqliteCallbacks:
    """See `ports.callbacks.Callbacks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, row: CallbackRow) -> None:
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO callbacks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row.token_hash,
                    row.account,
                    row.run,
                    row.step,
                    row.attempt,
                    row.created_at,
                    orjson.dumps(row.payload),
                    int(row.delivered),
                ),
            )

    def find(self, token_hash: str) -> CallbackRow | None:
        return self._one(f"{_CALLBACK} WHERE token_hash = ?", token_hash)

    def deliver(self, token_hash: str, payload: Json) -> bool:
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE callbacks SET payload = ?, delivered = 1 WHERE token_hash = ? AND delivered = 0",
                (orjson.dumps(payload), token_hash),
            )
            return changed.rowcount == 1

    def inbox(self, account: AccountId, run: RunId, step: StepId) -> CallbackRow | None:
        where = "account = ? AND run = ? AND step = ? ORDER BY attempt DESC LIMIT 1"
        return self._one(f"{_CALLBACK} WHERE {where}", account, run, step)

    def _one(self, sql: str, *values: Any) -> CallbackRow | None:
        rows = self._database.read(sql, values)
        if not rows:
            return None
        token, owner, run, step, attempt, created_at, payload, delivered = rows[0]
        return CallbackRow(token, owner, run, step, attempt, created_at, orjson.loads(payload), bool(delivered))


class SqliteDocuments:
    """See `ports.documents.Documents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, account: AccountId, key: str) -> tuple[bytes, int]:
        rows = self._database.read("SELECT body, rev FROM documents WHERE account = ? AND key = ?", (account, key))
        return (rows[0][0], rows[0][1]) if rows else (b"", 0)

    def write(self, account: AccountId, key: str, body: bytes, expected_rev: int) -> bool:
        with self._database.write() as connection:
            if expected_rev == 0:
                sql = "INSERT OR IGNORE INTO documents (account, key, rev, body) VALUES (?, ?, 1, ?)"
                return connection.execute(sql, (account, key, body)).rowcount == 1
            sql = "UPDATE documents SET body = ?, rev = rev + 1 WHERE account = ? AND key = ? AND rev = ?"
            return connection.execute(sql, (body, account, key, expected_rev)).rowcount == 1


class SqliteKeyValues:
    """See `ports.kv.KeyValues`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None:
        sql = "SELECT key, value, expires_at FROM kv WHERE account = ? AND namespace = ? AND key = ?"
        return _alive(self._database.read(sql, (account, namespace, key)), now)

    def set(self, account: AccountId, namespace: str, item: Item) -> None:
        require_storable(namespace, item.key)
        try:
            value = orjson.dumps(item.value)
        except TypeError as error:  # orjson.JSONEncodeError is one
            raise InvalidInput(f"the value of {item.key!r} cannot be stored as JSON: {error}") from None
        with self._database.write() as connection:
            connection.execute(_SET, (account, namespace, item.key, value, item.expires_at))

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        with self._database.write() as connection:
            sql = "DELETE FROM kv WHERE account = ? AND namespace = ? AND key = ?"
            return connection.execute(sql, (account, namespace, key)).rowcount == 1

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
        sql = (
            "SELECT key, value, expires_at FROM kv WHERE account = ? AND namespace = ? AND key > ?"
            " AND substr(key, 1, length(?)) = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key"
            " LIMIT ?"
        )
        rows = self._database.read(sql, (account, namespace, after, prefix, prefix, now, limit))
        return [Item(key, orjson.loads(value), expires_at) for key, value, expires_at in rows]

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        require_storable(namespace, key)
        with self._database.write() as connection:
            sql = "SELECT key, value, expires_at FROM kv WHERE account = ? AND namespace = ? AND key = ?"
            item = _alive(connection.execute(sql, (account, namespace, key)).fetchall(), now)
            value = item.value if item is not None else 0
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Conflict(f"the value of {key!r} is no number")
            total = value + by
            if not isfinite(total) or (isinstance(total, int) and not -(2**63) <= total < 2**63):
                raise Conflict(f"the value of {key!r} would leave the range of numbers")
            connection.execute(_SET, (account, namespace, key, orjson.dumps(total), expires_at))
            return total

    def purge(self, now: Millis) -> int:
        with self._database.write() as connection:
            return connection.execute("DELETE FROM kv WHERE expires_at <= ?", (now,)).rowcount


def _alive(rows: list[Any], now: Millis) -> Item | None:
    if not rows or (rows[0][2] is not None and rows[0][2] <= now):
        return None
    return Item(rows[0][0], orjson.loads(rows[0][1]), rows[0][2])
