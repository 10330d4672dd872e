"""Small builders for what the stores are given. Every time is a number: no test waits for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowrunner.core.ids import AccountId, FlowId, NodeId, RunId, StepId
from flowrunner.ports.backend import Backend
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import ClaimRequest, Commit, RowStatus, RunRow, StepReport, StepRow

ACCOUNT = AccountId("acme")
OTHER = AccountId("other")
RUN = RunId("run-1")
NOW = 1_700_000_000_000
LEASE = NOW + 30_000

NASTY = [
    "'; DROP TABLE runs; --",
    '"quoted"',
    "back\\slash",
    "per%cent_",
    "naïve ☃ 𝄞",
    "new\nline",
    "",
    " ",
    "{}",
    "$1",
]
"""Texts that break careless SQL. Every store holds them as ids and keys."""


def run_row(run: str = RUN, account: str = ACCOUNT, **changes: Any) -> RunRow:
    """A run that has just started."""
    values: dict[str, Any] = {
        "flow": FlowId("flow-1"),
        "revision": 1,
        "flow_name": "greet",
        "priority": 1,
        "created_at": NOW,
        "body": b'{"in":1}',
        "rev": 1,
        "status": "running",
        "head": b"head-1",
    }
    return RunRow(account=AccountId(account), id=RunId(run), **(values | changes))


def receipt(step: str = "1.0", attempt: int = 1, run: str = RUN, account: str = ACCOUNT) -> Receipt:
    return Receipt(AccountId(account), RunId(run), StepId(step), attempt)


def message(step: str = "1.0", due: int = NOW, priority: int = 1, **where: Any) -> Message:
    return Message(receipt(step, **where), due, priority)


def step_row(
    step: str = "1.0",
    status: RowStatus = RowStatus.SUCCEEDED,
    rev: int = 2,
    body: bytes = b"{}",
    attempt: int = 1,
) -> StepRow:
    return StepRow(StepId(step), attempt, NodeId("node"), status, rev, body)


def commit(rev: int = 2, run: str = RUN, account: str = ACCOUNT, **changes: Any) -> Commit:
    """The commit that moves a run from `rev - 1` to `rev`."""
    values: dict[str, Any] = {"expected_rev": rev - 1, "head": f"head-{rev}".encode(), "status": "running"}
    return Commit(account=AccountId(account), run=RunId(run), rev=rev, **(values | changes))


def claim(step: str = "1.0", owner: str = "w1", now: int = NOW, **changes: Any) -> ClaimRequest:
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "run": RUN,
        "attempt": 1,
        "node": NodeId("node"),
        "lease_until": now + 30_000,
        "body": b"started",
    }
    return ClaimRequest(step=StepId(step), owner=owner, now=now, **(values | changes))


def report(step: str = "1.0", owner: str = "w1", body: bytes = b"so far", **changes: Any) -> StepReport:
    """What the claim of `claim` tells while it runs."""
    values: dict[str, Any] = {"account": ACCOUNT, "run": RUN, "attempt": 1}
    return StepReport(step=StepId(step), owner=owner, body=body, **(values | changes))


def start(backend: Backend, *runs: str, **changes: Any) -> None:
    """Store runs without messages."""
    assert all(backend.runs.create([run_row(run, **changes) for run in runs or (RUN,)], []))


def load(backend: Backend, run: str = RUN, account: str = ACCOUNT) -> RunRow:
    found = backend.runs.load([(AccountId(account), RunId(run))])[0]
    assert found is not None, f"there is no run {run}"
    return found


def queued(backend: Backend, now: int = NOW + 10**9) -> list[str]:
    """The steps of all messages, by taking them all: for the end of a test.

    Such a long time after the others, a queue that is not exact may have been given some of them again.
    """
    steps = [one.receipt.step for one in backend.queue.receive("the test", now, now + 1, 1000)]
    return sorted(steps if backend.capabilities.exact_queue else {*steps})


def indexed_reads(backend: Backend) -> dict[str, Callable[[], object]]:
    """Questions that must stay fast whatever there is, for the tests of plans."""
    entities, history, statuses = backend.entities, backend.history, ["queued", "running"]
    return {
        "get": lambda: entities.get(ACCOUNT, "k", "id", NOW),
        "list": lambda: entities.list(ACCOUNT, "k", NOW, prefix="a", after="ab"),
        "list backwards": lambda: entities.list(ACCOUNT, "k", NOW, descending=True, after="ab"),
        "find": lambda: entities.find("k", "name", NOW),
        "due": lambda: entities.due("k", NOW, 10),
        "next due": lambda: entities.next_due("k"),
        "count": lambda: history.count(ACCOUNT, statuses=statuses),
        "count of a flow": lambda: history.count(ACCOUNT, statuses=statuses, flow=FlowId("f")),
    }
