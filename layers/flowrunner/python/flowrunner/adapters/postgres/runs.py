"""Run state in PostgreSQL.

A turn's commits are one statement over arrays: one round trip and one wait for the disk, whatever their
number (`sql/commit.sql`). Only what it cannot say in one statement goes another way: a second commit of the
same run in one call, and a commit that acknowledges a message and sends it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flowrunner.adapters.postgres.arrays import Bools, Bytes, Longs, Texts
from flowrunner.adapters.postgres.claims import claim_all
from flowrunner.adapters.postgres.database import Connection, Database, execute, statement
from flowrunner.adapters.postgres.rows import RUN, leased, run_row, step_key
from flowrunner.adapters.postgres.rules import merged, rounds
from flowrunner.adapters.postgres.wakeups import CHANNEL, PostgresWakeups
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.ports.queue import Message
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, Commit, RunRow, StepReport
from flowrunner.ports.wakeups import Topic

_LOAD = f"""
SELECT {RUN} FROM unnest(%s, %s) AS w (account, id)
JOIN flowrunner.runs r ON r.account = w.account AND r.id = w.id
"""  # noqa: S608  # joins our own texts; values are parameters
_RENEW = """
UPDATE flowrunner.steps s SET lease_until = %s
FROM unnest(%s, %s, %s, %s, %s, %s) AS w (account, run, at_rev, at_index, item, attempt)
WHERE s.account = w.account AND s.run = w.run AND s.at_rev = w.at_rev AND s.at_index = w.at_index
  AND s.item = w.item AND s.attempt = w.attempt AND s.owner = %s
"""
_LET_GO = """
UPDATE flowrunner.steps s SET owner = '', lease_until = 0, claims = s.claims - 1
FROM unnest(%s, %s, %s, %s, %s, %s) AS w (account, run, at_rev, at_index, item, attempt)
WHERE s.account = w.account AND s.run = w.run AND s.at_rev = w.at_rev AND s.at_index = w.at_index
  AND s.item = w.item AND s.attempt = w.attempt AND s.owner = %s AND s.status = 'running'
