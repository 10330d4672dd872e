"""Reading what happened: runs and the attempts of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.ports.runs import RunRow, StepRow


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list. Newest first by `created_at`, then by id; `before` is the last run of the page before.

    Behind a run that is gone there is nothing: it was among the oldest, which retention removes first.
    """

    flow: FlowId | None = None
    statuses: Sequence[str] = ()
    created_from: Millis | None = None
    created_to: Millis | None = None
    before: RunId | None = None
    limit: int = 50


class RunHistory(Protocol):
    """Reading what happened."""

    def step(self, account: AccountId, run: RunId, step: StepId, attempt: int | None = None) -> StepRow | None:
        """One attempt, or the last one of the step. None for an id that is none: it may come from a URL."""
        ...

    def steps(
        self, account: AccountId, run: RunId, *, after: tuple[StepId, int] | None = None, limit: int = 1000
    ) -> Sequence[StepRow]:
        """Attempts in the order in which they were scheduled (`step_order`), from behind `after`."""
        ...

    def committed(self, account: AccountId, run: RunId, *, after_rev: int, limit: int = 1000) -> Sequence[StepRow]:
        """Attempts by the revision that took their outcome, above `after_rev`; for readers that resume."""
        ...

    def open_steps(self, account: AccountId, run: RunId) -> Sequence[StepRow]:
        """Attempts that are running or waiting."""
        ...

    def item_steps(self, account: AccountId, run: RunId, parent: StepId) -> Sequence[StepRow]:
        """The last attempt of each item `parent[i]` of a foreach, by index."""
        ...

    def runs(self, account: AccountId, wanted: RunFilter) -> Sequence[RunRow]: ...

    def count(
        self, account: AccountId, *, statuses: Sequence[str], flow: FlowId | None = None, limit: int = 10_000
    ) -> int:
        """How many runs have one of these statuses, of one flow or of all; counted up to `limit`."""
        ...

    def delete(self, account: AccountId, run: RunId) -> bool:
        """Remove a run with its rows, messages, callbacks, blobs and own values. True if it was there."""
        ...

    def ended_before(self, moment: Millis, limit: int) -> Sequence[tuple[AccountId, RunId]]:
        """Runs of all accounts that ended before `moment`, oldest first: what retention removes."""
        ...


def step_order(step: StepId) -> tuple[int, int, int]:
    """The sort key of step ids: revision, index, item (`"12.0[7]"` → (12, 0, 7); no item sorts first as -1)."""
    base, _, item = step.partition("[")
    rev, _, index = base.partition(".")
    return int(rev), int(index), int(item[:-1]) if item else -1
