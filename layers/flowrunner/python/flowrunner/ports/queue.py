"""The work queue: messages that say "this attempt of this step is due", delivered at least once.

A message names its attempt and carries nothing else, so it can be sent, delivered and handled any number of times.
Its place in the queue is its identity: sending one that is there already changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flowrunner.core.ids import AccountId, Millis, RunId, StepId


class Receipt(NamedTuple):
    """Which message: also its identity in the queue."""

    account: AccountId
    run: RunId
    step: StepId
    attempt: int


@dataclass(frozen=True, slots=True)
class Message:
    """An attempt that is due. `priority` 0 is taken first.

    `slow`: it may take minutes. A queue with lanes keeps such messages apart from the others, all others ignore it.
    """

    receipt: Receipt
    due: Millis
    priority: int = 1
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A received message. `receives` counts how often it was since it was sent or released, this time included.

    `leased`: it was never sent, but handed off by a commit of this very process, under a lease that nobody else has.
    """

    receipt: Receipt
    receives: int
    leased: bool = False


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """How much there is to do: messages that are visible, since when the first of them is, and runs with a message.

    A run without one is over, or waits for an answer without a time limit.
    """

    visible: int
    visible_since: Millis | None
    runs: int


class WorkQueue(Protocol):
    """Messages become visible when due; a received one is hidden until its lease ends (as in SQS)."""

    def send(self, messages: Sequence[Message]) -> None: ...

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        """Lease up to `limit` visible messages to `owner`, by priority and then by due time."""
        ...

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        """Lease to `owner` one message of each of the next accounts after `after`, in the order of their ids.

        It is the one that has been visible for longest; up to `limit` accounts that have messages are looked at. Also
        answers after which account to go on: the empty one when the last was reached. See `Capabilities.turns`.
        """
        ...

    def renew(self, receipts: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        """Prolong the leases that `owner` still holds."""
        ...

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        """Give messages back, visible at `due`. What is gone stays gone.

        Who gives a message back is alive: `receives` counts from 0 again, so that it tells of deaths only.
        """
        ...

    def ack(self, receipts: Sequence[Receipt]) -> None:
        """Remove messages; what is gone already is no error."""
        ...

    def next_visible(self) -> Millis | None:
        """When the earliest message becomes (or became) visible; None when the queue is empty."""
        ...

    def load(self, now: Millis) -> QueueLoad:
        """All messages of all accounts counted: for metrics, not for each turn of a worker."""
        ...
