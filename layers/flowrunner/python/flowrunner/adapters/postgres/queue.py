"""The work queue in PostgreSQL. A lease is nothing but a later `visible_at`."""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.adapters.postgres.arrays import Longs, Texts
from flowrunner.adapters.postgres.database import Database, statement
from flowrunner.adapters.postgres.rows import receipts
from flowrunner.adapters.postgres.wakeups import CHANNEL, PostgresWakeups
from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.queue import Delivery, Message, QueueLoad, Receipt

_SEND = """
WITH told AS MATERIALIZED (SELECT pg_notify(%s, t.topic) FROM unnest(%s) AS t (topic))
INSERT INTO flowrunner.queue (account, run, step, attempt, priority, visible_at)
SELECT m.* FROM unnest(%s, %s, %s, %s, %s, %s) AS m WHERE (SELECT count(*) FROM told) >= 0
ON CONFLICT DO NOTHING
"""
_AT = "q.account = a.account AND q.run = a.run AND q.step = a.step AND q.attempt = a.attempt"
_RECEIPTS = "unnest(%s, %s, %s, %s) AS a (account, run, step, attempt)"
_RELEASE = f"""
WITH told AS MATERIALIZED (SELECT pg_notify(%s, t.topic) FROM unnest(%s) AS t (topic))
UPDATE flowrunner.queue q SET visible_at = %s, owner = '', receives = 0 FROM {_RECEIPTS}
WHERE {_AT} AND (SELECT count(*) FROM told) >= 0
"""  # noqa: S608  # joins our own texts; values are parameters
_RENEW = f"UPDATE flowrunner.queue q SET visible_at = %s FROM {_RECEIPTS} WHERE {_AT} AND q.owner = %s"  # noqa: S608  # joins our own texts; values are parameters
_ACK = f"DELETE FROM flowrunner.queue q USING {_RECEIPTS} WHERE {_AT}"  # noqa: S608  # joins our own texts; values are parameters
_LOAD = """
SELECT count(*) FILTER (WHERE visible_at <= %(now)s), min(visible_at) FILTER (WHERE visible_at <= %(now)s),
    (SELECT count(*) FROM (SELECT DISTINCT account, run FROM flowrunner.queue) AS runs)
FROM flowrunner.queue
"""


class PostgresQueue:
    """See `ports.queue.WorkQueue`. All of it may be repeated: sending is by identity, a lost lease lapses."""

    def __init__(self, database: Database, wakeups: PostgresWakeups) -> None:
        self._database = database
        self._wakeups = wakeups

    def send(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        ordered = sorted(messages, key=lambda message: message.receipt)
        columns = (
            Texts(one.receipt.account for one in ordered),
            Texts(one.receipt.run for one in ordered),
            Texts(one.receipt.step for one in ordered),
            Longs(one.receipt.attempt for one in ordered),
            Longs(one.priority for one in ordered),
            Longs(one.due for one in ordered),
        )
        self._database.run(_SEND, (CHANNEL, self._wakeups.payloads(["queue"]), *columns), repeatable=True)
        self._wakeups.tell(["queue"])

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        parameters = {"now": now, "limit": limit, "lease_until": lease_until, "owner": owner}
        rows = sorted(self._database.read(statement("receive"), parameters))
        return [Delivery(Receipt(*row[2:6]), row[6]) for row in rows]

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        parameters = {"now": now, "limit": limit, "lease_until": lease_until, "owner": owner, "after": after}
        rows = self._database.read(statement("receive_in_turn"), parameters)
        found = [Delivery(Receipt(*row[:4]), row[4]) for row in rows if row[1] is not None]
        return found, AccountId(rows[-1][0] if len(rows) == limit else "")

    def renew(self, receipts_: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        if receipts_:
            self._database.run(_RENEW, (lease_until, *receipts(receipts_), owner), repeatable=True)

    def release(self, receipts_: Sequence[Receipt], due: Millis) -> None:
        if receipts_:
            told = (CHANNEL, self._wakeups.payloads(["queue"]))
            self._database.run(_RELEASE, (*told, due, *receipts(receipts_)), repeatable=True)
            self._wakeups.tell(["queue"])

    def ack(self, receipts_: Sequence[Receipt]) -> None:
        if receipts_:
            self._database.run(_ACK, receipts(receipts_), repeatable=True)

    def next_visible(self) -> Millis | None:
        rows = self._database.read(statement("next_visible"))
        return rows[0][0] if rows else None

    def load(self, now: Millis) -> QueueLoad:
        [row] = self._database.read(_LOAD, {"now": now})
        return QueueLoad(*row)
