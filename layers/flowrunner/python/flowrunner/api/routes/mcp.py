"""Flows as tools of AI assistants: the Model Context Protocol over streamable HTTP, at one address.

Its messages are described by that protocol, not by the OpenAPI document. See `api.mcp_exchange`.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from flowrunner.api.body_limits import takes_large
from flowrunner.api.errors import answer, correlation_of
from flowrunner.api.routing import Caller, ThePlatform, host_of, needs, public, router
from flowrunner.errors import Forbidden
from flowrunner.services.identity import Permission

api = router("mcp")


@api.post("/mcp", operation_id="exchange_mcp", summary="A message of MCP", include_in_schema=False)
@needs(Permission.MCP_USE)
@takes_large
async def exchange_mcp(caller: Caller, platform: ThePlatform, request: Request) -> Response:
    """Lists the tools, calls them, reads runs."""
    try:
        from flowrunner.api.mcp_exchange import McpExchange  # `mcp` takes as long to import as all else here
    except ImportError:
        # Whoever installed the program left it out.
        words = "this server has no MCP: the package mcp is not installed"
        return answer(501, "NotInstalled", words, correlation_of(request))
    origin = request.headers.get("origin")
    allowed = origin is None or platform.authenticator.own_origin(origin, host_of(request))
    if not allowed and origin not in platform.settings.api.cors_origins:
        # The protocol asks for this: a page elsewhere that found its way to this address gets nothing.
        raise Forbidden("requests from that origin are not taken here", hint="add it to api.cors_origins")
    return McpExchange(platform, caller, await request.body())


@api.api_route("/mcp", methods=["GET", "DELETE"], operation_id="refuse_mcp", include_in_schema=False)
@public
async def refuse_mcp(request: Request) -> Response:
    """There is no stream beside the answers, and no session that could be ended."""
    refused = answer(405, "METHOD_NOT_ALLOWED", "send messages with POST", correlation_of(request))
    refused.headers["Allow"] = "POST"
    return refused
