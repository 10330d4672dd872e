"""Reading runs and steps from memory."""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.adapters.memory.data import Data, Run
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId, StepId
from flowrunner.ports.history import RunFilter, step_order
from flowrunner.ports.kv import namespaces_of
from flowrunner.ports.runs import RunRow, StepRow


class MemoryHistory:
    """See `ports.history.RunHistory`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def step(self, account: AccountId, run: RunId, step: StepId, attempt: int | None = None) -> StepRow | None:
        with self._data.lock:
            found = self._data.runs.get((account, run))
            if found is None:
                return None
            return found.steps.get((step, attempt if attempt is not None else found.last.get(step, 0)))

    def steps(
        self, account: AccountId, run: RunId, *, after: tuple[StepId, int] | None = None, limit: int = 1000
    ) -> Sequence[StepRow]:
        start = (*step_order(after[0]), after[1]) if after is not None else (-1, -1, -2, -1)
        rows = [row for row in self._rows(account, run) if (*step_order(row.step), row.attempt) > start]
        return sorted(rows, key=lambda row: (*step_order(row.step), row.attempt))[:limit]

    def committed(self, account: AccountId, run: RunId, *, after_rev: int, limit: int = 1000) -> Sequence[StepRow]:
        rows = [row for row in self._rows(account, run) if row.rev > after_rev]
        return sorted(rows, key=lambda row: (row.rev, *step_order(row.step), row.attempt))[:limit]

    def open_steps(self, account: AccountId, run: RunId) -> Sequence[StepRow]:
        rows = [row for row in self._rows(account, run) if not row.status.final]
        return sorted(rows, key=lambda row: (*step_order(row.step), row.attempt))

    def item_steps(self, account: AccountId, run: RunId, parent: StepId) -> Sequence[StepRow]:
        prefix = f"{parent}["
        with self._data.lock:
            found = self._data.runs.get((account, run))
            if found is None:
                return []
            last = [(step, attempt) for step, attempt in found.last.items() if step.startswith(prefix)]
            return sorted((found.steps[key] for key in last), key=lambda row: step_order(row.step))

    def runs(self, account: AccountId, wanted: RunFilter) -> Sequence[RunRow]:
        with self._data.lock:
            rows = [run.row for (owner, _), run in self._data.runs.items() if owner == account]
            last = self._data.runs.get((account, wanted.before)) if wanted.before is not None else None
        if wanted.before is not None:
            # Behind a run that is gone there is nothing: it was among the oldest, which go first.
            behind = (last.row.created_at, last.row.id) if last is not None else (-1, RunId(""))
            rows = [row for row in rows if (row.created_at, row.id) < behind]
        rows.sort(key=lambda row: (row.created_at, row.id), reverse=True)
        return [row for row in rows if _matches(row, wanted)][: wanted.limit]

    def count(
        self, account: AccountId, *, statuses: Sequence[str], flow: FlowId | None = None, limit: int = 10_000
    ) -> int:
        with self._data.lock:
            rows = [run.row for (owner, _), run in self._data.runs.items() if owner == account]
        return min(sum(row.status in statuses and flow in (None, row.flow) for row in rows), limit)

    def delete(self, account: AccountId, run: RunId) -> bool:
        with self._data.lock:
            found: Run | None = self._data.runs.pop((account, run), None)
            if found is None:
                return False
            for receipt in found.messages:
                self._data.queue.pop(receipt, None)
            for token, row in list(self._data.callbacks.items()):
                if (row.account, row.run) == (account, run):
                    del self._data.callbacks[token]
            self._data.early_blobs.pop((account, run), None)
            for owner, namespace in list(self._data.values):
                if owner == account and namespace.startswith(namespaces_of(run)):
                    del self._data.values[owner, namespace]
            return True

    def ended_before(self, moment: Millis, limit: int) -> Sequence[tuple[AccountId, RunId]]:
        with self._data.lock:
            rows = [run.row for run in self._data.runs.values()]
        ended = sorted((row.ended_at, row.account, row.id) for row in rows if row.ended_at and row.ended_at < moment)
        return [(account, run) for _, account, run in ended[:limit]]

    def _rows(self, account: AccountId, run: RunId) -> list[StepRow]:
        with self._data.lock:
            found = self._data.runs.get((account, run))
            return list(found.steps.values()) if found is not None else []


def _matches(row: RunRow, wanted: RunFilter) -> bool:
    return (
        (wanted.flow is None or row.flow == wanted.flow)
        and (not wanted.statuses or row.status in wanted.statuses)
        and (wanted.created_from is None or row.created_at >= wanted.created_from)
        and (wanted.created_to is None or row.created_at < wanted.created_to)
    )
