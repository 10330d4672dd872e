"""Reading runs and steps from PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrunner.adapters.postgres.arrays import Texts
from flowrunner.adapters.postgres.database import Connection, Database, execute
from flowrunner.adapters.postgres.rows import RUN, STEP, run_row, step_key, step_row
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.ports.history import RunFilter, step_order
from flowrunner.ports.kv import namespaces_of
from flowrunner.ports.runs import RunRow, StepRow
from flowrunner.ports.text import prefix_end

_OF_RUN = f"SELECT {STEP} FROM flowrunner.steps s WHERE account = %s AND run = %s"  # noqa: S608  # joins our own texts; values are parameters
_ORDER = " ORDER BY at_rev, at_index, item, attempt"
_BELONGINGS = tuple(
    f"DELETE FROM flowrunner.{table} WHERE account = %s AND run = %s"  # noqa: S608  # joins our own texts; values are parameters
    for table in ("steps", "queue", "callbacks", "blobs")
)
_OWN_VALUES = "DELETE FROM flowrunner.kv WHERE account = %s AND namespace >= %s AND namespace < %s"
_BEFORE = "(SELECT b.created_at, b.id FROM flowrunner.runs b WHERE b.account = r.account AND b.id = %s)"


class PostgresHistory:
    """See `ports.history.RunHistory`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def step(self, account: AccountId, run: RunId, step: StepId, attempt: int | None = None) -> StepRow | None:
        try:
            key = step_key(account, run, step, attempt or 0)
        except ValueError:
            return None  # no step has such an id
        where = " AND at_rev = %s AND at_index = %s AND item = %s"
        if attempt is None:
            rows = self._database.read(f"{_OF_RUN}{where} ORDER BY attempt DESC LIMIT 1", key[:5])
        else:
            rows = self._database.read(f"{_OF_RUN}{where} AND attempt = %s", key)
        # `1.0[` has the key of `1.0`, and is not it.
        return step_row(rows[0]) if rows and rows[0][0] == step else None

    def steps(
        self, account: AccountId, run: RunId, *, after: tuple[StepId, int] | None = None, limit: int = 1000
    ) -> Sequence[StepRow]:
        start = (*step_order(after[0]), after[1]) if after is not None else (-1, -1, -2, -1)
        where = " AND (at_rev, at_index, item, attempt) > (%s, %s, %s, %s)"
        return self._steps(f"{_OF_RUN}{where}{_ORDER} LIMIT %s", account, run, *start, limit)

    def committed(self, account: AccountId, run: RunId, *, after_rev: int, limit: int = 1000) -> Sequence[StepRow]:
        order = " ORDER BY rev, at_rev, at_index, item, attempt LIMIT %s"
        return self._steps(f"{_OF_RUN} AND rev > %s{order}", account, run, after_rev, limit)

    def open_steps(self, account: AccountId, run: RunId) -> Sequence[StepRow]:
        return self._steps(f"{_OF_RUN} AND status IN ('running', 'waiting'){_ORDER}", account, run)

    def item_steps(self, account: AccountId, run: RunId, parent: StepId) -> Sequence[StepRow]:
        at_rev, at_index, _ = step_order(parent)
        where = " AND at_rev = %s AND at_index = %s AND item >= 0"
        rows = self._steps(f"{_OF_RUN}{where}{_ORDER}", account, run, at_rev, at_index)
        return list({row.step: row for row in rows}.values())

    def runs(self, account: AccountId, wanted: RunFilter) -> Sequence[RunRow]:
        conditions: list[tuple[str, Any]] = [
            ("r.flow = %s", wanted.flow),
            ("r.created_at >= %s", wanted.created_from),
            ("r.created_at < %s", wanted.created_to),
            (f"(r.created_at, r.id) < {_BEFORE}", wanted.before),
            ("r.status = ANY (%s)", Texts(wanted.statuses) if wanted.statuses else None),
        ]
        given = [(condition, value) for condition, value in conditions if value is not None]
        where = " AND ".join(["r.account = %s", *(condition for condition, _ in given)])
        rows = self._database.read(
            f"SELECT {RUN} FROM flowrunner.runs r WHERE {where}"  # noqa: S608  # joins our own texts; values are parameters
            " ORDER BY r.created_at DESC, r.id DESC LIMIT %s",
            (account, *(value for _, value in given), wanted.limit),
        )
        return [run_row(row) for row in rows]

    def count(
        self, account: AccountId, *, statuses: Sequence[str], flow: FlowId | None = None, limit: int = 10_000
    ) -> int:
        where = "account = %s AND status = s.status"
        values: list[Any] = [Texts(dict.fromkeys(statuses)), account]
        if flow is not None:
            where += " AND flow = %s"
            values.append(flow)
        # Status by status: of a list the planner would make a filter on some other index.
        rows = self._database.read(
            "SELECT count(*) FROM (SELECT FROM unnest(%s) AS s (status) CROSS JOIN LATERAL"  # noqa: S608  # joins our own texts; values are parameters
            f" (SELECT FROM flowrunner.runs WHERE {where} LIMIT %s) AS of_status LIMIT %s) AS found",
            (*values, limit, limit),
        )
        return int(rows[0][0])

    def delete(self, account: AccountId, run: RunId) -> bool:
        def work(connection: Connection) -> bool:
            # The run first: whoever claims a step of it at this moment holds its row, or finds it gone.
            sql = "DELETE FROM flowrunner.runs WHERE account = %s AND id = %s"
            found = execute(connection, sql, (account, run)).rowcount == 1
            if found:
                for belongings in _BELONGINGS:
                    execute(connection, belongings, (account, run))
                own = namespaces_of(run)
                execute(connection, _OWN_VALUES, (account, own, prefix_end(own)))
            return found

        return self._database.transaction(work, repeatable=False)

    def ended_before(self, moment: Millis, limit: int) -> Sequence[tuple[AccountId, RunId]]:
        rows = self._database.read(
            "SELECT account, id FROM flowrunner.runs WHERE ended_at < %s ORDER BY ended_at, account, id LIMIT %s",
            (moment, limit),
        )
        return [(account, run) for account, run in rows]

    def _steps(self, sql: str, *values: Any) -> list[StepRow]:
        return [step_row(row) for row in self._database.read(sql, values)]
