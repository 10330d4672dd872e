"""Rows of the tables as the ports' values, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowrunner.adapters.postgres.arrays import Longs, Texts
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.ports.history import step_order
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import RowStatus, RunRow, StepRow

RUN = (
    "r.account, r.id, r.flow, r.revision, r.flow_name, r.priority, r.created_at, r.body, r.rev, r.status,"
    " r.head, r.result, r.ended_at"
)
STEP = "s.step, s.attempt, s.node, s.status, s.rev, s.body"

StepKey = tuple[str, str, int, int, int, int]


def run_row(values: Sequence[Any]) -> RunRow:
    """A row of `RUN`."""
    return RunRow(*values)


def step_row(values: Sequence[Any]) -> StepRow:
    """A row of `STEP`."""
    step, attempt, node, status, rev, body = values
    return StepRow(step, attempt, node, RowStatus(status), rev, body)


def step_key(account: AccountId, run: RunId, step: StepId, attempt: int) -> StepKey:
    """The primary key of an attempt."""
    return (account, run, *step_order(step), attempt)


def receipts(of: Iterable[Receipt]) -> tuple[Texts, Texts, Texts, Longs]:
    """Receipts as columns, in the order in which rows are locked."""
    ordered = sorted(set(of))
    return (
        Texts(one.account for one in ordered),
        Texts(one.run for one in ordered),
        Texts(one.step for one in ordered),
        Longs(one.attempt for one in ordered),
    )


def leased(message: Message, owner: str, lease_until: Millis) -> tuple[Millis, str, int]:
    """`visible_at`, `owner` and `receives` of a message that is put into the queue, handed off if there is
    an owner.
    """
    return (max(message.due, lease_until), owner, 1) if owner else (message.due, "", 0)
