"""What happens around every request: its id, the limits on its body, the headers that keep browsers safe.

`RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers; the route counts the request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowrunner.api.errors import answer, answer_error, internal, log
from flowrunner.errors import FlowrunnerError, TooLarge, UnsupportedMediaType

CORRELATION_HEADER = "X-Correlation-Id"
_CORRELATION = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Correlation:
    """Gives each request an id, its own if it brought a usable one, and answers what nothing else has caught."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self.app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(CORRELATION_HEADER, "")
        correlation = given if _CORRELATION.fullmatch(given) else self._new_id()
        scope.setdefault("state", {})["correlation"] = correlation
        started = False

        async def tell(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[CORRELATION_HEADER] = correlation
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
                if "rate" in scope["state"]:
                    name, rate = scope["state"]["rate"]
                    headers["RateLimit-Policy"] = f'"{name}";q={rate.limit};w=60'
                    headers["RateLimit"] = f'"{name}";r={rate.remaining};t={rate.reset_seconds}'
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, tell)
        except Exception as error:  # what nobody else has answered is answered here
            if scope["type"] != "http" or started:
                raise
            if isinstance(error, ClientDisconnect):  # nobody is there to be answered, and nothing is wrong here
                return
            # Our own errors get here from below the routes: a body over its limit while somebody reads it.
            if isinstance(error, FlowrunnerError):
                await answer_error(error, correlation)(scope, receive, tell)
                return
            log.exception("request failed", extra={"correlation": correlation})
            await internal(correlation)(scope, receive, tell)


class BodyLimits:
    """Bodies are counted while they are read, and have to arrive in time."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self.app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        correlation = scope["state"]["correlation"]
        if headers.get("content-encoding", "identity") != "identity":
            refused: FlowrunnerError = UnsupportedMediaType("send the body without a content encoding")
            await answer_error(refused, correlation)(scope, receive, send)
            return
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length[:18]) > self._max_bytes:
            refused = self._too_large()
            await answer_error(refused, correlation)(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        seen, whole = 0, False

        async def counted() -> Message:
            nonlocal seen, whole
            if whole:  # what follows is the client's going away, for which a stream may wait long
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise TooSlow from None
            seen += len(message.get("body", b""))
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            if seen > self._max_bytes:
                raise self._too_large()
            return message

        try:
            await self.app(scope, counted, send)
        except TooSlow:
            late = answer(408, "TIMEOUT", f"the body did not arrive within {self._seconds:g} s", correlation)
            late.headers["Connection"] = "close"
            await late(scope, receive, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._max_bytes:,} bytes", limit=self._max_bytes)


class TooSlow(Exception):
    """The body did not arrive in time."""
