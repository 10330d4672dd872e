"""Requests seen by operators: counted by route, and a line in the log with the fields of all that they cause."""

from __future__ import annotations

import logging
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowrunner.ports.clock import Clock
from flowrunner.telemetry.logs import bound
from flowrunner.telemetry.observing import Telemetry

log = logging.getLogger("flowrunner.requests")

NO_ROUTE = "(none)"
"""The route of a request that fits none: made-up paths are no labels."""

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines; in the log only for whoever wants details."""

TOKENS = re.compile(r"(/callbacks/)[^/]+", re.IGNORECASE)
"""What stands behind it in a path answers a step, so it is for nobody who reads logs."""

FAILED = 500
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Others, which a client can make up, are one label."""


class Observing:
    """Measures requests. It stands inside of whatever gives them their correlation id."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, clock: Clock) -> None:
        self.app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        correlation = str(scope.get("state", {}).get("correlation", ""))
        with bound(correlation=correlation):
            if scope["type"] == "websocket":
                await self.app(scope, receive, send)
                return
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._clock.monotonic()
        told = False

        def tell(status: int) -> None:
            nonlocal told
            if not told:
                told = True
                self._tell(scope, status, self._clock.monotonic() - began)

        status = FAILED

        async def watched(message: Message) -> None:
            nonlocal status
            await send(message)
            if message["type"] == "http.response.start":
                status = message["status"]
                if _streams(message):
                    tell(status)  # it may last for hours
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                tell(status)

        try:
            await self.app(scope, receive, watched)
        finally:
            tell(status)  # it failed, or its client has gone away

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._telemetry.request(scope["method"] if scope["method"] in METHODS else "OTHER", route, status, seconds)
        level = logging.DEBUG if route in QUIET else logging.INFO
        if not log.isEnabledFor(level):
            return
        actor = scope.get("state", {}).get("actor")
        client = scope.get("client")
        data = {
            "method": scope["method"],
            "route": route,
            "path": TOKENS.sub(r"\1***", scope["path"]),
            "status": status,
            "ms": round(seconds * 1000, 1),
            "address": client[0] if client else "",
            "who": actor.name if actor is not None else None,
        }
        log.log(level, "request", extra={"account": actor.account if actor is not None else "", "data": data})


def _streams(message: Message) -> bool:
    kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/event-stream") for kind in kinds)
