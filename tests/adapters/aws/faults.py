"""A client of AWS that fails where a test wants it to, and a worker that does what the engine does with the stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.core.ids import AccountId, FlowId, NodeId, RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.errors import StoreError
from flowrunner.ports.queue import Delivery, Message, Receipt
from flowrunner.ports.runs import ClaimRequest, ClaimStatus, Commit, RowStatus, RunRow, StepRow

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ACCOUNT = AccountId("acme")
LEASE = 30_000
CHILDREN = {0: 2, 1: 1, 2: 0}
"""How many steps a step of a depth leads to: 1.0, two of depth 1, two of depth 2, and the run is over."""
STEPS = 5

REPEATED = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")
"""Writes that botocore repeats when their answer is lost, and which are then applied twice. (With a transaction it
sends a token.)"""

Plan = Callable[[int, str], str | None]
"""What becomes of a call, by its number and operation: one of `before`, `after`, `throttled`, `lost answer`, or
nothing."""


class Crash(BaseException):
    """The process is gone: nothing in it may catch this."""


class Faults:
    """A client that counts its calls, and lets the chosen ones fail. A new plan begins to count anew."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.client = client
        self.calls = 0
        self.operations: list[str] = []
        self._plan: Plan = _calm
        original: Callable[[str, Mapping[str, Any]], Any] = client._make_api_call  # type: ignore[attr-defined]  # the one door of every client

        def call(operation: str, arguments: Mapping[str, Any]) -> Any:
            self.calls += 1
            self.operations.append(operation)
            match self._plan(self.calls, operation):
                case "before":
                    raise Crash
                case "after":
                    original(operation, arguments)
                    raise Crash
                case "throttled":
                    error: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}
                    raise ClientError(error, operation)
                case "lost answer" if operation in REPEATED:
                    original(operation, arguments)
            return original(operation, arguments)

        client._make_api_call = call  # type: ignore[attr-defined]  # the one door of every client

    def plan(self, plan: Plan) -> None:
        self._plan, self.calls, self.operations = plan, 0, []


def _calm(_call: int, _operation: str) -> str | None:
    return None


def start(backend: DynamoBackend, run: RunId, now: int) -> bool:
    head = orjson.dumps({"fr": {"1.0": 0}})
    row = RunRow(ACCOUNT, run, FlowId("flow"), 1, "flow", 1, now, b"{}", 1, "running", head)
    return backend.runs.create([row], [Message(Receipt(ACCOUNT, run, StepId("1.0"), 1), now)])[0]


@dataclass
class Ledger:
    """What all workers have done, seen from outside."""

    executed: list[tuple[RunId, StepId]] = field(default_factory=list)
    late: list[tuple[RunId, StepId]] = field(default_factory=list)
    """Executed although a commit had taken a result before the claim began."""


class Hand:
    """A worker: the six steps of a step's execution, with nothing but the ports."""

    def __init__(self, backend: DynamoBackend, name: str, oracle: DynamoBackend, ledger: Ledger) -> None:
        self.backend = backend
        self.name = name
        self.oracle = oracle
        self.ledger = ledger

    def turn(self, now: int, limit: int = 10) -> int:
        """Take what is there; answers how much that was. What the store refuses comes again by itself."""
        deliveries = self.backend.queue.receive(self.name, now, now + LEASE, limit)
        for delivery in deliveries:
            try:
                self.handle(delivery, now)
            except StoreError:
                continue
        return len(deliveries)

    def handle(self, delivery: Delivery, now: int) -> None:
        receipt = delivery.receipt
        found = self._frontier(receipt)
        if found is None:
            self.backend.queue.ack([receipt])
            return
        before = self._committed(receipt)
        answer = self.backend.runs.claim(
            [
                ClaimRequest(
                    receipt.account, receipt.run, receipt.step, 1, NodeId("n"), self.name, now, now + LEASE, b"begun"
                )
            ]
        )[0]
        if answer.status is ClaimStatus.HELD:
            self.backend.queue.release([receipt], answer.lease_until + 1_000)
        elif answer.status is ClaimStatus.OVER:
            self.backend.queue.ack([receipt])
        elif answer.status is ClaimStatus.DONE:
            assert answer.row is not None
            self._commit(receipt, answer.row.body, now)
        else:
            self.ledger.executed.append((receipt.run, receipt.step))
            if before:
                self.ledger.late.append((receipt.run, receipt.step))
            self._commit(receipt, f"{self.name} did it".encode(), now)

    def _commit(self, receipt: Receipt, body: bytes, now: int) -> None:
        for _ in range(20):
            found = self._frontier(receipt)
            if found is None:
                self.backend.queue.ack([receipt])
                return
            row, frontier = found
            depth = frontier.pop(receipt.step)
            rev = row.rev + 1
            children = [StepId(f"{rev}.{index}") for index in range(CHILDREN[depth])]
            frontier |= dict.fromkeys(children, depth + 1)
            over = not frontier
            commit = Commit(
                account=receipt.account,
                run=receipt.run,
                expected_rev=row.rev,
                rev=rev,
                head=orjson.dumps({"fr": frontier}),
                status="completed" if over else "running",
                steps=[StepRow(receipt.step, 1, NodeId("n"), RowStatus.SUCCEEDED, rev, body)],
                send=[Message(Receipt(receipt.account, receipt.run, child, 1), now) for child in children],
                ack=[receipt],
                ended_at=now if over else None,
                result=b"done" if over else None,
            )
            if self.backend.runs.commit([commit])[0]:
                return
        raise AssertionError("the commit loses for ever")

    def _frontier(self, receipt: Receipt) -> tuple[RunRow, dict[StepId, int]] | None:
        """The run and its frontier; None if the message has nothing to do (any more)."""
        row = self.backend.runs.load([(receipt.account, receipt.run)])[0]
        if row is None or row.status in TERMINAL:
            return None
        frontier = orjson.loads(row.head)["fr"]
        return (row, frontier) if receipt.step in frontier else None

    def _committed(self, receipt: Receipt) -> bool:
        row = self.oracle.history.step(receipt.account, receipt.run, receipt.step, 1)
        return row is not None and row.status.final and row.rev > 0


def check(oracle: DynamoBackend, ledger: Ledger, run: RunId) -> None:
    """What must hold when nothing is left to do."""
    row = oracle.runs.load([(ACCOUNT, run)])[0]
    assert row is not None
    assert (row.status, row.result, orjson.loads(row.head)["fr"]) == ("completed", b"done", {})
    rows = oracle.history.steps(ACCOUNT, run)
    assert len(rows) == STEPS
    assert {one.status for one in rows} == {RowStatus.SUCCEEDED}
    assert sorted(one.rev for one in rows) == list(range(2, STEPS + 2)), "each was taken once, by a commit of its own"
    assert sorted(one.rev for one in oracle.history.committed(ACCOUNT, run, after_rev=0)) == list(range(2, STEPS + 2))
    assert oracle.history.open_steps(ACCOUNT, run) == []
    assert {step for of, step in ledger.executed if of == run} == {one.step for one in rows}
    assert ledger.late == []
    assert [one for one in oracle.history.ended_before(10**15, 1000) if one[1] == run] == [(ACCOUNT, run)]
