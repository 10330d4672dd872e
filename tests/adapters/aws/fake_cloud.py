"""AWS in this process: a table, a bucket and two queues, and processes that share them and nothing else."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping
from typing import Any

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


class Boto:
    """A fake with the one door that clients of botocore have, for tests that stand in it."""

    def __init__(self, fake: FakeTable, lock: threading.RLock) -> None:
        self._fake = fake
        self._lock = lock

    def _make_api_call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        name = re.sub(r"(?<!^)([A-Z])", r"_\1", operation).lower()
        with self._lock:
            return getattr(self._fake, name)(**arguments)

    def __getattr__(self, name: str) -> Any:
        if name in {"close", "get_waiter"}:
            return getattr(self._fake, name)
        operation = "".join(part.capitalize() for part in name.split("_"))
        return lambda **arguments: self._make_api_call(operation, arguments)


class FakeCloud:
    """An account of AWS."""

    def __init__(
        self,
        clock: Clock | None = None,
        chance: random.Random | None = None,
        copies: int = 1,
        table: FakeTable | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.table = table or FakeTable()
        self.objects = FakeObjects()
        self.queues = FakeQueues(self.clock, chance, copies)
        self.draws = ChanceDraws()
        self._lock = threading.RLock()

    def client(self, fake: Any, door: Door | None = None) -> Any:
        return Client(fake, door or Door(), self._lock)

    def boto(self) -> Any:
        """A client of DynamoDB as botocore makes it."""
        return Boto(self.table, self._lock)

    def backend(self, door: Door | None = None, dynamodb: Any = None, **settings: Any) -> DynamoBackend:
        """A process's view of it, with messages in the table unless `settings` name queues."""
        door = door or Door()
        return DynamoBackend(
            dynamodb or self.client(self.table, door),
            self.client(self.objects, door),
            "table",
            "bucket",
            self.clock,
            self.draws,
            **settings,
        )