"""


class PostgresRuns:
    """See `ports.runs.RunStore`."""

    def __init__(self, database: Database, wakeups: PostgresWakeups) -> None:
        self._database = database
        self._wakeups = wakeups

    def create(
        self, runs: Sequence[RunRow], messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0
    ) -> Sequence[bool]:
        if not runs:
            return []
        ordered = sorted(runs, key=lambda row: (row.account, row.id))
        born = {(row.account, row.id): row.created_at for row in runs}
        mine = sorted(
            (one for one in messages if (one.receipt.account, one.receipt.run) in born),
            key=lambda one: one.receipt,
        )
        due = [one for one in mine if one.due <= born[one.receipt.account, one.receipt.run]]
        topics: list[Topic] = ["runs"] if owner or not due else ["queue", "runs"]
        parameters = {
            **_run_columns(ordered),
            "m_account": Texts(one.receipt.account for one in mine),
            "m_run": Texts(one.receipt.run for one in mine),
            "m_step": Texts(one.receipt.step for one in mine),
            "m_attempt": Longs(one.receipt.attempt for one in mine),
            "m_priority": Longs(one.priority for one in mine),
            "m_due": Longs(one.due for one in mine),
            "owner": owner,
            "lease_until": lease_until,
            "channel": CHANNEL,
            "tell": self._wakeups.payloads(topics),
        }
        rows = self._database.read(statement("create"), parameters, repeatable=False)
        made = {(row[0], row[1]) for row in rows}
        if made:
            self._wakeups.tell(topics)
        created = []
        for row in runs:
            created.append((row.account, row.id) in made)
            made.discard((row.account, row.id))
        return created

    def load(self, keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        if not keys:
            return []
        wanted = (Texts(account for account, _ in keys), Texts(run for _, run in keys))
        found = {(row[0], row[1]): run_row(row) for row in self._database.read(_LOAD, wanted)}
        return [found.get(key) for key in keys]

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        return claim_all(self._database, requests) if requests else []

    def renew(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str, lease_until: Millis) -> None:
        if claims:
            keys = sorted(step_key(*claim) for claim in claims)
            columns = (Texts(key[0] for key in keys), Texts(key[1] for key in keys), *_numbers(keys))
            self._database.run(_RENEW, (lease_until, *columns, owner), repeatable=True)

    def let_go(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str) -> None:
        if claims:
            keys = sorted(step_key(*claim) for claim in claims)
            columns = (Texts(key[0] for key in keys), Texts(key[1] for key in keys), *_numbers(keys))
            # Repeated after a lost answer it finds no lease of that owner any more.
            self._database.run(_LET_GO, (*columns, owner), repeatable=True)

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        applied = [False] * len(commits)
        for indexes in rounds(commits):
            again = [index for index in indexes if _sends_what_it_acks(commits[index])]
            once = [index for index in indexes if index not in again]
            for index in self._commit_batch(commits, once) if once else ():
                applied[index] = True
            for index in again:
                applied[index] = self._commit_in_steps(commits[index])
        topics = _topics([commit for commit, took in zip(commits, applied, strict=True) if took])
        self._wakeups.tell(topics)
        return applied

    def report(self, reports: Sequence[StepReport]) -> None:
        if not reports:
            return
        last = {(step_key(one.account, one.run, one.step, one.attempt), one.owner): one.body for one in reports}
        ordered = sorted(last)
        keys = [key for key, _ in ordered]
        at_rev, at_index, item, attempt = _numbers(keys)
        parameters = {
            "account": Texts(key[0] for key in keys),
            "run": Texts(key[1] for key in keys),
            "at_rev": at_rev,
            "at_index": at_index,
            "item": item,
            "attempt": attempt,
            "owner": Texts(owner for _, owner in ordered),
            "body": Bytes(last[entry] for entry in ordered),
            "channel": CHANNEL,
            "tell": self._wakeups.payloads(["runs"]),
        }
        (written, _), *_ = self._database.read(statement("report"), parameters)
        if written:
            self._wakeups.tell(["runs"])

    def _commit_batch(self, commits: Sequence[Commit], indexes: Sequence[int]) -> list[int]:
        """Apply commits of different runs; answers the indexes of those that took."""
        ordered = sorted(indexes, key=lambda index: (commits[index].account, commits[index].run))
        parameters = self._parameters([commits[index] for index in ordered])
        (won, _), *_ = self._database.read(statement("commit"), parameters, repeatable=False)
        return [ordered[number - 1] for number in won]

    def _commit_in_steps(self, commit: Commit) -> bool:
        """The rare commit that acknowledges a message and sends it again: first the one, then the other."""

        def work(connection: Connection) -> bool:
            first = self._parameters([replace(commit, send=(), hand_off=())])
            (won, _), *_ = execute(connection, statement("commit"), first).fetchall()
            if won:
                second = replace(commit, head=None, steps=(), ack=(), ended_at=None, reopened=False)
                execute(connection, statement("commit"), self._parameters([second]))
            return bool(won)

        return self._database.transaction(work, repeatable=False)

    def _parameters(self, commits: Sequence[Commit]) -> dict[str, Any]:
        return {
            "account": Texts(one.account for one in commits),
            "run": Texts(one.run for one in commits),
            "expected_rev": Longs(one.expected_rev for one in commits),
            "rev": Longs(one.rev for one in commits),
            "status": Texts(one.status for one in commits),
            "head": Bytes(one.head for one in commits),
            "result": Bytes(one.result for one in commits),
            "ended_at": Longs(one.ended_at for one in commits),
            "reopened": Bools(one.reopened for one in commits),
            "revision": Longs(one.revision for one in commits),
            "channel": CHANNEL,
            "tell": self._wakeups.payloads(_topics(commits)),
            **_step_columns(commits),
            **_ack_columns(commits),
            **_message_columns(commits),
        }


def _topics(commits: Sequence[Commit]) -> list[Topic]:
    """Whom commits concern. A commit with an owner gives no hint of what it sends: its owner knows when it
    is due.
    """
    topics: list[Topic] = []
    if any(one.send and not one.owner for one in commits):
        topics.append("queue")
    if any(one.ended_at is not None for one in commits):
        topics.append("runs")
    return topics


def _sends_what_it_acks(commit: Commit) -> bool:
    if not commit.ack or not (commit.send or commit.hand_off):
        return False
    acked = set(commit.ack)
    return any(one.receipt in acked for one in (*commit.send, *commit.hand_off))


def _run_columns(runs: Sequence[RunRow]) -> dict[str, Any]:
    return {
        "account": Texts(row.account for row in runs),
        "id": Texts(row.id for row in runs),
        "flow": Texts(row.flow for row in runs),
        "revision": Longs(row.revision for row in runs),
        "flow_name": Texts(row.flow_name for row in runs),
        "priority": Longs(row.priority for row in runs),
        "created_at": Longs(row.created_at for row in runs),
        "body": Bytes(row.body for row in runs),
        "rev": Longs(row.rev for row in runs),
        "status": Texts(row.status for row in runs),
        "head": Bytes(row.head for row in runs),
        "result": Bytes(row.result for row in runs),
        "ended_at": Longs(row.ended_at for row in runs),
    }


def _step_columns(commits: Sequence[Commit]) -> dict[str, Any]:
    rows = [
        (number, step_key(one.account, one.run, row.step, row.attempt), row)
        for number, one in enumerate(commits, 1)
        for row in merged(one.steps)
    ]
    rows.sort(key=lambda entry: entry[:2])
    at_rev, at_index, item, attempt = _numbers([key for _, key, _ in rows])
    return {
        "s_ord": Longs(number for number, _, _ in rows),
        "s_at_rev": at_rev,
        "s_at_index": at_index,
        "s_item": item,
        "s_attempt": attempt,
        "s_step": Texts(row.step for _, _, row in rows),
        "s_node": Texts(row.node for _, _, row in rows),
        "s_status": Texts(row.status.value for _, _, row in rows),
        "s_rev": Longs(row.rev for _, _, row in rows),
        "s_body": Bytes(row.body for _, _, row in rows),
    }


def _ack_columns(commits: Sequence[Commit]) -> dict[str, Any]:
    acks = sorted((number, receipt) for number, one in enumerate(commits, 1) for receipt in one.ack)
    return {
        "a_ord": Longs(number for number, _ in acks),
        "a_account": Texts(receipt.account for _, receipt in acks),
        "a_run": Texts(receipt.run for _, receipt in acks),
        "a_step": Texts(receipt.step for _, receipt in acks),
        "a_attempt": Longs(receipt.attempt for _, receipt in acks),
    }


def _message_columns(commits: Sequence[Commit]) -> dict[str, Any]:
    sent = [(number, message, (message.due, "", 0)) for number, one in enumerate(commits, 1) for message in one.send]
    sent += [
        (number, message, leased(message, one.owner, one.lease_until))
        for number, one in enumerate(commits, 1)
        for message in one.hand_off
    ]
    sent.sort(key=lambda entry: (entry[0], entry[1].receipt))
    return {
        "m_ord": Longs(number for number, _, _ in sent),
        "m_account": Texts(message.receipt.account for _, message, _ in sent),
        "m_run": Texts(message.receipt.run for _, message, _ in sent),
        "m_step": Texts(message.receipt.step for _, message, _ in sent),
        "m_attempt": Longs(message.receipt.attempt for _, message, _ in sent),
        "m_priority": Longs(message.priority for _, message, _ in sent),
        "m_visible_at": Longs(lease[0] for _, _, lease in sent),
        "m_owner": Texts(lease[1] for _, _, lease in sent),
        "m_receives": Longs(lease[2] for _, _, lease in sent),
    }


def _numbers(keys: Sequence[tuple[str, str, int, int, int, int]]) -> tuple[Longs, Longs, Longs, Longs]:
    """The step and attempt of primary keys, as columns."""
    return (
        Longs(key[2] for key in keys),
        Longs(key[3] for key in keys),
        Longs(key[4] for key in keys),
        Longs(key[5] for key in keys),
    )
