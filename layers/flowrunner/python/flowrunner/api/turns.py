"""How much of the process one account may take at a time.

Routes that work in threads share some tens of them. An account that asks for more than its part at once waits for its
own requests; the others do not notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 10
"""Requests of one account that are worked on; starlette has 40 threads for all."""


class Turns:
    """Lets so many go on at a time by key. For one event loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._doors: dict[str, tuple[asyncio.Semaphore, int]] = {}
        """With how many are there, before or behind it: a door that nobody uses is forgotten."""

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[None]:
        """Wait for a turn."""
        door, count = self._doors.get(key) or (asyncio.Semaphore(self._at_once), 0)
        self._doors[key] = door, count + 1
        try:
            async with door:
                yield
        finally:
            count = self._doors[key][1] - 1
            if count:
                self._doors[key] = door, count
            else:
                del self._doors[key]
