"""Flows, blobs, callbacks, documents and key-value items in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flowrunner.adapters.postgres.database import Connection, Database, execute
from flowrunner.adapters.postgres.encoding import dump_json, load_json
from flowrunner.adapters.postgres.rules import incremented
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.flows import FlowRow, require_revision
from flowrunner.ports.kv import Item
from flowrunner.ports.text import prefix_end

_FLOW = "SELECT account, id, name, revision, document, hash, created_at FROM flowrunner.flows f"
_NEWEST = f"{_FLOW} WHERE account = %s AND name = %s ORDER BY revision DESC LIMIT 1"
_CALLBACK = "SELECT token_hash, account, run, step, attempt, created_at, payload, delivered FROM flowrunner.callbacks"

_ITEM = "SELECT key, value, expires_at FROM flowrunner.kv"
# The row lock makes a plain `set` wait, the advisory one other increments.
_LOCKED_ITEM = f"{_ITEM} WHERE account = %s AND namespace = %s AND key = %s FOR UPDATE"
_SET = (
    "INSERT INTO flowrunner.kv VALUES (%s, %s, %s, %s, %s) ON CONFLICT (account, namespace, key)"
    " DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
)


class PostgresFlows:
    """See `ports.flows.Flows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, row: FlowRow, expected_revision: int | None = None) -> FlowRow:
        def work(connection: Connection) -> FlowRow:
            _lock_name(connection, row.account, row.name)
            found = execute(connection, _NEWEST, (row.account, row.name)).fetchone()
            newest = FlowRow(*found) if found else None
            require_revision(row.name, newest, expected_revision)
            if newest is not None and newest.hash == row.hash:
                return newest
            saved = replace(row, id=newest.id, revision=newest.revision + 1) if newest else replace(row, revision=1)
            execute(
                connection,
                "INSERT INTO flowrunner.flows (account, id, name, revision, document, hash, created_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
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

        # The same document twice is stored once; but its own revision would not be the expected one any more.
        return self._database.transaction(work, repeatable=expected_revision is None)

    def get(self, account: AccountId, flow: FlowId, revision: int | None = None) -> FlowRow | None:
        where = "account = %s AND id = %s"
        if revision is None:
            return self._one(f"{_FLOW} WHERE {where} ORDER BY revision DESC LIMIT 1", account, flow)
        return self._one(f"{_FLOW} WHERE {where} AND revision = %s", account, flow, revision)

    def find(self, account: AccountId, name: str) -> FlowRow | None:
        return self._one(_NEWEST, account, name)

    def list(self, account: AccountId, *, after: str = "", limit: int = 100) -> Sequence[FlowRow]:
        newest = (
            "revision = (SELECT max(revision) FROM flowrunner.flows n WHERE n.account = f.account AND n.name = f.name)"
        )
        rows = self._database.read(
            f"{_FLOW} WHERE account = %s AND name > %s AND {newest} ORDER BY name LIMIT %s",
            (account, after, limit),
        )
        return [FlowRow(*row) for row in rows]

    def revisions(
        self, account: AccountId, flow: FlowId, *, before: int | None = None, limit: int = 100
    ) -> Sequence[FlowRow]:
        where, values = "account = %s AND id = %s", [account, flow]  # type: str, list[Any]
        if before is not None:
            where += " AND revision < %s"
            values.append(before)
        rows = self._database.read(f"{_FLOW} WHERE {where} ORDER BY revision DESC LIMIT %s", (*values, limit))
        return [FlowRow(*row) for row in rows]

    def delete(self, account: AccountId, flow: FlowId) -> bool:
        def work(connection: Connection) -> bool:
            this = (account, flow)
            named = "SELECT name FROM flowrunner.flows WHERE account = %s AND id = %s LIMIT 1"
            found = execute(connection, named, this).fetchone()
            if found is None:
                return False
            _lock_name(connection, account, found[0])
            return execute(connection, "DELETE FROM flowrunner.flows WHERE account = %s AND id = %s", this).rowcount > 0

        return self._database.transaction(work, repeatable=False)

    def _one(self, sql: str, *values: Any) -> FlowRow | None:
        rows = self._database.read(sql, values)
        return FlowRow(*rows[0]) if rows else None


class PostgresBlobs:
    """See `ports.blobs.Blobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, account: AccountId, run: RunId, key: str, content: bytes) -> None:
        sql = "INSERT INTO flowrunner.blobs VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
        self._database.run(sql, (account, run, key, content), repeatable=True)

    def get(self, account: AccountId, run: RunId, key: str) -> bytes | None:
        rows = self._database.read(
            "SELECT content FROM flowrunner.blobs WHERE account = %s AND run = %s AND key = %s",
            (account, run, key),
        )
        return rows[0][0] if rows else None


