"""Removing all that an account has from SQLite."""

from __future__ import annotations

from flowrunner.adapters.sqlite.database import Database
from flowrunner.core.ids import AccountId
from flowrunner.ports.history import RunHistory
from flowrunner.ports.text import require_storable

_TABLES = {
    "steps": "account, run, at_rev, at_index, item, attempt",
    "queue": "account, run, step, attempt",
    "callbacks": "token_hash",
    "blobs": "account, run, key",
    "kv": "account, namespace, key",
    "documents": "account, key",
    "flows": "account, id, revision",
    "entities": "account, kind, id",
}
"""What may be left when all runs are gone, with the primary keys; in the order in which it goes."""


def delete_account(database: Database, history: RunHistory, account: AccountId, limit: int) -> int:
    """See `ports.backend.Backend`."""
    require_storable(account)
    runs = database.read("SELECT id FROM runs WHERE account = ? LIMIT ?", (account, limit))
    for (run,) in runs:
        history.delete(account, run)
    gone = len(runs)
    for table, key in _TABLES.items():
        if gone < limit:
            sql = f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE account = ? LIMIT ?)"  # noqa: S608  # our own names
            with database.write() as connection:
                gone += connection.execute(sql, (account, limit - gone)).rowcount
    return gone
