"""One address for an installation on the emulator, as its own domain is on AWS.

The emulator serves each API below a path with an id in it. The door puts that path in front of every request, so that
links that the service gives away lead somewhere, cookies have an origin, and the WebSocket is at /v1/ws as it is
everywhere else.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

HEAD = 64 * 1024
SOCKET = "/v1/ws"


class Door:
    """`with Door(port) as door: door.opens_to(api, socket)`; until then it answers 503."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._targets: dict[str, tuple[str, int, str]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def opens_to(self, api: str, socket: str) -> None:
        for name, url in (("api", api), ("socket", socket)):
            parts = urlsplit(url)
            assert parts.hostname is not None
            assert parts.port is not None
            self._targets[name] = (parts.hostname, parts.port, parts.path)

    def __enter__(self) -> Self:
        """Raises `OSError` when the port is taken."""
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=HEAD)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        mine = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task is not mine:
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection: what comes after its head is passed on as it is."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = self._targets.get("socket" if _path(head) == SOCKET else "api")
            if target is None:
                writer.write(b"HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
            else:
                host, port, prefix = target
                upstream, there = await asyncio.open_connection(host, port)
                there.write(behind(head, prefix).encode("latin-1"))
                await asyncio.gather(_pass_on(reader, there), _pass_on(upstream, writer))
        with suppress(OSError):
            writer.close()


def _path(head: str) -> str:
    return head.partition("\r\n")[0].split(" ")[1].partition("?")[0]


def behind(head: str, prefix: str) -> str:
    """A request's head with the prefix before its path; the connection ends with its answer."""
    first, *headers = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    path, question, query = target.partition("?")
    if path == SOCKET:
        path = ""
    kept = [line for line in headers if line.partition(":")[0].lower() not in {"connection", "keep-alive"}]
    upgrade = any(line.partition(":")[0].lower() == "upgrade" for line in headers)
    kept.append("Connection: Upgrade" if upgrade else "Connection: close")
    return "\r\n".join([f"{method} {prefix}{path}{question}{query} {version}", *kept, "", ""])


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(HEAD):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        writer.close()