class PostgresCallbacks:
    """See `ports.callbacks.Callbacks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, row: CallbackRow) -> None:
        self._database.run(
            "INSERT INTO flowrunner.callbacks VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (account, run, step, attempt) DO UPDATE"
            " SET token_hash = excluded.token_hash, created_at = excluded.created_at,"
            " payload = excluded.payload, delivered = excluded.delivered",
            (
                row.token_hash,
                row.account,
                row.run,
                row.step,
                row.attempt,
                row.created_at,
                dump_json(row.payload, "the payload"),
                row.delivered,
            ),
            repeatable=True,
        )

    def find(self, token_hash: str) -> CallbackRow | None:
        return self._one(f"{_CALLBACK} WHERE token_hash = %s", token_hash)

    def deliver(self, token_hash: str, payload: Json) -> bool:
        sql = "UPDATE flowrunner.callbacks SET payload = %s, delivered = true WHERE token_hash = %s AND NOT delivered"
        return self._database.run(sql, (dump_json(payload, "the payload"), token_hash), repeatable=False) == 1

    def inbox(self, account: AccountId, run: RunId, step: StepId) -> CallbackRow | None:
        where = "account = %s AND run = %s AND step = %s ORDER BY attempt DESC LIMIT 1"
        return self._one(f"{_CALLBACK} WHERE {where}", account, run, step)

    def _one(self, sql: str, *values: Any) -> CallbackRow | None:
        rows = self._database.read(sql, values)
        if not rows:
            return None
        token, account, run, step, attempt, created_at, payload, delivered = rows[0]
        return CallbackRow(token, account, run, step, attempt, created_at, load_json(payload), delivered)


class PostgresDocuments:
    """See `ports.documents.Documents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, account: AccountId, key: str) -> tuple[bytes, int]:
        rows = self._database.read(
            "SELECT body, rev FROM flowrunner.documents WHERE account = %s AND key = %s", (account, key)
        )
        return (rows[0][0], rows[0][1]) if rows else (b"", 0)

    def write(self, account: AccountId, key: str, body: bytes, expected_rev: int) -> bool:
        if expected_rev == 0:
            sql = (
                "INSERT INTO flowrunner.documents (account, key, rev, body) VALUES (%s, %s, 1, %s)"
                " ON CONFLICT DO NOTHING"
            )
            return self._database.run(sql, (account, key, body), repeatable=False) == 1
        sql = "UPDATE flowrunner.documents SET body = %s, rev = rev + 1 WHERE account = %s AND key = %s AND rev = %s"
        return self._database.run(sql, (body, account, key, expected_rev), repeatable=False) == 1


class PostgresKeyValues:
    """See `ports.kv.KeyValues`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None:
        sql = f"{_ITEM} WHERE account = %s AND namespace = %s AND key = %s"
        return _alive(self._database.read(sql, (account, namespace, key)), now)

    def set(self, account: AccountId, namespace: str, item: Item) -> None:
        value = dump_json(item.value, f"the value of {item.key!r}")
        self._database.run(_SET, (account, namespace, item.key, value, item.expires_at), repeatable=True)

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        sql = "DELETE FROM flowrunner.kv WHERE account = %s AND namespace = %s AND key = %s"
        return self._database.run(sql, (account, namespace, key), repeatable=False) == 1

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
        end = prefix_end(prefix)
        sql = (
            f"{_ITEM} WHERE account = %s AND namespace = %s AND key > %s AND key >= %s"
            " AND (%s::text IS NULL OR key < %s::text) AND (expires_at IS NULL OR expires_at > %s)"
            " ORDER BY key LIMIT %s"
        )
        rows = self._database.read(sql, (account, namespace, after, prefix, end, end, now, limit))
        return [Item(key, load_json(value), expires_at) for key, value, expires_at in rows]

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        def work(connection: Connection) -> float:
            # A row lock does not help where there is no row yet.
            lock = f"{account}/{namespace}/{key}"
            execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (lock,))
            found = execute(connection, _LOCKED_ITEM, (account, namespace, key)).fetchall()
            alive = found and (found[0][2] is None or found[0][2] > now)
            total: float = incremented(key, found[0][1] if alive else None, by)
            value = dump_json(total, f"the value of {key!r}")
            execute(connection, _SET, (account, namespace, key, value, expires_at))
            return total

        return self._database.transaction(work, repeatable=False)

    def purge(self, now: Millis) -> int:
        return self._database.run("DELETE FROM flowrunner.kv WHERE expires_at <= %s", (now,), repeatable=True)


def _lock_name(connection: Connection, account: AccountId, name: str) -> None:
    """Let those that save or delete a flow of this name take turns, until the transaction ends."""
    execute(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{account}/{name}",))


def _alive(rows: Sequence[Any], now: Millis) -> Item | None:
    if not rows or (rows[0][2] is not None and rows[0][2] <= now):
        return None
    return Item(rows[0][0], load_json(rows[0][1]), rows[0][2])
