"""The door that every call to AWS goes through: counted there, kept from happening, or without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ReadTimeoutError
from flowrunner.engine.giving_up import GivenUp

from tests.adapters.aws.fake_client import FakeClient, refusal

Plan = Callable[[int, str], str | None]
"""What becomes of a call, by its number and name: one of `FAULTS`, or nothing."""

Meter = Callable[[str, Mapping[str, Any], Callable[[], Any]], Any]
"""Given a call's name, its arguments, and what makes it."""

FAULTS = ("dies before", "dies after", "lost answer", "throttled", "refused", "fails", "times out")
"""
- `dies before`, `dies after`: the process is gone, with the call made or not;
- `lost answer`: botocore makes the call again, and its second answer is all that is seen;
- `throttled`: also after all tries;
- `refused`: a transaction is in the way, each time;
- `fails`: an internal error of AWS, and nothing was done;
- `times out`: nobody knows that it was done.
"""

WRITES = ("put_item", "update_item", "delete_item", "batch_write_item", "transact_write_items")
READS = ("get_item", "batch_get_item", "query", "get_object", "list_objects_v2", "get_queue_attributes")


class Death(GivenUp):
    """The process is gone. Nothing in it may catch this."""


class Door:
    """What a process's calls go through. A new plan begins to count anew; `meter` makes each call, and may count it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.meter: Meter = lambda name, arguments, make: make()
        self._plan: Plan = lambda number, name: None
        self.dead = False

    def plan(self, plan: Plan) -> None:
        self._plan, self.calls = plan, []

    def call(self, name: str, arguments: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        if self.dead:
            raise Death
        self.calls.append(name)
        match self._plan(len(self.calls), name):
            case "dies before":
                self._die()
            case "dies after":
                make()
                self._die()
            case "lost answer" if name != "transact_write_items":  # its token lets AWS know it again
                try:
                    make()
                finally:
                    answer = make()
                return answer
            case "throttled":
                raise refusal("ProvisionedThroughputExceededException", name)
            case "refused" if name in WRITES:
                if name == "transact_write_items":
                    reasons = [{"Code": "TransactionConflict"} for _ in arguments["TransactItems"]]
                    raise refusal("TransactionCanceledException", name, CancellationReasons=reasons)
                raise refusal("TransactionConflictException", name)
            case "fails":
                raise refusal("InternalServerError", name)
            case "times out":
                make()
                raise ReadTimeoutError(endpoint_url="https://aws")
        return self.meter(name, arguments, make)

    def _die(self) -> None:
        self.dead = True
        raise Death


class Client:
    """A process's client of AWS: the calls of `fake`, one at a time, through its door."""

    def __init__(self, fake: FakeClient, door: Door, lock: threading.RLock) -> None:
        self._fake = fake
        self._door = door
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._fake, name)
        if name in {"close", "get_waiter"}:
            return made

        def call(**arguments: Any) -> Any:
            with self._lock:
                return self._door.call(name, arguments, lambda: made(**arguments))

        return call
