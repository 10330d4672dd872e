"""The rules of the run store that are not a matter of storage, in one place for the backends that share them.

`answer_claim` is the table of claims; the rest prepares commits for stores that write many rows in one
statement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowrunner.adapters.postgres.encoding import load_json
from flowrunner.core.flow import Json
from flowrunner.core.status import TERMINAL
from flowrunner.errors import Conflict
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus, Commit, RowStatus, StepRow


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt's row with its lease, as stored. `claims` is 0 for a row that was never claimed."""

    row: StepRow
    owner: str
    lease_until: int
    claims: int


def answer_claim(request: ClaimRequest, run_status: str | None, stored: Claimed | None) -> ClaimAnswer:
    """Who may execute an attempt (`RunStore.claim`); the store writes the claim if this says GRANTED.

    Arguments: `run_status`, None if there is no run; `stored`, None if there is no row.
    """
    if stored is not None and run_status is not None and stored.row.status.final:
        return ClaimAnswer(ClaimStatus.DONE, stored.claims, row=stored.row)
    if run_status is None or run_status in TERMINAL:
        return ClaimAnswer(ClaimStatus.OVER)
    if stored is None:
        return ClaimAnswer(ClaimStatus.GRANTED, 1, request.lease_until)
    if stored.row.status is RowStatus.WAITING:
        # It was executed and waits: a claim now comes from a reader that saw an older head.
        return ClaimAnswer(ClaimStatus.HELD, stored.claims, max(stored.lease_until, request.now))
    if stored.lease_until > request.now:
        if stored.owner == request.owner:
            return ClaimAnswer(ClaimStatus.GRANTED, stored.claims, max(stored.lease_until, request.lease_until))
        return ClaimAnswer(ClaimStatus.HELD, stored.claims, stored.lease_until)
    if stored.claims and request.at_most_once:
        return ClaimAnswer(ClaimStatus.LAPSED, stored.claims)
    return ClaimAnswer(ClaimStatus.GRANTED, stored.claims + 1, request.lease_until)


def written(before: StepRow | None, row: StepRow) -> StepRow:
    """The row as it is after `row` was written over `before`: a final one stays, but for a revision it
    lacks.
    """
    if before is None or not before.status.final:
        return row
    if not before.rev and row.rev:
        return replace(before, rev=row.rev)
    return before


def merged(rows: Sequence[StepRow]) -> Sequence[StepRow]:
    """The rows with each attempt once: writing the result is writing `rows` one after the other."""
    if len(rows) < 2:
        return rows
    result: dict[tuple[str, int], StepRow] = {}
    for row in rows:
        key = (row.step, row.attempt)
        result[key] = written(result.get(key), row)
    return list(result.values())


def rounds(commits: Sequence[Commit]) -> list[list[int]]:
    """The indexes of `commits` in rounds that name no run twice: one statement cannot write a row twice."""
    result: list[list[int]] = []
    seen: dict[tuple[str, str], int] = {}
    for index, commit in enumerate(commits):
        turn = seen.get((commit.account, commit.run), 0)
        seen[commit.account, commit.run] = turn + 1
        if turn == len(result):
            result.append([])
        result[turn].append(index)
    return result


def incremented(key: str, stored: bytes | None, by: float) -> Json:
    """The number at `key` plus `by`. Raises `Conflict` when there is no number, or none that JSON can
    hold, in it.
    """
    value = load_json(stored) if stored is not None else 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Conflict(f"the value of {key!r} is no number", hint="set it to a number before incrementing it")
    total = value + by
    if not math.isfinite(total) or (isinstance(total, int) and not -(2**63) <= total < 2**63):
        raise Conflict(f"the value of {key!r} would leave the range of numbers")
    return total
