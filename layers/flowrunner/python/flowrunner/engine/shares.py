"""Who of several accounts may have the next thread, so that none of them waits for the slow steps of another.

An account may have up to three times as many threads as are free then: alone it has three quarters of them, the next
one three quarters of the rest, and so on (the dynamic thresholds of switches: Choudhury and Hahne, 1998). What cannot
begin is parked, and goes when a thread is free: first that of the account which has the fewest.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from flowrunner.core.ids import AccountId, Millis
from flowrunner.engine.turns import Place
from flowrunner.ports.queue import Delivery, Receipt

SHARE = 3
LEAST_PARKED = 16
PUT_OFF: tuple[Millis, Millis] = (100, 5_000)
"""For what is more than may be parked: so long at first, up to so long while it stays more."""

Ranked = tuple[int, Place, Delivery]
"""A delivery with its priority and its place."""
Own = Callable[[AccountId], int]
"""How many threads an account has."""


def admits(own: int, free: int) -> bool:
    """Whether an account that has `own` threads may have one of those that are `free`."""
    return own < SHARE * free


class Threads(Protocol):
    """The threads of a worker."""

    @property
    def free(self) -> int:
        """Those that have nothing to do."""
        ...

    def own(self, account: AccountId) -> int:
        """Those that work for an account."""
        ...


class Shares:
    """Gives the threads to the tasks of one batch after the other."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._planned: Counter[AccountId] = Counter()
        """Threads that the present batch will take."""

    def begin(self) -> None:
        """A batch begins: what the one before was given is in flight by now."""
        self._planned.clear()

    def admits(self, account: AccountId) -> bool:
        """Whether a task of the account may have a thread."""
        own = self._threads.own(account) + self._planned[account]
        return admits(own, self._threads.free - self._planned.total())

    def plan(self, account: AccountId) -> None:
        """It takes it."""
        self._planned[account] += 1


class Parking:
    """Deliveries that wait for a thread, by account."""

    def __init__(self) -> None:
        self._waiting: dict[AccountId, list[Ranked]] = {}
        self._pauses: dict[AccountId, Millis] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, one: Ranked) -> None:
        heapq.heappush(self._waiting.setdefault(one[2].receipt.account, []), one)

    def receipts(self) -> Iterator[Receipt]:
        return (delivery.receipt for waiting in self._waiting.values() for _, _, delivery in waiting)

    def can_go(self, own: Own, free: int) -> bool:
        """Whether something could begin now."""
        return any(admits(own(account), free) for account in self._waiting)

    def go(self, own: Own, free: int, limit: int) -> list[Ranked]:
        """Take out what may begin now, `limit` at most."""
        taken: list[Ranked] = []
        planned: Counter[AccountId] = Counter()
        while len(taken) < limit and self._waiting:
            account = min(self._waiting, key=lambda one: own(one) + planned[one])
            if not admits(own(account) + planned[account], free - len(taken)):
                break
            planned[account] += 1
            taken.append(heapq.heappop(self._waiting[account]))
            if not self._waiting[account]:
                self._forget(account)
        return taken

    def surplus(self, room: int) -> tuple[list[Delivery], Millis]:
        """Take out what the account with the most has beyond half of what there would be room for without it, and for
        how long to put that off.
        """
        account = max(self._waiting, key=lambda one: len(self._waiting[one]), default=None)
        if account is None:
            return [], 0
        waiting = sorted(self._waiting[account])
        keep = max(LEAST_PARKED, (room + len(waiting)) // 2)
        first, longest = PUT_OFF
        pause = self._pauses.get(account, first)
        if len(waiting) > keep:
            self._waiting[account], self._pauses[account] = waiting[:keep], min(2 * pause, longest)
        return [delivery for _, _, delivery in waiting[keep:]], pause

    def clear(self) -> list[Delivery]:
        """Take everything out."""
        found = [delivery for waiting in self._waiting.values() for _, _, delivery in waiting]
        self._waiting.clear()
        self._pauses.clear()
        return found

    def _forget(self, account: AccountId) -> None:
        del self._waiting[account]
        self._pauses.pop(account, None)
