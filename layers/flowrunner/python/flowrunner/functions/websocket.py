"""The WebSocket API of API Gateway: connections that it holds, and what their clients say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from flowrunner.bootstrap import make_platform
from flowrunner.core.ids import Millis
from flowrunner.errors import ConfigurationError, FlowrunnerError, Forbidden, StoreError, TooManyRequests
from flowrunner.functions.observing import Observed
from flowrunner.functions.process import Context, ends_at, prepare
from flowrunner.ports.clock import Clock
from flowrunner.services.sockets import Hail, Sockets

RESERVE: Millis = 4_000
"""What is left of an invocation when no further page of events is begun."""

OK, FAILED = {"statusCode": 200}, {"statusCode": 500}

log = logging.getLogger(__name__)


class WebSocket:
    """Handles the routes `$connect`, `$default` and `$disconnect`."""

    def __init__(self, sockets: Sockets, observed: Observed, clock: Clock) -> None:
        self._sockets = sockets
        self._observed = observed
        self._clock = clock

    def __call__(self, event: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        with self._observed.invocation(context):
            try:
                return self._serve(event, ends_at(context, self._clock) - RESERVE)
            except Exception:  # the gateway tells a client nothing of what is raised; it gets an answer instead
                log.exception("a request of a WebSocket failed")
                return FAILED

    def _serve(self, event: Mapping[str, Any], until: Millis) -> Mapping[str, Any]:
        hail = hail_of(event)
        match event["requestContext"]["routeKey"]:
            case "$connect":
                return self._open(hail)
            case "$disconnect":
                self._sockets.closed(hail.connection)
            case _:
                self._sockets.hear(hail, event.get("body") or "", until)
        return OK

    def _open(self, hail: Hail) -> Mapping[str, Any]:
        try:
            self._sockets.open(hail)
        except FlowrunnerError as error:
            log.info("a connection is refused: %s", error)
            return {"statusCode": _status(error)}
        return OK


def hail_of(event: Mapping[str, Any]) -> Hail:
    """What an event of a WebSocket API says of its connection."""
    about = event["requestContext"]
    headers = {str(name).lower(): value for name, value in (event.get("headers") or {}).items()}
    return Hail(
        connection=about["connectionId"],
        origin=headers.get("origin"),
        host=headers.get("host", ""),
        ticket=(event.get("queryStringParameters") or {}).get("ticket"),
        address=about.get("identity", {}).get("sourceIp", ""),
        correlation=about.get("requestId", ""),
    )


def _status(error: FlowrunnerError) -> int:
    if isinstance(error, Forbidden):
        return 403
    if isinstance(error, TooManyRequests):
        return 429
    return 503 if isinstance(error, StoreError) else 401


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("websocket", environ)
    platform = make_platform(settings, environ)
    if platform.sockets is None:
        raise ConfigurationError("live.socket_url: a function for WebSockets needs to know where to send messages")
    return observed.traced(WebSocket(platform.sockets, observed, platform.engine.parts.clock))
