"""Removing what is kept no longer: runs that ended long ago, and values whose time is over."""

from __future__ import annotations

from dataclasses import dataclass

from flowrunner.core.ids import Millis
from flowrunner.ports.backend import Backend
from flowrunner.ports.clock import Clock

PAGE = 200


@dataclass(frozen=True, slots=True)
class Swept:
    """How much was removed."""

    runs: int
    values: int


class Retention:
    """Sweeps a backend. `keep` is how long an ended run is kept, None for ever. Several may sweep at once."""

    def __init__(self, backend: Backend, clock: Clock, keep: Millis | None) -> None:
        self._backend = backend
        self._clock = clock
        self._keep = keep

    def sweep(self) -> Swept:
        """Remove everything that is due."""
        now = self._clock.now()
        removed = 0
        while self._keep is not None:
            page = self._backend.history.ended_before(now - self._keep, PAGE)
            removed += sum(self._backend.history.delete(account, run) for account, run in page)
            if len(page) < PAGE:
                break
        return Swept(removed, self._backend.values.purge(now))
