"""Waiting for a run's end without holding a thread for it."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool

from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.watch import Change
from flowrunner.services.platform import Platform

LOOK_SECONDS = 1.0
"""How often the store is asked, in case another process ends the run."""


async def wait_for_end(platform: Platform, account: AccountId, run: RunId, seconds: float) -> bool:
    """Wait until a run has ended, for `seconds` at most; whether it has."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def watch(change: Change) -> None:
        if change.ended:
            loop.call_soon_threadsafe(ended.set)

    leave = platform.engine.watchers.watch(run, watch)
    deadline = loop.time() + seconds
    try:
        while True:
            row = (await run_in_threadpool(platform.engine.parts.backend.runs.load, [(account, run)]))[0]
            if row is None or row.status in TERMINAL:
                return True
            left = deadline - loop.time()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await ended.wait()
            except TimeoutError:
                continue
            ended.clear()
    finally:
        leave()
