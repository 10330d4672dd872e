"""Whose turn it is, when more is due than a worker holds: nobody waits for all that another account has put before.

What is due is taken by priority and age as long as all of it can be taken. Once there is more, a part of each look goes
to the accounts in turn, a message each. What a worker holds is served as if every account had a queue of its own, and
one message of each were served in a round (start-time fair queueing: Goyal, Vin and Cheng, 1996).
"""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.queue import Delivery, WorkQueue

PART = 4
"""One in so many of what is taken in a look goes to the accounts in turn."""

MANY = 1_024
"""Accounts whose last round is remembered before those of the past are forgotten."""

Place = tuple[int, int]
"""The round in which a message is served, and its number."""


class Turns:
    """Takes messages out of the queue for a worker."""

    def __init__(self, queue: WorkQueue, owner: str) -> None:
        self._queue = queue
        self._owner = owner
        self._crowded = False
        self._after = AccountId("")

    def receive(self, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        """Up to `limit` messages; as many as that mean that there may be more."""
        received: list[Delivery] = []
        if self._crowded:
            part = -(-limit // PART)
            found, self._after = self._queue.receive_in_turn(self._owner, now, lease_until, self._after, part)
            received += found
        if len(received) < limit:
            received += self._queue.receive(self._owner, now, lease_until, limit - len(received))
        self._crowded = len(received) == limit
        return received


class Rounds:
    """Gives each message that a worker holds its place."""

    def __init__(self) -> None:
        self._last: dict[AccountId, int] = {}
        self._round = 0
        self._number = 0

    def place(self, account: AccountId) -> Place:
        """The next round that has no message of this account yet."""
        self._number += 1
        place = max(self._round, self._last.get(account, -1) + 1)
        self._last[account] = place
        if len(self._last) > MANY:
            self._last = {one: last for one, last in self._last.items() if last >= self._round}
        return place, self._number

    def served(self, place: Place) -> None:
        """What comes from now on is served after this at the earliest."""
        self._round = max(self._round, place[0])
