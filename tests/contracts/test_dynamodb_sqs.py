"""With its messages in SQS the store keeps the contracts, too (in moto), but for what it declares.

Only the suites that have to do with messages: all else is the same code as without SQS.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from flowrunner.core.ids import Millis
from flowrunner.ports.backend import Backend
from flowrunner.ports.queue import Delivery, WorkQueue
from flowrunner.testing import TurnedClock

from tests.aws import cloud, sqs_time
from tests.contracts.suites.build import ACCOUNT, NOW, RUN, message, queued, start
from tests.contracts.suites.queue import SECOND, QueueRules
from tests.contracts.suites.runs import CommitRules, CreateRules


class Timed:
    """The queue, with a clock that goes on to whatever moment somebody receives at."""

    def __init__(self, queue: WorkQueue, clock: TurnedClock) -> None:
        self._queue = queue
        self._clock = clock

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        self._clock.turn_to(now)
        return self._queue.receive(owner, now, lease_until, limit)

    def __getattr__(self, name: str) -> object:
        return getattr(self._queue, name)


@pytest.fixture
def backend() -> Iterator[Backend]:
    clock = TurnedClock(NOW - SECOND)
    with cloud() as aws, sqs_time(clock):
        made = aws.queued(clock)
        made.migrate()
        made.queue = Timed(made.queue, clock)  # type: ignore[assignment]  # it hands everything on
        yield made


class TestQueue(QueueRules):
    """Queue."""


class TestCommit(CommitRules):
    """Commit."""


class TestCreate(CreateRules):
    """Create."""


def test_what_it_does_not_keep_is_declared(backend: Backend) -> None:
    """No priorities: an urgent message does not overtake; and one sent twice comes twice."""
    assert not backend.capabilities.exact_queue
    assert backend.capabilities.lagging_lists
    backend.queue.send([message("a", priority=2), message("b", priority=0), message("a")])
    received = [one.receipt.step for one in backend.queue.receive("w", NOW, NOW + SECOND, 10)]
    assert sorted(received) == ["a", "a", "b"]


def test_the_load_is_what_sqs_counts(backend: Backend) -> None:
    """Visible, in flight and delayed messages, and the timers in the table."""
    backend.queue.send([message("a"), message("b"), message("c", due=NOW + 60 * SECOND)])
    backend.queue.send([message("d", due=NOW + 10_000 * SECOND)])
    backend.queue.receive("w", NOW, NOW + SECOND, 1)
    load = backend.queue.load(NOW)
    assert (load.visible, load.visible_since, load.runs) == (1, None, 4)


def test_messages_of_what_was_removed_come_and_find_nothing(backend: Backend) -> None:
    """SQS cannot be asked for the messages of a run or an account; timers in the table are gone at once."""
    start(backend)
    backend.queue.send([message("1.0"), message("2.0", due=NOW + 10_000 * SECOND)])
    while backend.delete_account(ACCOUNT):
        pass
    assert queued(backend) == ["1.0"]
    assert backend.runs.load([(ACCOUNT, RUN)]) == [None]
