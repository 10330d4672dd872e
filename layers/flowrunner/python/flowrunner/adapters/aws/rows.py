"""Step rows in DynamoDB: an item for each attempt, in the partition of its run, in the order scheduled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowrunner.adapters.aws.content import Contents, pack
from flowrunner.adapters.aws.keys import Key, key, read_step_sk, run_pk, step_sk
from flowrunner.adapters.aws.outbox import READ_STATUSES, STATUSES, StoredRow, stored_row, written
from flowrunner.adapters.aws.table import Item, Refused, Table, Value, number, octets, text
from flowrunner.core.ids import AccountId, NodeId, RunId, StepId
from flowrunner.errors import InvalidInput
from flowrunner.ports.runs import RowStatus, StepRow

INLINE = 1024
"""Compressed bytes of a body up to which it lives in its row. A row is written once beside its claim and, until it is
there, travels in the head, whose every write would cost what a larger one weighs."""

SHORT = b"\0"
"""What a short body begins with before it is written: it is not compressed yet."""

OPEN = "st IN (:running, :waiting)"
OPEN_VALUES: dict[str, Value] = {
    ":running": STATUSES[RowStatus.RUNNING],
    ":waiting": STATUSES[RowStatus.WAITING],
}


class Rows:
    """Writes and reads step rows."""

    def __init__(self, table: Table, contents: Contents) -> None:
        self._table = table
        self._contents = contents

    def prepare(self, account: AccountId, run: RunId, rows: Sequence[StepRow]) -> list[StoredRow]:
        """Put long bodies where they belong, and answer the rows, each attempt once, as they are to be written.

        A short body is left as it is: together with others in the head it is compressed better.
        """
        merged: dict[tuple[str, int], StoredRow] = {}
        for row in rows:
            place(account, run, row.step, row.attempt)  # raises for what cannot be a row
            body = self._contents.keep_beside(account, run, row.body, INLINE)
            one = stored_row(row, body if is_beside(body) else SHORT + row.body)
            merged[one.at] = written(merged.get(one.at), one)
        return list(merged.values())

    def write(self, account: AccountId, run: RunId, row: StoredRow) -> None:
        """Write a row unless a final one is there; that one may still learn its revision."""
        at = place(account, run, row.step, row.attempt)
        # A writer that was held up comes with an older state of an attempt that others have moved on meanwhile.
        newer = "" if row.status.final else " AND r <= :r"
        try:
            self._table.update(
                at,
                "SET st = :st, n = :n, r = :r, b = :b",
                {
                    ":st": STATUSES[row.status],
                    ":n": row.node,
                    ":r": row.rev,
                    ":b": pack(row.body[1:]) if row.body[:1] == SHORT else row.body,
                    **OPEN_VALUES,
                },
                f"attribute_not_exists(pk) OR ({OPEN}{newer})",
            )
        except Refused as refused:
            old = refused.item
            if old is not None and row.rev and not number(old, "r") and status_of(old).final:
                self._learn(at, row.rev)

    def _learn(self, at: Key, rev: int) -> None:
        try:
            self._table.update(at, "SET r = :r", {":r": rev, ":none": 0}, "r = :none")
        except Refused:
            return  # it has learned it meanwhile

    def make_sure(self, account: AccountId, run: RunId, rows: Sequence[StoredRow]) -> None:
        """Write those of the rows that are not there yet. Reading is cheaper than writing."""
        there = self._table.get_all(place(account, run, *row.at) for row in rows)
        for row in rows:
            found = there.get(place(account, run, *row.at))
            if found is None or not holds(found, row):
                self.write(account, run, row)

    def get(self, account: AccountId, run: RunId, step: StepId, attempt: int) -> Item | None:
        """The item of an attempt; None also for what is no step id."""
        try:
            return self._table.get(place(account, run, step, attempt))
        except InvalidInput:
            return None

    def opened(self, account: AccountId, run: RunId, rows: Iterable[StoredRow]) -> list[StepRow]:
        """Rows with their bodies."""
        stored = {place(account, run, *row.at): row for row in rows}
        bodies = self._contents.read_all(account, run, {at: row.body for at, row in stored.items()})
        return [StepRow(row.step, row.attempt, row.node, row.status, row.rev, bodies[at]) for at, row in stored.items()]


def place(account: AccountId, run: RunId, step: StepId, attempt: int) -> Key:
    """Where the row of an attempt is. Raises `InvalidInput` for what is no step id."""
    try:
        return key(run_pk(account, run), step_sk(step, attempt))
    except ValueError:
        raise InvalidInput(f"{step!r} is no step id") from None


def read_row(item: Item) -> StoredRow:
    """A row as it is stored."""
    step, attempt = read_step_sk(text(item, "sk"))
    return StoredRow(step, attempt, NodeId(text(item, "n")), status_of(item), number(item, "r"), octets(item, "b"))


def status_of(item: Item) -> RowStatus:
    return READ_STATUSES[text(item, "st")]


def holds(item: Item, row: StoredRow) -> bool:
    """Whether a row that was to be written has been, or has been overtaken by later ones."""
    if not status_of(item).final:
        return not row.status.final and number(item, "r") >= row.rev
    return number(item, "r") > 0 or not row.rev


def is_beside(body: bytes) -> bool:
    """Whether a body is kept elsewhere."""
    return body[:1] not in (b"\0", b"\1")
