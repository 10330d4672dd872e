"""Server-sent events: one connection, one task, no thread while it waits.

Not `StreamingResponse`: that one learns that a client has gone only by writing to it, and cannot let go of one that
does not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from flowrunner.errors import NotFound, StoreError
from flowrunner.services.live_frames import Frame
from flowrunner.services.live_readers import Subscription

MEDIA_TYPE = "text/event-stream"
RETRY = b"retry: 2000\n"
HEARTBEAT = b":\n"
RECHECK_SECONDS = 10.0
"""How soon a stream ends whose token was revoked, or whose session has ended."""
WRITE_SECONDS = 30.0
"""A client that takes nothing for so long is let go."""
LAST_WORD_SECONDS = 1.0

Pick = Callable[[Frame], bool]
Stay = Callable[[], Awaitable[bool]]


def accepts_stream(accept: str | None) -> bool:
    """Whether a client asks for a stream of events."""
    kinds = (part.partition(";")[0].strip().lower() for part in (accept or "").split(","))
    return MEDIA_TYPE in kinds


class EventStream(Response):
    """The events of a reader, until the run ends, the client goes, or `stay` says no; asked now and then."""

    media_type = MEDIA_TYPE

    def __init__(self, reader: Subscription, stay: Stay, heartbeat: float, pick: Pick | None = None) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"
        self._reader = reader
        self._stay = stay
        self._heartbeat = heartbeat
        self._pick = pick

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        stream = asyncio.create_task(self._stream(send))
        gone = asyncio.create_task(_gone(receive))
        closed = self._reader.mailbox.closed
        try:
            ends: set[asyncio.Future[Any]] = {stream, gone, closed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if stream.done():
                with suppress(TimeoutError):
                    stream.result()
            elif closed.done() and not gone.done():
                # A client that does not read cannot be told anything: after this the connection is closed.
                stream.cancel()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await _finish(send)
        finally:
            self._reader.close()
            for task in (stream, gone):
                task.cancel()
            await asyncio.gather(stream, gone, return_exceptions=True)

    async def _stream(self, send: Send) -> None:
        await _write(send, RETRY)
        try:
            while not (self._reader.caught_up or self._reader.ended):
                found = await run_in_threadpool(self._reader.replay)
                await _write(send, self._encode(found))
        except (NotFound, StoreError):
            # Deleted meanwhile, or it cannot be read now: the client comes back and learns which.
            self._reader.ended = True
        await self._follow(send)
        await _finish(send)

    async def _follow(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        written = checked = loop.time()
        while not self._reader.ended:
            now = loop.time()
            patience = min(written + self._heartbeat, checked + RECHECK_SECONDS) - now
            mail = await self._reader.mailbox.take(max(patience, 0.0))
            if self._reader.mailbox.closed.done():
                return
            body = b"".join(self._encode(one.batch.frames) if self._pick else one.batch.sse for one in mail)
            self._reader.ended = any(one.batch.ended for one in mail)
            now = loop.time()
            if not body and now - written >= self._heartbeat:
                body = HEARTBEAT
            if body:
                await _write(send, body)
                written = now
            if now - checked >= RECHECK_SECONDS:
                if not await self._stay():
                    return
                checked = now

    def _encode(self, found: Sequence[Frame]) -> bytes:
        return b"".join(frame.sse for frame in found if self._pick is None or self._pick(frame))


async def _write(send: Send, body: bytes) -> None:
    """Raises `TimeoutError` when the client does not take it."""
    if not body:
        return
    async with asyncio.timeout(WRITE_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _finish(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
