"""The system's clock and random source: the only place in the product that reads either."""

from __future__ import annotations

import random
import secrets
import time

import uuid_utils

from flowrunner.core.ids import Millis


class SystemClock:
    """See `ports.clock.Clock`."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class SystemDraws:
    """See `ports.clock.Draws`. Ids are UUIDv7, tokens come from the system's secure source."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def new_id(self) -> str:
        return str(uuid_utils.uuid7())

    def token(self) -> str:
        return secrets.token_urlsafe(32)

    def fraction(self) -> float:
        return self._random.random()
