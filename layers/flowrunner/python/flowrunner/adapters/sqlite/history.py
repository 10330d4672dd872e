"""Reading runs and steps from SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrunner.adapters.sqlite.database import Database
from flowrunner.adapters.sqlite.rows import RUN_COLUMNS, STEP_COLUMNS, run_row, step_key, step_row
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.ports.history import RunFilter, step_order
from flowrunner.ports.kv import namespaces_of
from flowrunner.ports.runs import RunRow, StepRow
from flowrunner.ports.text import prefix_end

_OF_RUN = f"SELECT {STEP_COLUMNS} FROM steps WHERE account = ? AND run = ?"  # noqa: S608  # joins our own texts; values are parameters
_ORDER = " ORDER BY at_rev, at_index, item, attempt"
_BEFORE = "(SELECT b.created_at, b.id FROM runs b WHERE b.account = r.account AND b.id = ?)"
_BELONGINGS = tuple(
    f"DELETE FROM {table} WHERE account = ? AND {column} = ?"  # noqa: S608  # our own names
    for table, column in (("heads", "id"), ("steps", "run"), ("queue", "run"), ("blobs", "run"), ("callbacks", "run"))
)
_OWN_VALUES = "DELETE FROM kv WHERE account = ? AND namespace >= ? AND namespace < ?"


class SqliteHistory:
    """See `ports.history.RunHistory`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, account: AccountId, run: RunId, step: StepId, attempt: int | None = None) -> StepRow | None:
        try:
            key = step_key(account, run, step, attempt or 0)
        except ValueError:
            return None  # no step has such an id
        where = " AND at_rev = ? AND at_index = ? AND item = ?"
        if attempt is None:
            rows = self._database.read(f"{_OF_RUN}{where} ORDER BY attempt DESC LIMIT 1", key[:5])
        else:
            rows = self._database.read(f"{_OF_RUN}{where} AND attempt = ?", key)
        # `1.0[` has the key of `1.0`, and is not it.
        return step_row(rows[0]) if rows and rows[0][0] == step else None

    def steps(
        self, account: AccountId, run: RunId, *, after: tuple[StepId, int] | None = None, limit: int = 1000
    ) -> Sequence[StepRow]:
        start = (*step_order(after[0]), after[1]) if after is not None else (-1, -1, -2, -1)
        where = " AND (at_rev, at_index, item, attempt) > (?, ?, ?, ?)"
        return self._steps(f"{_OF_RUN}{where}{_ORDER} LIMIT ?", account, run, *start, limit)

    def committed(self, account: AccountId, run: RunId, *, after_rev: int, limit: int = 1000) -> Sequence[StepRow]:
        order = " ORDER BY rev, at_rev, at_index, item, attempt LIMIT ?"
        return self._steps(f"{_OF_RUN} AND rev > ?{order}", account, run, after_rev, limit)

    def open_steps(self, account: AccountId, run: RunId) -> Sequence[StepRow]:
        return self._steps(f"{_OF_RUN} AND status IN ('running', 'waiting'){_ORDER}", account, run)

    def item_steps(self, account: AccountId, run: RunId, parent: StepId) -> Sequence[StepRow]:
        at_rev, at_index, _ = step_order(parent)
        where = " AND at_rev = ? AND at_index = ? AND item >= 0"
        rows = self._steps(f"{_OF_RUN}{where}{_ORDER}", account, run, at_rev, at_index)
        return list({row.step: row for row in rows}.values())

    def runs(self, account: AccountId, wanted: RunFilter) -> Sequence[RunRow]:
        where, values = ["r.account = ?"], [account]  # type: tuple[list[str], list[Any]]
        for condition, value in (
            ("r.flow = ?", wanted.flow),
            ("r.created_at >= ?", wanted.created_from),
            ("r.created_at < ?", wanted.created_to),
            (f"(r.created_at, r.id) < {_BEFORE}", wanted.before),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        if wanted.statuses:
            where.append(f"h.status IN ({', '.join('?' * len(wanted.statuses))})")
            values += wanted.statuses
        rows = self._database.read(
            f"SELECT {RUN_COLUMNS} FROM runs r JOIN heads h USING (account, id) WHERE {' AND '.join(where)}"  # noqa: S608  # joins our own texts; values are parameters
            " ORDER BY r.created_at DESC, r.id DESC LIMIT ?",
            (*values, wanted.limit),
        )
        return [run_row(row) for row in rows]

    def count(
        self, account: AccountId, *, statuses: Sequence[str], flow: FlowId | None = None, limit: int = 10_000
    ) -> int:
        # CROSS JOIN keeps SQLite from beginning with the flow's runs, most of which have ended.
        source = "heads h" if flow is None else "heads h CROSS JOIN runs r USING (account, id)"
        where = f"h.account = ? AND h.status IN ({', '.join('?' * len(statuses))})"
        values = [account, *statuses]
        if flow is not None:
            where += " AND r.flow = ?"
            values.append(flow)
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {where} LIMIT ?)"  # noqa: S608  # joins our own texts; values are parameters
        return int(self._database.read(sql, (*values, limit))[0][0])

    def delete(self, account: AccountId, run: RunId) -> bool:
        with self._database.write() as connection:
            if connection.execute("DELETE FROM runs WHERE account = ? AND id = ?", (account, run)).rowcount == 0:
                return False
            for belongings in _BELONGINGS:
                connection.execute(belongings, (account, run))
            connection.execute(_OWN_VALUES, (account, namespaces_of(run), prefix_end(namespaces_of(run))))
            return True

    def ended_before(self, moment: Millis, limit: int) -> Sequence[tuple[AccountId, RunId]]:
        rows = self._database.read(
            "SELECT account, id FROM runs WHERE ended_at < ? ORDER BY ended_at LIMIT ?", (moment, limit)
        )
        return [(account, run) for account, run in rows]

    def _steps(self, sql: str, *values: Any) -> list[StepRow]:
        return [step_row(row) for row in self._database.read(sql, values)]
