"""The work queue in memory."""

from __future__ import annotations

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
                    queued = self._data.first(self._data.heaps[priority])
                    if queued is None or queued.visible_at > now:
                        break
                    received.append(self._lease(queued, owner, lease_until))
        return received

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        received: list[Delivery] = []
        with self._data.lock:
            looked = 0
            for account in sorted(one for one in self._data.turns if one > after):
                queued = self._data.first(self._data.turns[account])
                if queued is None:
                    del self._data.turns[account]
                    continue
                if queued.visible_at <= now:
                    received.append(self._lease(queued, owner, lease_until))
                looked += 1
                if looked == limit:
                    return received, account
        return received, AccountId("")

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
            heads = [self._data.first(heap) for heap in self._data.heaps.values()]
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
