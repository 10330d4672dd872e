"""Server-sent events in pieces: each request is answered with what is new, or with nothing after a while.

`EventSource` comes back by itself after `retry` milliseconds with the last id that it got, so it sees one feed. A
reader that has got all of an ended run is told with 204 not to come back (WHATWG HTML, 9.2.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from flowrunner.api.live import staying
from flowrunner.api.sse import MEDIA_TYPE, RECHECK_SECONDS, Pick
from flowrunner.core.ids import RunId
from flowrunner.engine.feed import Position
from flowrunner.errors import Unauthenticated
from flowrunner.services.identity import Actor
from flowrunner.services.live_frames import Frame, frames
from flowrunner.services.live_poll import LOOK, Poll, begin_poll
from flowrunner.services.platform import Platform

SOON, LATER = 250, 1_000
"""Milliseconds until the next request: after events, of which more may follow, and after none."""


async def poll_events(
    platform: Platform, caller: Actor, run: RunId, after: Position, pick: Pick | None = None
) -> Response:
    """What is new in a run after a position, as server-sent events. Raises `NotFound` and `Unauthenticated`."""
    engine = platform.engine
    poll = await run_in_threadpool(begin_poll, engine.feed, engine.parts.backend.runs, caller, run, after)
    if poll.page.ended and not poll.page.events:
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = await _wait(poll, began + platform.settings.live.wait / 1000, pick)
    if loop.time() - began >= RECHECK_SECONDS and not await staying(platform, caller)():
        raise Unauthenticated("the token or the session is not valid any more")
    body = b"retry: %d\n" % (SOON if found else LATER) + b"".join(one.sse for one in found)
    if not found or found[-1].position != poll.page.cursor:
        # No event, but a place to come back to: what this reader has no use for is not read again.
        body += b"id: %b\n\n" % str(poll.page.cursor).encode("ascii")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(body, media_type=MEDIA_TYPE, headers=headers)


async def _wait(poll: Poll, until: float, pick: Pick | None) -> Sequence[Frame]:
    """The wanted events, as soon as there are some, the run has ended or the time is over."""
    loop = asyncio.get_running_loop()
    while True:
        found = [one for one in frames(poll.page.events) if pick is None or pick(one)]
        left = until - loop.time()
        if found or poll.page.ended or left <= 0:
            return found
        if poll.page.more:
            await run_in_threadpool(poll.read_on)
            continue
        await asyncio.sleep(min(LOOK, left))
        await run_in_threadpool(poll.look)
