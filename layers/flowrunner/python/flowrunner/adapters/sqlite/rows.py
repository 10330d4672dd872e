"""Rows of the tables as the ports' values."""

from __future__ import annotations

from typing import Any

from flowrunner.core.ids import AccountId, RunId, StepId
from flowrunner.ports.history import step_order
from flowrunner.ports.runs import RowStatus, RunRow, StepRow

RUN_COLUMNS = (
    "r.account, r.id, r.flow, r.revision, r.flow_name, r.priority, r.created_at, r.body, h.rev,"
    " h.status, h.head,"
    " r.result, r.ended_at"
)
STEP_COLUMNS = "step, attempt, node, status, rev, body"


def run_row(values: Any) -> RunRow:
    """A row of `RUN_COLUMNS`."""
    return RunRow(*values)


def step_row(values: Any) -> StepRow:
    """A row of `STEP_COLUMNS`."""
    step, attempt, node, status, rev, body = values
    return StepRow(step, attempt, node, RowStatus(status), rev, body)


def step_key(account: AccountId, run: RunId, step: StepId, attempt: int) -> tuple[str, str, int, int, int, int]:
    """The primary key of an attempt."""
    return (account, run, *step_order(step), attempt)
