"""The records of the table's stream, as Lambda hands them on: commits of runs, and what steps under way say.

A commit is one write of a run's head, and what it took travels in the head's outbox (`journal`). So a record of a head
tells a commit whole; only long bodies of rows have to be read. The old image tells a redrive from other commits.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from flowrunner.adapters.aws.content import Contents, unpack
from flowrunner.adapters.aws.keys import HEAD, STEPS, Key, read_moment, read_run_pk
from flowrunner.adapters.aws.outbox import STATUSES, decode
from flowrunner.adapters.aws.rows import Rows
from flowrunner.adapters.aws.table import Item, Table, key_of, number, octets, optional, read_item, text
from flowrunner.core.ids import AccountId, FlowId, RunId
from flowrunner.errors import StoreError
from flowrunner.ports.changes import RunMoved, StepSpoke
from flowrunner.ports.runs import RowStatus, RunRow, StepRow

NEEDED = frozenset({"f", "fv", "g1s", "rv", "st", "hd"})
"""What a head has."""

RUN = "R#"
"""What the partition keys of runs begin with."""


class TableStream:
    """See `ports.changes.Changes`."""

    def __init__(self, table: Table, contents: Contents, rows: Rows) -> None:
        self._table = table
        self._contents = contents
        self._rows = rows

    def read(self, record: Mapping[str, Any]) -> RunMoved | StepSpoke | None:
        try:
            change, name = record["dynamodb"], record["eventName"]
            place = Key(change["Keys"]["pk"]["S"], change["Keys"]["sk"]["S"])
            if name == "REMOVE" or not place.pk.startswith(RUN):
                return None
            new, old = image(change["NewImage"]), image(change.get("OldImage", {}))
            account, run = read_run_pk(place.pk)
            if place.sk.startswith(STEPS):
                running = text(new, "st") == STATUSES[RowStatus.RUNNING]
                return StepSpoke(account, run) if running and "b" in old and old["b"] != new["b"] else None
            if place.sk != HEAD or (old and number(old, "rv") == number(new, "rv")):
                return None  # another item of the run, or a write that was no commit
            row = _row(account, run, new)
            at = int(float(change["ApproximateCreationDateTime"]) * 1000)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no record of the table's stream: {error!r}") from error
        return RunMoved(
            row,
            at,
            self._steps(account, run, new),
            created=name == "INSERT",
            ended="en" in new and "en" not in old,
            reopened="en" in old and "en" not in new,
        )

    def _steps(self, account: AccountId, run: RunId, head: Item) -> list[StepRow]:
        """The rows that the head's own commit wrote; none of a run that was deleted since."""
        stored = octets(head, "ob")
        try:
            entries = decode(self._contents.read(stored, account, run), account, run) if stored else []
            rows = [row for entry in entries if entry.rev == number(head, "rv") for row in entry.rows]
            return self._rows.opened(account, run, rows)
        except StoreError:
            if self._table.get(key_of(head)) is None:
                return []
            raise


def image(raw: Mapping[str, Mapping[str, Any]]) -> Item:
    """An item as a record of Lambda has it: bytes are written in base64."""
    return read_item(
        {
            name: {"B": b64decode(value["B"])} if isinstance(value.get("B"), str) else value
            for name, value in raw.items()
        }
    )


def _row(account: AccountId, run: RunId, head: Item) -> RunRow:
    missing = NEEDED - head.keys()
    if missing:
        raise KeyError(*missing)
    return RunRow(
        account,
        run,
        FlowId(text(head, "f")),
        number(head, "fv"),
        flow_name="",
        priority=0,
        created_at=read_moment(text(head, "g1s")),
        body=b"",
        rev=number(head, "rv"),
        status=text(head, "st"),
        head=unpack(octets(head, "hd")),
        ended_at=optional(head, "en"),
    )
