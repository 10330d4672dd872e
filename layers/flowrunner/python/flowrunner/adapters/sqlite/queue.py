"""The work queue in SQLite. A lease is nothing but a later `visible_at`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from flowrunner.adapters.sqlite.database import Database
from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.queue import Delivery, Message, QueueLoad, Receipt

PRIORITIES = (0, 1, 2)
# The index of due messages begins with the priority: without it every timer would be read.
_ANY_DUE = f"SELECT 1 FROM queue WHERE priority IN {PRIORITIES} AND visible_at <= ? LIMIT 1"  # noqa: S608  # three numbers

_LEASE = (
    "UPDATE queue SET owner = ?, visible_at = ?, receives = receives + 1"
    " WHERE account = ? AND run = ? AND step = ? AND attempt = ?"
)
# Each step of the walk reads one entry of the primary key.
_NEXT_ACCOUNTS = """
WITH RECURSIVE accounts (account) AS (
    SELECT min(account) FROM queue WHERE account > ?
    UNION ALL
    SELECT (SELECT min(q.account) FROM queue q WHERE q.account > a.account) FROM accounts a WHERE a.account IS NOT NULL
)
SELECT account FROM accounts WHERE account IS NOT NULL LIMIT ?
"""
_FIRST_OF_ACCOUNT = (
    "SELECT account, run, step, attempt, receives FROM queue WHERE account = ? AND visible_at <= ?"
    " ORDER BY visible_at LIMIT 1"
)


def enqueue(
    connection: sqlite3.Connection, messages: Sequence[Message], owner: str = "", lease_until: Millis = 0
) -> None:
    """Put messages into the queue; one that is there already stays as it is."""
    connection.executemany(
        "INSERT OR IGNORE INTO queue (account, run, step, attempt, priority, visible_at, owner, receives)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (*message.receipt, message.priority, max(message.due, lease_until), owner, 1 if owner else 0)
            for message in messages
        ],
    )


class SqliteQueue:
    """See `ports.queue.WorkQueue`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def send(self, messages: Sequence[Message]) -> None:
        with self._database.write() as connection:
            enqueue(connection, messages)
        self._database.tell("queue")

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        if not self._database.read(_ANY_DUE, (now,)):
            return []
        found: list[Delivery] = []
        with self._database.write() as connection:
            for priority in PRIORITIES:
                rows = connection.execute(
                    "SELECT account, run, step, attempt, receives FROM queue WHERE priority = ? AND"
                    " visible_at <= ?"
                    " ORDER BY visible_at LIMIT ?",
                    (priority, now, limit - len(found)),
                ).fetchall()
                found += [Delivery(Receipt(*row[:4]), row[4] + 1) for row in rows]
            connection.executemany(_LEASE, [(owner, lease_until, *delivery.receipt) for delivery in found])
        return found

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        found: list[Delivery] = []
        with self._database.write() as connection:
            accounts = [row[0] for row in connection.execute(_NEXT_ACCOUNTS, (after, limit))]
            for account in accounts:
                rows = connection.execute(_FIRST_OF_ACCOUNT, (account, now)).fetchall()
                found += [Delivery(Receipt(*row[:4]), row[4] + 1) for row in rows]
            connection.executemany(_LEASE, [(owner, lease_until, *delivery.receipt) for delivery in found])
        return found, AccountId(accounts[-1] if len(accounts) == limit else "")

    def renew(self, receipts: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE queue SET visible_at = ? WHERE account = ? AND run = ? AND step = ? AND attempt"
                " = ? AND owner = ?",
                [(lease_until, *receipt, owner) for receipt in receipts],
            )

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE queue SET visible_at = ?, owner = '', receives = 0 WHERE account = ? AND run = ? AND step = ?"
                " AND attempt = ?",
                [(due, *receipt) for receipt in receipts],
            )
        self._database.tell("queue")

    def ack(self, receipts: Sequence[Receipt]) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "DELETE FROM queue WHERE account = ? AND run = ? AND step = ? AND attempt = ?", receipts
            )

    def next_visible(self) -> Millis | None:
        rows = [
            self._database.read("SELECT min(visible_at) FROM queue WHERE priority = ?", (one,)) for one in PRIORITIES
        ]
        return min((row[0][0] for row in rows if row[0][0] is not None), default=None)

    def load(self, now: Millis) -> QueueLoad:
        [row] = self._database.read(
            "SELECT count(*) FILTER (WHERE visible_at <= ?1), min(visible_at) FILTER (WHERE visible_at <= ?1),"
            " (SELECT count(*) FROM (SELECT DISTINCT account, run FROM queue)) FROM queue",
            (now,),
        )
        return QueueLoad(*row)
