"""The engine as it runs on AWS, in memory: a queue that behaves like SQS, and one invocation after the other.

Messages come at least once, in any order, hidden for six minutes while they are handled, and are given up after five
deliveries. A message that is handed off is never sent: the one that led to it, its bearer, stays with the queue, and
what it bears is sent when it comes again. Faults can be put before every call of a store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis, RunId
from flowrunner.core.state import parent_of_item
from flowrunner.engine.dead_letters import DeadLetters, DeadLetterSettings
from flowrunner.engine.engine import Engine, RunResult
from flowrunner.engine.invocation import Invocations, InvocationSettings
from flowrunner.engine.records import Attempt
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import StoreError
from flowrunner.ports.queue import Delivery, Message, QueueLoad, Receipt
from flowrunner.ports.runs import Commit, RunRow
from flowrunner.testing import TurnedClock

from tests.engine.harness import ACCOUNT, make_engine

VISIBILITY: Millis = 360_000
MAX_RECEIVES = 5
FAST: Millis = 60_000
SLOW: Millis = 900_000
FAR: Millis = 2**62
PAUSES: tuple[Millis, ...] = (0, 0)


class Died(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Sent:
    """One message with the queue; another one may say the same."""

    message: Message
    visible_at: Millis
    receives: int = 0


@dataclass
class Handed:
    """A message that was handed off, and which one bears it."""

    message: Message
    bearer: Receipt
    lease_until: Millis


class CloudQueue:
    """See `ports.queue.WorkQueue`, as far as an invocation uses it."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.sent: list[Sent] = []
        self.dead: list[Sent] = []
        self.handed: dict[Receipt, Handed] = {}
        self.in_flight: list[Sent] = []
        self.sends = 0

    def send(self, messages: Sequence[Message]) -> None:
        self.sends += len(messages)
        self.sent += [Sent(message, message.due) for message in messages]

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        for receipt in receipts:
            handed = self.handed.pop(receipt, None)
            lanes = [one.message.slow for one in self.in_flight if one.message.receipt == receipt]
            slow = handed.message.slow if handed is not None else any(lanes)
            self.send([Message(receipt, due, 1, slow)])

    def ack(self, receipts: Sequence[Receipt]) -> None:
        for handed in [one for one in self.handed.values() if one.bearer in receipts]:
            del self.handed[handed.message.receipt]
            self.send([replace(handed.message, due=max(handed.message.due, handed.lease_until))])

    def renew(self, receipts: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        for one in self.in_flight:
            if one.message.receipt in receipts:
                one.visible_at = lease_until

    def take_over(self, commit: Commit) -> None:
        """What a commit sends, hands off and acknowledges."""
        self.send(commit.send)
        bearer = next((self._bearer(receipt) for receipt in commit.ack), None)
        over = [one for one in self.handed if commit.ended_at is not None and one.run == commit.run]
        for receipt in (*commit.ack, *over):
            self.handed.pop(receipt, None)
        for message in commit.hand_off:
            assert bearer is not None, "a message is handed off by a commit that acknowledges none"
            self.handed[message.receipt] = Handed(message, bearer, commit.lease_until)

    def _bearer(self, receipt: Receipt) -> Receipt:
        return self.handed[receipt].bearer if receipt in self.handed else receipt

    def deliver(self, limit: int, *, slow: bool | None, pick: Callable[[int], int]) -> list[Sent]:
        """Visible messages of a lane, hidden from now on; those that were received too often are given up."""
        now, found = self.clock.now(), list[Sent]()
        visible = [one for one in self.sent if one.visible_at <= now and slow in (None, one.message.slow)]
        while visible and len(found) < limit:
            one = visible.pop(pick(len(visible)))
            if one.receives >= MAX_RECEIVES:
                self.sent.remove(one)
                self.dead.append(one)
                continue
            one.receives += 1
            one.visible_at = now + VISIBILITY
            found.append(one)
        self.in_flight = found
        return found

    def next_visible(self) -> Millis | None:
        return min((one.visible_at for one in self.sent), default=None)

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        raise AssertionError("an invocation receives nothing by itself")

    def load(self, now: Millis) -> QueueLoad:
        return QueueLoad(len(self.sent), None, 0)


class CloudRuns:
    """Runs in memory whose messages go to such a queue."""

    def __init__(self, runs: Any, queue: CloudQueue) -> None:
        self._runs = runs
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    def create(
        self, runs: Sequence[RunRow], messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0
    ) -> Sequence[bool]:
        created: Sequence[bool] = self._runs.create(runs, [])
        new = {(row.account, row.id) for row, made in zip(runs, created, strict=True) if made}
        self._queue.send([one for one in messages if (one.receipt.account, one.receipt.run) in new])
        return created

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        applied: Sequence[bool] = self._runs.commit(
            [replace(commit, send=(), hand_off=(), ack=(), owner="") for commit in commits]
        )
        for commit, won in zip(commits, applied, strict=True):
            if won and commit.head is None:
                self._queue.ack(commit.ack)
            elif won:
                self._queue.take_over(commit)
        return applied


Plan = Callable[[int, str], str | None]
"""What becomes of a call, by its number and name: `dies`, `fails`, `lost` (done, but no answer comes), or nothing."""


@dataclass
class Faults:
    """Counts the calls to the stores of a backend, and lets the planned ones fail."""

    plan: Plan = lambda _number, _name: None
    calls: list[str] = field(default_factory=list)
    off: bool = False

    def door(self, store: str, target: Any) -> Any:
        return _Door(self, store, target)

    def call(self, name: str, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if self.off:
            return call(*given, **named)
        self.calls.append(name)
        fate = self.plan(len(self.calls), name)
        here = threading.current_thread() is threading.main_thread()
        if fate == "dies" and here:
            raise Died
        if fate in ("fails", "dies"):
            raise StoreError(f"{name} does not answer")
        answer = call(*given, **named)
        if fate == "lost":
            raise StoreError(f"the answer to {name} is lost")
        return answer


class _Door:
    def __init__(self, faults: Faults, store: str, target: Any) -> None:
        self._faults, self._store, self._target = faults, store, target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found
        return lambda *given, **named: self._faults.call(f"{self._store}.{name}", found, *given, **named)


STORES = ("runs", "history", "queue", "blobs", "values", "callbacks", "documents")


@dataclass
class Cloud:
    """An engine whose steps are executed by invocations."""

    engine: Engine
    clock: TurnedClock
    queue: CloudQueue
    faults: Faults
    fast: Invocations
    slow: Invocations | None
    letters: DeadLetters
    batch: int = 1
    pick: Callable[[int], int] = lambda _count: 0
    invocations: int = 0
    deaths: int = 0
    trouble: list[BaseException] = field(default_factory=list)

    def start(self, document: str, value: Json = None, run: str | None = None) -> RunId:
        row = self.engine.save_flow(ACCOUNT, document)
        return self.engine.start(StartRequest(ACCOUNT, row.id, row.revision, value, run=RunId(run) if run else None))

    def run(self, document: str, value: Json = None) -> RunResult:
        run = self.start(document, value)
        self.work()
        return self.result(run)

    def result(self, run: RunId) -> RunResult:
        return self.engine.run(ACCOUNT, run)

    def steps(self, run: RunId) -> list[Attempt]:
        return self.engine.steps(ACCOUNT, run)

    def path(self, run: RunId) -> list[str]:
        """Labels of the steps that ended, in the order in which the run took them."""
        ended = [one for one in self.steps(run) if one.rev and one.status.final and not parent_of_item(one.step)]
        return [one.label for one in sorted(ended, key=lambda one: one.rev)]

    def work(self, until: Millis | None = None) -> None:
        """Invoke until no message is left that is due (before `until`), turning the clock."""
        for _ in range(10_000):
            if self.invoke():
                continue
            due = self.queue.next_visible()
            if self.queue.dead:
                due = min(due or FAR, self.clock.now() + VISIBILITY)
            if due is None or (until is not None and due > until):
                return
            self.clock.turn_to(due)
        raise AssertionError("the run goes on for ever")

    def invoke(self) -> bool:
        """One invocation of each lane that has something to do; False if there was nothing."""
        lanes = [(self.fast, FAST, None if self.slow is None else False)]
        lanes += [(self.slow, SLOW, True)] if self.slow is not None else []
        busy = False
        for invocations, time, slow in lanes:
            found = self.queue.deliver(self.batch, slow=slow, pick=self.pick)
            if found:
                self._invoke(invocations, time, found)
                busy = True
            busy = self._bury() or busy
        return busy

    def _invoke(self, invocations: Invocations, time: Millis, found: list[Sent]) -> None:
        self.invocations += 1
        deliveries = [Delivery(one.message.receipt, one.receives) for one in found]
        try:
            again = invocations.handle(deliveries, self.clock.now() + time)
        except Died:
            self.deaths += 1
            return
        done = {one.message.receipt for one in found} - {*again}
        assert not [one for one in self.queue.handed.values() if one.bearer in done], "handed off and left alone"
        for one in found:
            if one.message.receipt not in again:
                self.queue.sent.remove(one)

    def _bury(self) -> bool:
        """Let the function of the dead-letter queue see to what is in there."""
        dead, self.queue.dead = self.queue.dead, []
        self.queue.in_flight = []
        try:
            again = self.letters.handle([Delivery(one.message.receipt, one.receives) for one in dead]) if dead else []
        except Died:
            self.deaths += 1
            again = [one.message.receipt for one in dead]
        self.queue.dead = [one for one in dead if one.message.receipt in again]
        return len(self.queue.dead) < len(dead)


@contextmanager
def cloud(*, lanes: bool = False, backend: Any = None, **options: Any) -> Iterator[Cloud]:
    """Such an engine; `options` as for `make_engine`. With `lanes` slow steps have a queue of their own."""
    stores: Any = backend or MemoryBackend()
    faults = Faults()
    queue = CloudQueue()
    stores.runs, stores.queue = CloudRuns(stores.runs, queue), queue
    for name in STORES:
        setattr(stores, name, faults.door(name, getattr(stores, name)))
    engine, queue.clock = make_engine(stores, **options)
    trouble: list[BaseException] = []
    fast = engine.invocations(
        InvocationSettings(slow_lane=False if lanes else None, pauses=PAUSES), on_error=trouble.append
    )
    slow = (
        engine.invocations(InvocationSettings(slow_lane=True, pauses=PAUSES), on_error=trouble.append)
        if lanes
        else None
    )
    letters = engine.dead_letters(DeadLetterSettings(), InvocationSettings(pauses=PAUSES))
    yield Cloud(engine, queue.clock, queue, faults, fast, slow, letters, trouble=trouble)
    engine.parts.registry.shutdown()
    engine.parts.http.close()
