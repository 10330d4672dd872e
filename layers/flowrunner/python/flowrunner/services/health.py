"""Whether this process can do its work: for whoever sends it requests or restarts it.

A process serves only after its store's schema was brought up to date, so there is no check of that here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from flowrunner.errors import StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities
from flowrunner.services.installation import SYSTEM

OK = "ok"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was checked, each with `ok` or what is wrong, in words that tell strangers nothing."""

    ready: bool
    checks: Mapping[str, str]


class Health:
    """See the module. Safe for several threads."""

    def __init__(self, entities: Entities, clock: Clock) -> None:
        self._entities = entities
        self._clock = clock
        self._lock = Lock()
        self._expected: dict[str, Callable[[], bool]] = {}
        self._stopping = False

    def expect(self, name: str, alive: Callable[[], bool]) -> None:
        """From now on this process is only ready while `alive()`, such as a worker's thread."""
        with self._lock:
            self._expected[name] = alive

    def stopping(self) -> None:
        """From now on this process is not ready: what is under way ends, and nothing more should be sent to it."""
        self._stopping = True

    def check(self) -> Readiness:
        """Look now. For callers without an account."""
        checks = {"store": self._store()}
        with self._lock:
            expected = dict(self._expected)
        checks |= {name: OK if alive() else "not running" for name, alive in expected.items()}
        if self._stopping:
            checks["process"] = "stopping"
        return Readiness(all(found == OK for found in checks.values()), checks)

    def _store(self) -> str:
        try:
            self._entities.get(SYSTEM, "key", "ready", self._clock.now())
        except StoreError as error:
            log.warning("the store cannot be reached: %s", error)
            return "cannot be reached"
        return OK
