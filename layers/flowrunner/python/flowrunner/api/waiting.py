"""Waiting for a run's end without holding a thread for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool

from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.watch import Change
from flowrunner.ports.runs import RunRow
from flowrunner.services.platform import Platform

LOOK_SECONDS = 1.0
"""How often the store is asked, in case another process ends the run."""
TOLD_SECONDS = 0.25
"""Who wants to be told of what happens on the way is told so often at most."""

Tell = Callable[[RunRow], Awaitable[None]]


async def wait_for_end(
    platform: Platform, account: AccountId, run: RunId, seconds: float, tell: Tell | None = None
) -> bool:
    """Wait until a run has ended, for `seconds` at most; whether it has. `tell` is called with what it is meanwhile."""
    loop = asyncio.get_running_loop()
    moved = asyncio.Event()
    ended = asyncio.Event()

    def watch(change: Change) -> None:
        if change.ended:
            loop.call_soon_threadsafe(ended.set)
        if change.ended or tell is not None:
            loop.call_soon_threadsafe(moved.set)

    leave = platform.engine.watchers.watch(run, watch)
    deadline = loop.time() + seconds
    try:
        while True:
            row = (await run_in_threadpool(platform.engine.parts.backend.runs.load, [(account, run)]))[0]
            if row is None or row.status in TERMINAL:
                return True
            if tell is not None:
                await tell(row)
                await _happens(ended, min(deadline - loop.time(), TOLD_SECONDS))
            left = deadline - loop.time()
            if left <= 0:
                return False
            if await _happens(moved, min(left, LOOK_SECONDS)):
                moved.clear()
    finally:
        leave()


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
