"""One message of the Model Context Protocol, from its request to its answer.

The package `mcp` speaks the protocol: the revisions with a handshake (to 2025-11-25) and those without (2026-07-28).
Nothing is kept between requests, so that any process, and a Lambda function, can answer any of them. Two things that
the protocol leaves to sessions are done without one: a client of the older revisions gets a session id that means
nothing but makes the ids of its requests its own, and with it finds the run that a `notifications/cancelled` is about.
In the newer revision a client cancels by closing the connection before it has the answer.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi.responses import Response
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from flowrunner.api.mcp_tools import Call, make_server
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.services.identity import Actor
from flowrunner.services.platform import Platform

SESSION = "mcp-session-id"
CANCELLED = "notifications/cancelled"
PARSE_ERROR = -32700
_SESSION = re.compile(r"[\x21-\x7e]{1,128}")


class McpExchange(Response):
    """The answer to a message."""

    def __init__(self, platform: Platform, actor: Actor, body: bytes) -> None:
        super().__init__()
        self._platform = platform
        self._actor = actor
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            message = parse_json(self._body)
        except BadJson as error:
            await _parse_error(str(error))(scope, receive, send)
            return
        call = Call(self._platform, self._actor, _call_name(message, Headers(scope=scope)))
        if _is(message, CANCELLED) and call.name is not None:
            await run_in_threadpool(self._platform.flow_tools.cancel_call, self._actor, call.name)
        given = False

        async def read() -> Message:
            nonlocal given
            if given:
                found = await receive()
                call.gone = call.gone or found["type"] == "http.disconnect"
                return found
            given = True
            return {"type": "http.request", "body": self._body, "more_body": False}

        async def write(found: Message) -> None:
            if found["type"] == "http.response.start" and _is(message, "initialize"):
                MutableHeaders(scope=found)[SESSION] = self._platform.engine.parts.draws.new_id()
            await send(found)

        manager = StreamableHTTPSessionManager(
            make_server(call),
            stateless=True,
            json_response=self._platform.settings.live.delivery == "poll",  # where a server cannot stream
            max_request_body_size=self._platform.settings.api.max_body,
        )
        async with manager.run():
            await manager.handle_request(scope, read, write)


def _call_name(message: Any, headers: Headers) -> str | None:
    """What a call that can be cancelled is known by: the session and the id of its request. None without a session."""
    session = headers.get(SESSION)
    if session is None or not _SESSION.fullmatch(session) or not isinstance(message, dict):
        return None
    id = message.get("id")
    if _is(message, CANCELLED):
        params = message.get("params")
        id = params.get("requestId") if isinstance(params, dict) else None
    # 1 and "1" are two requests.
    return f"{session}\0{id!r}" if isinstance(id, int | str) and not isinstance(id, bool) else None


def _is(message: Any, method: str) -> bool:
    return isinstance(message, dict) and message.get("method") == method


def _parse_error(text: str) -> Response:
    from fastapi.responses import JSONResponse

    error = {"code": PARSE_ERROR, "message": f"Parse error: {text}"}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)
