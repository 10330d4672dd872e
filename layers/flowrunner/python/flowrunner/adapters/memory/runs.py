"""Run state in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowrunner.adapters.memory.data import Claim, Data, Run
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.ports.queue import Message
from flowrunner.ports.runs import (
    ClaimAnswer,
    ClaimRequest,
    ClaimStatus,
    Commit,
    RowStatus,
    RunRow,
    StepReport,
    StepRow,
)


class MemoryRuns:
    """See `ports.runs.RunStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def create(
        self, runs: Sequence[RunRow], messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0
    ) -> Sequence[bool]:
        created: list[bool] = []
        due: dict[tuple[str, str], Millis] = {}
        with self._data.lock:
            for row in runs:
                key = (row.account, row.id)
                created.append(key not in self._data.runs)
                if created[-1]:
                    self._data.runs[key] = Run(row)
                    due[key] = row.created_at
            mine = [message for message in messages if (message.receipt.account, message.receipt.run) in due]
            now = [message for message in mine if message.due <= due[message.receipt.account, message.receipt.run]]
            if owner:
                self._data.enqueue(now, owner=owner, lease_until=lease_until)
            self._data.enqueue(mine)
        if mine and not (owner and len(now) == len(mine)):
            self._data.tell("queue")
        self._data.tell("runs")
        return created

    def load(self, keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        with self._data.lock:
            found = [self._data.runs.get(key) for key in keys]
            return [run.row if run is not None else None for run in found]

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        with self._data.lock:
            return [self._claim(request) for request in requests]

    def renew(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str, lease_until: Millis) -> None:
        with self._data.lock:
            for account, run_id, step, attempt in claims:
                run = self._data.runs.get((account, run_id))
                claim = run.claims.get((step, attempt)) if run is not None else None
                if claim is not None and claim.owner == owner:
                    claim.lease_until = lease_until

    def let_go(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str) -> None:
        with self._data.lock:
            for account, run_id, step, attempt in claims:
                run = self._data.runs.get((account, run_id))
                claim = run.claims.get((step, attempt)) if run is not None else None
                if run is None or claim is None or claim.owner != owner:
                    continue
                if claim.claims == 1:
                    del run.claims[step, attempt]
                else:
                    run.claims[step, attempt] = Claim("", 0, claim.claims - 1)

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        with self._data.lock:
            applied = [self._commit(commit) for commit in commits]
        if any(commit.send for commit in commits):
            self._data.tell("queue")
        if any(commit.ended_at is not None for commit in commits):
            self._data.tell("runs")
        return applied

    def report(self, reports: Sequence[StepReport]) -> None:
        with self._data.lock:
            written = [self._report(report) for report in reports]
        if any(written):
            self._data.tell("runs")

    def _report(self, report: StepReport) -> bool:
        run = self._data.runs.get((report.account, report.run))
        key = (report.step, report.attempt)
        claim = run.claims.get(key) if run is not None else None
        if (
            run is None
            or claim is None
            or claim.owner != report.owner
            or run.steps[key].status is not RowStatus.RUNNING
        ):
            return False
        run.steps[key] = replace(run.steps[key], body=report.body)
        return True

    def _claim(self, request: ClaimRequest) -> ClaimAnswer:
        run = self._data.runs.get((request.account, request.run))
        if run is None:
            return ClaimAnswer(ClaimStatus.OVER)
        key = (request.step, request.attempt)
        row = run.steps.get(key)
        if row is not None and row.status.final:
            return ClaimAnswer(ClaimStatus.DONE, row=row)
        if run.row.status in TERMINAL:
            return ClaimAnswer(ClaimStatus.OVER)
        claim = run.claims.get(key)
        if row is not None and row.status is RowStatus.WAITING:
            # It was executed and waits: whoever claims it now saw an older head.
            until = max(claim.lease_until, request.now) if claim is not None else request.now
            return ClaimAnswer(ClaimStatus.HELD, claim.claims if claim is not None else 0, until)
        if claim is not None and claim.lease_until > request.now:
            if claim.owner != request.owner:
                return ClaimAnswer(ClaimStatus.HELD, claim.claims, claim.lease_until)
            return ClaimAnswer(ClaimStatus.GRANTED, claim.claims, claim.lease_until)
        if claim is not None and request.at_most_once:
            return ClaimAnswer(ClaimStatus.LAPSED, claim.claims)
        count = claim.claims + 1 if claim is not None else 1
        run.claims[key] = Claim(request.owner, request.lease_until, count)
        _write(run, StepRow(request.step, request.attempt, request.node, RowStatus.RUNNING, 0, request.body))
        return ClaimAnswer(ClaimStatus.GRANTED, count, request.lease_until)

    def _commit(self, commit: Commit) -> bool:
        run = self._data.runs.get((commit.account, commit.run))
        if run is None or (commit.head is not None and run.row.rev != commit.expected_rev):
            return False
        for row in commit.steps:
            _write(run, row)
        if commit.head is not None:
            run.row = _moved(run.row, commit.rev, commit.head, commit.status)
        if commit.reopened:
            run.row = replace(run.row, ended_at=None, result=None)
        if commit.revision is not None:
            run.row = replace(run.row, revision=commit.revision)
        if commit.ended_at is not None:
            run.row = replace(run.row, ended_at=commit.ended_at, result=commit.result)
            self._data.dequeue(list(run.messages))
        self._data.dequeue(commit.ack)
        self._data.enqueue(commit.send)
        self._data.enqueue(commit.hand_off, owner=commit.owner, lease_until=commit.lease_until)
        return True


def _moved(row: RunRow, rev: int, head: bytes, status: str) -> RunRow:
    """What `dataclasses.replace` does, in half the time: it is done for every step."""
    return RunRow(
        row.account,
        row.id,
        row.flow,
        row.revision,
        row.flow_name,
        row.priority,
        row.created_at,
        row.body,
        rev,
        status,
        head,
        row.result,
        row.ended_at,
    )


def _write(run: Run, row: StepRow) -> None:
    """Write a row, unless a final one is there; that one may still learn which commit took it."""
    key = (row.step, row.attempt)
    before = run.steps.get(key)
    if before is not None and before.status.final:
        if not before.rev and row.rev:
            run.steps[key] = replace(before, rev=row.rev)
        return
    run.steps[key] = row
    run.last[row.step] = max(run.last.get(row.step, 0), row.attempt)
