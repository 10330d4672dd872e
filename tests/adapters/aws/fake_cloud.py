"""AWS in this process: a table, a bucket and two queues, and processes that share them and nothing else."""

from __future__ import annotations

import random
import threading
from typing import Any, cast

from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.local.clock import SystemClock
from flowrunner.ports.clock import Clock

from tests.adapters.aws.calls import Client, Door
from tests.adapters.aws.fake_client import FakeObjects
from tests.adapters.aws.fake_queue import FakeQueues
from tests.adapters.aws.fake_table import FakeTable

FAST, SLOW = "https://sqs/fast", "https://sqs/slow"


class ChanceDraws:
    """Draws that are the same in each execution of a test. See `ports.clock.Draws`."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"0198c5a2-5c1e-7a33-{self._chance.randrange(2**16):04x}-{self._ids:012x}"

    def token(self) -> str:
        return self._chance.randbytes(32).hex()[:43]

    def fraction(self) -> float:
        return self._chance.random()


class FakeCloud:
    """An account of AWS."""

    def __init__(self, clock: Clock | None = None, chance: random.Random | None = None, copies: int = 1) -> None:
        self.clock = clock or SystemClock()
        self.table = FakeTable()
        self.objects = FakeObjects()
        self.queues = FakeQueues(self.clock, chance, copies)
        self.draws = ChanceDraws()
        self._lock = threading.RLock()

    def client(self, fake: Any, door: Door | None = None) -> Any:
        return Client(fake, door or Door(), self._lock)

    def backend(self, door: Door | None = None, **settings: Any) -> DynamoBackend:
        """A process's view of it, with messages in the table unless `settings` name queues."""
        door = door or Door()
        return DynamoBackend(
            cast("Any", self.client(self.table, door)),
            cast("Any", self.client(self.objects, door)),
            "table",
            "bucket",
            self.clock,
            self.draws,
            **settings,
        )
