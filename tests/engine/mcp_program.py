"""A real MCP server for tests: as a program over stdio, or behind a socket that asks for a credential."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

BEARER = "Bearer tok-1"


def make_server() -> MCPServer[Any]:
    """A server of a few tools."""
    server: MCPServer[Any] = MCPServer("weather")

    @server.tool(description="How warm it is.")
    def warmth(city: str) -> dict[str, Any]:
        return {"city": city, "celsius": 21}

    @server.tool(description="Says it again.", structured_output=False)
    def echo(text: str) -> str:
        return text * 2

    @server.tool(description="Fails.", structured_output=False)
    def fail() -> str:
        raise ToolError("no weather today")

    return server


@contextmanager
def serving_tools(*, json_response: bool) -> Iterator[str]:
    """The server over streamable HTTP, with answers as JSON or as events; gives its URL."""
    from flowrunner.cli.server import HttpServer  # a program has no use for it, and starts often
    from flowrunner.settings import ApiSettings

    app = make_server().streamable_http_app(json_response=json_response)

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (b"authorization", BEARER.encode()) not in scope["headers"]:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    server = HttpServer(guarded, ApiSettings(port=0))
    server.start()
    try:
        yield f"{server.url}/mcp"
    finally:
        server.stop()


if __name__ == "__main__":
    make_server().run("stdio")
