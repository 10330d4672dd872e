"""Run state in SQLite. A turn's commits are one transaction, and so one wait for the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from flowrunner.adapters.sqlite.database import Database
from flowrunner.adapters.sqlite.queue import enqueue
from flowrunner.adapters.sqlite.rows import RUN_COLUMNS, STEP_COLUMNS, run_row, step_key, step_row
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.ports.queue import Message
from flowrunner.ports.runs import (
    ClaimAnswer,
    ClaimRequest,
    ClaimStatus,
    Commit,
    RowStatus,
    RunRow,
    StepReport,
    StepRow,
)

_WRITE_STEP = """
INSERT INTO steps (account, run, at_rev, at_index, item, attempt, step, node, status, rev, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    rev = CASE
        WHEN steps.status IN ('running', 'waiting') OR steps.rev = 0 THEN excluded.rev
        ELSE steps.rev
    END,
    body = CASE WHEN steps.status IN ('running', 'waiting') THEN excluded.body ELSE steps.body END,
    status = CASE WHEN steps.status IN ('running', 'waiting') THEN excluded.status ELSE steps.status END
"""
# Most commits leave the status as it is. Naming it in SET would write its index each time.
_MOVE_HEAD = "UPDATE heads SET rev = ?, head = ? WHERE account = ? AND id = ? AND rev = ? AND status = ?"
_MOVE_HEAD_AND_STATUS = "UPDATE heads SET rev = ?, head = ?, status = ? WHERE account = ? AND id = ? AND rev = ?"
_REPORT = """
UPDATE steps SET body = ?
WHERE account = ? AND run = ? AND at_rev = ? AND at_index = ? AND item = ? AND attempt = ?
  AND owner = ? AND status = 'running'
"""
_LET_GO = """
UPDATE steps SET owner = CASE WHEN claims > 1 THEN '' END, lease_until = 0, claims = claims - 1
WHERE account = ? AND run = ? AND at_rev = ? AND at_index = ? AND item = ? AND attempt = ?
  AND owner = ? AND status = 'running'
"""
_LOAD = f"SELECT {RUN_COLUMNS} FROM runs r JOIN heads h USING (account, id) WHERE r.account = ? AND r.id = ?"  # noqa: S608  # joins our own texts; values are parameters
_ACK = "DELETE FROM queue WHERE account = ? AND run = ? AND step = ? AND attempt = ?"


class SqliteRuns:
    """See `ports.runs.RunStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, runs: Sequence[RunRow], messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0
    ) -> Sequence[bool]:
        created: list[bool] = []
        new: dict[tuple[str, str], Millis] = {}
        with self._database.write() as connection:
            for row in runs:
                created.append(_insert_run(connection, row))
                if created[-1]:
                    new[row.account, row.id] = row.created_at
            mine = [message for message in messages if (message.receipt.account, message.receipt.run) in new]
            now = [
                message
                for message in mine
                if owner and message.due <= new[message.receipt.account, message.receipt.run]
            ]
            enqueue(connection, now, owner, lease_until)
            enqueue(connection, mine)
        if len(now) < len(mine):
            self._database.tell("queue")
        self._database.tell("runs")
        return created

    def load(self, keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        found = [self._database.read(_LOAD, key) for key in keys]
        return [run_row(rows[0]) if rows else None for rows in found]

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        with self._database.write() as connection:
            return [_claim(connection, request) for request in requests]

    def renew(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str, lease_until: Millis) -> None:
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE steps SET lease_until = ? WHERE account = ? AND run = ? AND at_rev = ? AND"
                " at_index = ?"
                " AND item = ? AND attempt = ? AND owner = ?",
                [
                    (lease_until, *step_key(account, run, step, attempt), owner)
                    for account, run, step, attempt in claims
                ],
            )

    def let_go(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str) -> None:
        with self._database.write() as connection:
            connection.executemany(
                _LET_GO, [(*step_key(account, run, step, attempt), owner) for account, run, step, attempt in claims]
            )

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        with self._database.write() as connection:
            applied = [_move(connection, commit) for commit in commits]
            won = [commit for commit, moved in zip(commits, applied, strict=True) if moved]
            _write_rows(connection, won)
        if any(commit.send for commit in won):
            self._database.tell("queue")
        if any(commit.ended_at is not None for commit in won):
            self._database.tell("runs")
        return applied

    def report(self, reports: Sequence[StepReport]) -> None:
        with self._database.write() as connection:
            values = [(one.body, *step_key(one.account, one.run, one.step, one.attempt), one.owner) for one in reports]
            written = connection.executemany(_REPORT, values).rowcount > 0
        if written:
            self._database.tell("runs")


def _insert_run(connection: sqlite3.Connection, row: RunRow) -> bool:
    inserted = connection.execute(
        "INSERT OR IGNORE INTO runs (account, id, flow, revision, flow_name, priority, created_at, body,"
        " result, ended_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.account,
            row.id,
            row.flow,
            row.revision,
            row.flow_name,
            row.priority,
            row.created_at,
            row.body,
            row.result,
            row.ended_at,
        ),
    )
    if inserted.rowcount == 0:
        return False
    connection.execute("INSERT INTO heads VALUES (?, ?, ?, ?, ?)", (row.account, row.id, row.rev, row.status, row.head))
    return True


def _move(connection: sqlite3.Connection, commit: Commit) -> bool:
    """The conditional write: True if the commit is to be applied."""
    key = (commit.account, commit.run)
    if commit.head is None:
        return connection.execute("SELECT 1 FROM heads WHERE account = ? AND id = ?", key).fetchone() is not None
    this = (*key, commit.expected_rev)
    if connection.execute(_MOVE_HEAD, (commit.rev, commit.head, *this, commit.status)).rowcount == 1:
        return True
    return connection.execute(_MOVE_HEAD_AND_STATUS, (commit.rev, commit.head, commit.status, *this)).rowcount == 1


def _write_rows(connection: sqlite3.Connection, commits: Sequence[Commit]) -> None:
    """All that goes with the heads that were moved."""
    connection.executemany(
        _WRITE_STEP,
        [
            (
                *step_key(commit.account, commit.run, row.step, row.attempt),
                row.step,
                row.node,
                row.status,
                row.rev,
                row.body,
            )
            for commit in commits
            for row in commit.steps
        ],
    )
    for commit in commits:
        if commit.reopened:
            connection.execute(
                "UPDATE runs SET result = NULL, ended_at = NULL WHERE account = ? AND id = ?",
                (commit.account, commit.run),
            )
        if commit.revision is not None:
            connection.execute(
                "UPDATE runs SET revision = ? WHERE account = ? AND id = ?",
                (commit.revision, commit.account, commit.run),
            )
        if commit.ended_at is not None:
            connection.execute(
                "UPDATE runs SET result = ?, ended_at = ? WHERE account = ? AND id = ?",
                (commit.result, commit.ended_at, commit.account, commit.run),
            )
            connection.execute("DELETE FROM queue WHERE account = ? AND run = ?", (commit.account, commit.run))
    connection.executemany(_ACK, [receipt for commit in commits if commit.ended_at is None for receipt in commit.ack])
    for commit in commits:
        if commit.send:
            enqueue(connection, commit.send)
        if commit.hand_off:
            enqueue(connection, commit.hand_off, commit.owner, commit.lease_until)


def _claim(connection: sqlite3.Connection, request: ClaimRequest) -> ClaimAnswer:
    key = step_key(request.account, request.run, request.step, request.attempt)
    found = connection.execute(
        f"SELECT owner, lease_until, claims, {STEP_COLUMNS} FROM steps WHERE account = ? AND run = ? AND"  # noqa: S608  # joins our own texts; values are parameters
        " at_rev = ?"
        " AND at_index = ? AND item = ? AND attempt = ?",
        key,
    ).fetchone()
    row: StepRow | None = step_row(found[3:]) if found else None
    if row is not None and row.status.final:
        return ClaimAnswer(ClaimStatus.DONE, row=row)
    head = connection.execute(
        "SELECT status FROM heads WHERE account = ? AND id = ?", (request.account, request.run)
    ).fetchone()
    if head is None or head[0] in TERMINAL:
        return ClaimAnswer(ClaimStatus.OVER)
    owner, lease_until, claims = (found[0], found[1] or 0, found[2]) if found else (None, 0, 0)
    if row is not None and row.status is RowStatus.WAITING:
        # It was executed and waits: whoever claims it now saw an older head.
        return ClaimAnswer(ClaimStatus.HELD, claims, max(lease_until, request.now))
    if owner is not None and lease_until > request.now:
        status = ClaimStatus.GRANTED if owner == request.owner else ClaimStatus.HELD
        return ClaimAnswer(status, claims, lease_until)
    if owner is not None and request.at_most_once:
        return ClaimAnswer(ClaimStatus.LAPSED, claims)
    connection.execute(
        "INSERT INTO steps (account, run, at_rev, at_index, item, attempt, step, node, status, rev,"
        " body, owner,"
        " lease_until, claims) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET"
        " owner = excluded.owner, lease_until = excluded.lease_until, claims = claims + 1, body ="
        " excluded.body",
        (
            *key,
            request.step,
            request.node,
            RowStatus.RUNNING,
            request.body,
            request.owner,
            request.lease_until,
        ),
    )
    return ClaimAnswer(ClaimStatus.GRANTED, claims + 1, request.lease_until)
