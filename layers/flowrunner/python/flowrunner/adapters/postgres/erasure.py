"""Removing all that an account has from PostgreSQL."""

from __future__ import annotations

from flowrunner.adapters.postgres.database import Database
from flowrunner.core.ids import AccountId
from flowrunner.ports.history import RunHistory

_TABLES = ("steps", "queue", "callbacks", "blobs", "kv", "documents", "flows", "entities")
"""What may be left when all runs are gone, in the order in which it goes."""


def delete_account(database: Database, history: RunHistory, account: AccountId, limit: int) -> int:
    """See `ports.backend.Backend`."""
    runs = database.read("SELECT id FROM flowrunner.runs WHERE account = %s LIMIT %s", (account, limit))
    for (run,) in runs:
        history.delete(account, run)
    gone = len(runs)
    for table in _TABLES:
        if gone < limit:
            some = f"SELECT ctid FROM flowrunner.{table} WHERE account = %s LIMIT %s FOR UPDATE"  # noqa: S608  # our own names
            sql = f"DELETE FROM flowrunner.{table} WHERE ctid = ANY (ARRAY({some}))"  # noqa: S608  # our own names
            gone += database.run(sql, (account, limit - gone), repeatable=True)
    return gone
