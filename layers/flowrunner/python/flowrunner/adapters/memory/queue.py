"""The work queue in memory."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from flowrunner.adapters.memory.data import Data, Queued
from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.queue import Delivery, Message, QueueLoad, Receipt


class MemoryQueue:
    """See `ports.queue.WorkQueue`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def send(self, messages: Sequence[Message]) -> None:
        with self._data.lock:
            self._data.enqueue(messages)
        if messages:
            self._data.tell("queue")

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        received: list[Delivery] = []
        with self._data.lock:
            for priority in sorted(self._data.heaps):
                while len(received) < limit:
                    queued = self._next(priority)
                    if queued is None or queued.visible_at > now:
                        break
                    received.append(self._lease(queued, owner, lease_until))
        return received

    def receive_others(
        self, owner: str, now: Millis, lease_until: Millis, limit: int, besides: Sequence[AccountId]
    ) -> Sequence[Delivery]:
        with self._data.lock:
            due = (
                queued
                for receipt, queued in self._data.queue.items()
                if queued.visible_at <= now and receipt.account not in besides
            )
            first = heapq.nsmallest(limit, due, key=lambda one: (one.message.priority, one.visible_at))
            return [self._lease(queued, owner, lease_until) for queued in first]

    def renew(self, receipts: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        with self._data.lock:
            for receipt in receipts:
                queued = self._data.queue.get(receipt)
                if queued is not None and queued.owner == owner:
                    queued.visible_at = lease_until
                    self._data.show(queued)

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        with self._data.lock:
            for receipt in receipts:
                queued = self._data.queue.get(receipt)
                if queued is not None:
                    queued.owner = ""
                    queued.visible_at = due
                    queued.receives = 0
                    self._data.show(queued)
        self._data.tell("queue")

    def ack(self, receipts: Sequence[Receipt]) -> None:
        with self._data.lock:
            self._data.dequeue(receipts)

    def next_visible(self) -> Millis | None:
        with self._data.lock:
            heads = [self._next(priority) for priority in self._data.heaps]
            return min((queued.visible_at for queued in heads if queued is not None), default=None)

    def load(self, now: Millis) -> QueueLoad:
        with self._data.lock:
            visible = [queued.visible_at for queued in self._data.queue.values() if queued.visible_at <= now]
            runs = {(receipt.account, receipt.run) for receipt in self._data.queue}
        return QueueLoad(len(visible), min(visible, default=None), len(runs))

    def _lease(self, queued: Queued, owner: str, lease_until: Millis) -> Delivery:
        queued.owner = owner
        queued.receives += 1
        queued.visible_at = lease_until
        self._data.show(queued)
        return Delivery(queued.message.receipt, queued.receives)

    def _next(self, priority: int) -> Queued | None:
        """The message of this priority that is visible first; stale notes are dropped on the way."""
        heap = self._data.heaps[priority]
        while heap:
            visible_at, _, receipt = heap[0]
            queued = self._data.queue.get(receipt)
            if queued is not None and queued.visible_at == visible_at:
                return queued
            heapq.heappop(heap)
        return None
