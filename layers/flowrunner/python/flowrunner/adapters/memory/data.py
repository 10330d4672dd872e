"""The tables of the memory backend, and who is told when they change."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import RLock

from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.entities import Entity
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.kv import Item
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import RunRow, StepRow
from flowrunner.ports.wakeups import Listener, Topic

RunKey = tuple[AccountId, RunId]

Note = tuple[Millis, int, Receipt]
"""When a message becomes visible, the number of the note, and which message."""

STALE = 4
"""Notes per message above which the stale ones are removed: that work is spread over as many pushes."""


@dataclass(slots=True)
class Queued:
    """A message in the queue. A lease is nothing but a later `visible_at`."""

    message: Message
    visible_at: Millis
    owner: str = ""
    receives: int = 0


@dataclass(slots=True)
class Claim:
    owner: str
    lease_until: Millis
    claims: int


@dataclass(slots=True)
class Run:
    """A run with all that belongs to it. Steps are in the order first written; readers sort."""

    row: RunRow
    steps: dict[tuple[StepId, int], StepRow] = field(default_factory=dict)
    last: dict[StepId, int] = field(default_factory=dict)
    claims: dict[tuple[StepId, int], Claim] = field(default_factory=dict)
    messages: set[Receipt] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)


class Data:
    """All tables. Every access holds `lock`."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.runs: dict[RunKey, Run] = {}
        self.queue: dict[Receipt, Queued] = {}
        self.early_blobs: dict[RunKey, dict[str, bytes]] = {}
        """Of runs that are not stored yet."""
        self.heaps: dict[int, list[Note]] = {}
        """By priority."""
        self.turns: dict[AccountId, list[Note]] = {}
        self.flows: dict[tuple[AccountId, str], list[FlowRow]] = {}
        self.values: dict[tuple[AccountId, str], dict[str, Item]] = {}
        self.callbacks: dict[str, CallbackRow] = {}
        self.documents: dict[tuple[AccountId, str], tuple[bytes, int]] = {}
        self.entities: dict[str, dict[tuple[AccountId, str], Entity]] = {}
        self.lookups: dict[tuple[str, str], tuple[AccountId, str]] = {}
        self._listeners: list[Listener] = []
        self._order = 0

    # -- queue -----------------------------------------------------------------------------------------------

    def enqueue(self, messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0) -> None:
        """Put messages into the queue, leased to `owner` if given. One that is there stays as it is."""
        for message in messages:
            if message.receipt in self.queue:
                continue
            queued = Queued(message, max(message.due, lease_until), owner, 1 if owner else 0)
            self.queue[message.receipt] = queued
            run = self.runs.get((message.receipt.account, message.receipt.run))
            if run is not None:
                run.messages.add(message.receipt)
            self.show(queued)

    def show(self, queued: Queued) -> None:
        """Note when a message becomes visible. Older notes on it are stale: passed over when they come up."""
        self._order += 1
        receipt = queued.message.receipt
        for heap in (self.heaps.setdefault(queued.message.priority, []), self.turns.setdefault(receipt.account, [])):
            heapq.heappush(heap, (queued.visible_at, self._order, receipt))
            if len(heap) > STALE * len(self.queue) + 1024:
                self._forget_stale(heap)

    def first(self, heap: list[Note]) -> Queued | None:
        """The message that is visible first; stale notes are dropped on the way."""
        while heap and not self._true(heap[0]):
            heapq.heappop(heap)
        return self.queue[heap[0][2]] if heap else None

    def _forget_stale(self, heap: list[Note]) -> None:
        """Keep what is true: messages handed off and acknowledged leave notes that nobody reads."""
        heap[:] = [note for note in heap if self._true(note)]
        heapq.heapify(heap)

    def _true(self, note: Note) -> bool:
        queued = self.queue.get(note[2])
        return queued is not None and queued.visible_at == note[0]

    def dequeue(self, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            self.queue.pop(receipt, None)
            run = self.runs.get((receipt.account, receipt.run))
            if run is not None:
                run.messages.discard(receipt)

    # -- wakeups ---------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """See `ports.wakeups.Wakeups`."""
        with self.lock:
            self._listeners.append(listener)

        def leave() -> None:
            with self.lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return leave

    def tell(self, topic: Topic) -> None:
        for listener in list(self._listeners):
            listener(topic)
