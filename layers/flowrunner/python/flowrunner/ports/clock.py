"""Time, ids and random draws: the three things that the core may not read by itself."""

from __future__ import annotations

from typing import Protocol

from flowrunner.core.ids import Millis


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Millis:
        """Milliseconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back; for measuring durations and deadlines."""
        ...


class Draws(Protocol):
    """The only source of randomness."""

    def new_id(self) -> str:
        """A new random id that sorts by its time of creation (UUIDv7, RFC 9562)."""
        ...

    def token(self) -> str:
        """A secret token of 256 random bits, URL-safe."""
        ...

    def fraction(self) -> float:
        """A draw from [0, 1), for jitter."""
        ...
