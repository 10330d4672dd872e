"""Reading what happened, and removing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from flowrunner.adapters.aws.journal import Journal, head_key
from flowrunner.adapters.aws.keys import STEPS, Key, moment, run_pk, step_prefix, step_sk
from flowrunner.adapters.aws.lists import RunLists
from flowrunner.adapters.aws.outbox import StoredRow, written
from flowrunner.adapters.aws.removal import RunRemoval
from flowrunner.adapters.aws.rows import OPEN, OPEN_VALUES, Rows, read_row
from flowrunner.adapters.aws.run_items import ENDED, run_of
from flowrunner.adapters.aws.table import Item, Table, Value, key_of
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.ports.history import RunFilter, step_order
from flowrunner.ports.runs import RunRow, StepRow

PAGE = 500
"""Rows read at once where nobody says how many are wanted."""


class DynamoHistory:
    """See `ports.history.RunHistory`.

    What a commit has taken is in its place or in the head's outbox (`journal`). So a reader looks into the outbox
    first and at the rows after that, and puts the one over the other: nothing committed can be in neither.
    """

    def __init__(self, table: Table, rows: Rows, journal: Journal, lists: RunLists, removal: RunRemoval) -> None:
        self._table = table
        self._rows = rows
        self._journal = journal
        self._lists = lists
        self._removal = removal

    def step(self, account: AccountId, run: RunId, step: StepId, attempt: int | None = None) -> StepRow | None:
        if attempt is None:
            try:
                last = self._attempts(account, run, step_prefix(step) + "#")[-1:]
            except ValueError:
                return None
            return next(iter(self._rows.opened(account, run, last)), None)
        remembered = self._journal.remembered_row(account, run, (step, attempt))
        if remembered is not None:
            return self._rows.opened(account, run, [remembered])[0]
        item = self._rows.get(account, run, step, attempt)
        row = read_row(item) if item is not None else None
        if row is not None and row.status.final and row.rev:
            # Nothing can change it any more, so the outbox need not be looked at. Most reads end here.
            self._journal.saw_row(account, run, step, attempt)
        else:
            for owed in self._journal.owed_rows(account, run) or ():
                if owed.at == (step, attempt):
                    row = _over(row, owed)
        return self._rows.opened(account, run, [row])[0] if row is not None else None

    def steps(
        self, account: AccountId, run: RunId, *, after: tuple[StepId, int] | None = None, limit: int = 1000
    ) -> Sequence[StepRow]:
        owed = self._journal.owed_rows(account, run)
        if owed is None:
            return []
        start = step_sk(*after) if after is not None else STEPS
        found = self._read(account, run, start, STEPS[:-1] + "$", limit + 1)
        page = [row for row in islice(found, limit + 1) if after is None or row.at != after][:limit]
        known = [_sk(row) for row in page]
        # Behind the last row of a full page there is more that was not read: what is owed there comes with that.
        end = known[-1] if len(page) == limit else None
        added = [row for row in owed if start < _sk(row) and (end is None or _sk(row) <= end)]
        return self._rows.opened(account, run, _merged(page, added)[:limit])

    def committed(self, account: AccountId, run: RunId, *, after_rev: int, limit: int = 1000) -> Sequence[StepRow]:
        head = self._journal.read(account, run)
        if head is None or head.rev <= after_rev:
            return []  # a reader that has seen it all asks often, and reads one item for it
        owed = [row for entry in head.entries for row in entry.rows]
        found = self._read(account, run, STEPS, STEPS[:-1] + "$", keep="r > :rev", values={":rev": after_rev})
        rows = [row for row in _merged(list(found), owed) if row.rev > after_rev]
        rows.sort(key=lambda row: (row.rev, *step_order(row.step), row.attempt))
        return self._rows.opened(account, run, rows[:limit])

    def open_steps(self, account: AccountId, run: RunId) -> Sequence[StepRow]:
        owed = self._journal.owed_rows(account, run)
        if owed is None:
            return []
        found = self._read(account, run, STEPS, STEPS[:-1] + "$", keep=OPEN, values=OPEN_VALUES)
        return self._rows.opened(account, run, [row for row in _merged(list(found), owed) if not row.status.final])

    def item_steps(self, account: AccountId, run: RunId, parent: StepId) -> Sequence[StepRow]:
        try:
            rows = self._attempts(account, run, step_prefix(parent) + "[")
        except ValueError:
            return []
        last = {row.step: row for row in rows}  # of several attempts of an item the last one stays
        return self._rows.opened(account, run, last.values())

    def runs(self, account: AccountId, wanted: RunFilter) -> Sequence[RunRow]:
        return self._lists.runs(account, wanted)

    def count(
        self, account: AccountId, *, statuses: Sequence[str], flow: FlowId | None = None, limit: int = 10_000
    ) -> int:
        return self._lists.count(account, statuses, flow, limit)

    def delete(self, account: AccountId, run: RunId) -> bool:
        return self._removal.delete(account, run)

    def ended_before(self, moment_: Millis, limit: int) -> Sequence[tuple[AccountId, RunId]]:
        found = self._table.query(
            "g3p = :p AND g3s < :s", {":p": ENDED, ":s": moment(moment_)}, index="expiry", limit=limit
        )
        return [run_of(key_of(item).pk) for item in islice(found, limit)]

    # -- how ----------------------------------------------------------------------------------------------------

    def _attempts(self, account: AccountId, run: RunId, prefix: str) -> list[StoredRow]:
        """The rows whose keys begin with `prefix`, in order."""
        owed = self._journal.owed_rows(account, run)
        if owed is None:
            return []
        rows = list(self._read(account, run, prefix, prefix + "~"))
        return _merged(rows, [row for row in owed if _sk(row).startswith(prefix)])

    def _read(
        self,
        account: AccountId,
        run: RunId,
        low: str,
        high: str,
        limit: int = 0,
        keep: str = "",
        values: dict[str, Value] | None = None,
    ) -> Iterator[StoredRow]:
        place: Key | None = head_key(account, run)
        items: Iterable[Item] = ()
        if place is not None:
            items = self._table.query(
                "pk = :pk AND sk BETWEEN :low AND :high",
                {":pk": run_pk(account, run), ":low": low, ":high": high, **(values or {})},
                keep=keep,
                limit=min(limit, PAGE) if limit else 0,
            )
        return (read_row(item) for item in items)


def _merged(rows: Sequence[StoredRow], owed: Sequence[StoredRow]) -> list[StoredRow]:
    """Rows with those that are owed put over them, in the order scheduled."""
    result = {_sk(row): row for row in rows}
    for row in owed:
        result[_sk(row)] = _over(result.get(_sk(row)), row)
    return [result[sk] for sk in sorted(result)]


def _over(row: StoredRow | None, owed: StoredRow) -> StoredRow:
    """A row with what is owed put over it, unless it is newer."""
    if row is not None and not row.status.final and row.rev > owed.rev:
        return row
    return written(row, owed)


def _sk(row: StoredRow) -> str:
    return step_sk(row.step, row.attempt)
