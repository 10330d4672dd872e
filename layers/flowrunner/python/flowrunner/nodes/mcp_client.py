"""One exchange with an MCP server through the `mcp` package, whose HTTP is our guarded client. Import it when needed.

Each exchange has a session of its own: between two steps of a run there may be a crash, or another machine. Only tools
are asked for, so a server has nothing to ask us, and everything happens in the step's own thread.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

import anyio
import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from flowrunner.core.flow import Json
from flowrunner.errors import NodeTimeout, StepError
from flowrunner.nodes.agent_params import McpServer
from flowrunner.nodes.base import Context
from flowrunner.nodes.http_sending import USER_AGENT
from flowrunner.ports.http import HttpRequest, HttpStream

SERVER = "MCP_SERVER"
MAX_BYTES = 8 * 1024 * 1024
MAX_PAGES = 20
MAX_TOOLS = 256
LOOK_EVERY = 0.2
SHOWN = 1_000
_OURS = frozenset({"connection", "content-length", "host", "transfer-encoding", "user-agent", "accept-encoding"})
_LEFT_OUT = frozenset({"content-encoding", "content-length", "transfer-encoding"})

T = TypeVar("T")
Exchange = Callable[[Client], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class ServedTool:
    """A tool as its server describes it."""

    name: str
    description: str | None
    parameters: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Called:
    """What a call gave: a value, or a text that says why it failed."""

    value: Json
    text: str
    failed: bool


def list_tools(ctx: Context[Any], server: McpServer) -> list[ServedTool]:
    """All tools of a server. Raises a retryable `MCP_SERVER` when it cannot be asked, and as `HttpClient.stream`."""

    async def exchange(client: Client) -> list[ServedTool]:
        found: list[ServedTool] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += [ServedTool(one.name, one.description, one.input_schema) for one in page.tools]
            cursor = page.next_cursor
            if cursor is None or len(found) > MAX_TOOLS:
                break
        return found[:MAX_TOOLS]

    return _exchange(ctx, server, exchange)


def call(ctx: Context[Any], server: McpServer, tool: str, arguments: dict[str, Json]) -> Called:
    """Call a tool. Raises as `list_tools`."""

    async def exchange(client: Client) -> Called:
        result = await client.call_tool(tool, arguments)
        parts = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in result.content]
        texts = [str(part["text"]) for part in parts if part.get("type") == "text"]
        whole = result.structured_content
        if whole is None:
            whole = "\n".join(texts) if len(texts) == len(parts) else parts
        return Called(whole, "\n".join(texts) or "the tool failed", bool(result.is_error))

    return _exchange(ctx, server, exchange)


def _exchange(ctx: Context[Any], server: McpServer, exchange: Exchange[T]) -> T:
    wire = _Wire(ctx, server)
    seconds = min(server.timeout / 1000, ctx.time_left())
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            return anyio.run(_connected, ctx, server, wire, nowhere, seconds, exchange)
    except Exception as error:  # noqa: BLE001 - whatever the package or the server does is this exchange's failure
        raise _told(error, wire, server, seconds) from None


async def _connected(
    ctx: Context[Any], server: McpServer, wire: _Wire, nowhere: TextIO, seconds: float, exchange: Exchange[T]
) -> T:
    found: list[T] = []
    ended = anyio.Event()

    async def talk() -> None:
        if server.command is not None:
            program = StdioServerParameters(command=server.command[0], args=server.command[1:], env=server.env)
            async with Client(stdio_client(program, nowhere)) as client:
                found.append(await exchange(client))
        else:
            async with httpx2.AsyncClient(transport=wire, trust_env=False) as http:
                transport = streamable_http_client((server.url or "").strip(), http_client=http)
                async with Client(transport) as client:
                    found.append(await exchange(client))
        ended.set()

    with anyio.fail_after(seconds):
        async with anyio.create_task_group() as group:
            group.start_soon(talk)
            while not (ended.is_set() or ctx.cancelled()):
                with anyio.move_on_after(LOOK_EVERY):
                    await ended.wait()
            if not ended.is_set():
                group.cancel_scope.cancel()
    if not found:
        raise NodeTimeout("the step was given up")
    return found[0]


def _told(error: Exception, wire: _Wire, server: McpServer, seconds: float) -> StepError:
    """The failure of an exchange in our words."""
    if wire.failure is not None:
        return wire.failure
    inner: BaseException = error
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    if isinstance(inner, StepError):
        return inner
    if isinstance(inner, TimeoutError):
        return NodeTimeout(f"the server {server.name} did not answer within {seconds:g} s")
    status = f" (status {wire.status})" if wire.status >= 400 else ""
    why = inner.error.message if isinstance(inner, MCPError) else f"{type(inner).__name__}: {inner}"
    text = f"the server {server.name} cannot be used{status}: {why}"[:SHOWN]
    return StepError(text, code=SERVER, retryable=wire.status == 429 or not 400 <= wire.status < 500)


class _Wire(httpx2.AsyncBaseTransport):
    """httpx2's way out, which leads through the guarded client to the server, whatever the request says."""

    def __init__(self, ctx: Context[Any], server: McpServer) -> None:
        self._ctx = ctx
        self._server = server
        self.failure: StepError | None = None
        """What went wrong on our side: the package tells only that something did."""
        self.status = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            # A stream of what the server has to say by itself; nothing of it is of use here.
            return httpx2.Response(405)
        try:
            body = _Body(self._ctx.http.stream(self._sent(request, await request.aread())), self)
        except StepError as error:
            raise self.failed(error) from None
        if request.method == "POST":
            self.status = body.response.status
        kept = [(name, value) for name, value in body.response.headers.items() if name.lower() not in _LEFT_OUT]
        return httpx2.Response(body.response.status, headers=kept, stream=body)

    def failed(self, error: StepError) -> httpx2.ConnectError:
        """Keep what went wrong, and tell the package in its own way."""
        self.failure = self.failure or error
        return httpx2.ConnectError(error.message)

    def _sent(self, request: httpx2.Request, content: bytes) -> HttpRequest:
        ctx, server = self._ctx, self._server
        own = {name.lower() for name in server.headers}
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _OURS | own]
        return HttpRequest(
            request.method,
            server.url or "",
            headers=[*headers, ("User-Agent", USER_AGENT), *server.headers.items()],
            content=content or None,
            timeout=min(server.timeout / 1000, ctx.time_left()),
            max_bytes=MAX_BYTES,
            allow=ctx.egress,
            stop=ctx.cancelled,
        )


class _Body(httpx2.AsyncByteStream):
    """A body as it comes, and the end of the exchange when it is closed."""

    def __init__(self, exchange: AbstractContextManager[HttpStream], wire: _Wire) -> None:
        self._stack = ExitStack()
        self._wire = wire
        self.response = self._stack.enter_context(exchange)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: Iterator[bytes] = iter(self.response.pieces)
        while True:
            try:
                piece = next(pieces, None)
            except StepError as error:
                raise self._wire.failed(error) from None
            if piece is None:
                return
            yield piece

    async def aclose(self) -> None:
        self._stack.close()
