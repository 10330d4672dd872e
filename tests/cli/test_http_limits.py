"""A real socket against the server: requests that do not end, do not come, or come all at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from flowrunner.cli import http_limits
from flowrunner.cli.server import HttpServer
from flowrunner.settings import ApiSettings

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = 30_000_000
FLOOD = 200_000_000
"""Bytes that no socket's buffers hold: somebody has read them, or the connection is gone."""
PATIENCE = 120.0


class Counting:
    """Answers each request with the size of its body; `/large` with a lot."""

    def __init__(self) -> None:
        self.bodies: list[int] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        self.bodies.append(size)
        body = b"x" * LARGE if scope["path"] == "/large" else str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def served() -> Iterator[tuple[Counting, HttpServer]]:
    app = Counting()
    server = HttpServer(app, ApiSettings(port=0))
    server.start()
    try:
        yield app, server
    finally:
        server.stop()


def connected(server: HttpServer) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), PATIENCE)


def is_cut_off(connection: socket.socket, start: bytes, more: bytes) -> bool:
    """Whether somebody who sends `more` again and again is stopped."""
    sent = 0
    with connection, suppress(ConnectionError):
        connection.sendall(start)
        while sent < FLOOD:
            connection.sendall(more)
            sent += len(more)
    return sent < FLOOD


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (HEAD, b"X-More: " + b"a" * 1_000 + b"\r\n"),
        (HEAD + b"X-Endless: ", b"a" * 10_000),
        (b"GET /", b"a" * 10_000),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"X-Trailer: " + b"a" * 1_000 + b"\r\n"),
        (CHUNKED + b"1;", b"a" * 10_000),
        (b"", b"\r\n" * 5_000),
        (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000),
    ],
    ids=["headers", "a header", "a URL", "trailers", "a chunk's extension", "nothing", "requests"],
)
def test_what_does_not_end_is_cut_off(start: bytes, more: bytes) -> None:
    """Before it has filled the memory."""
    with served() as (_, server):
        assert is_cut_off(connected(server), start, more)


def test_a_large_body_is_none_of_it() -> None:
    """In one piece or in many small chunks, one request after the other on the same connection."""
    with served() as (app, server), httpx2.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client:
        assert client.post("/", content=b"x" * 3_000_000).text == "3000000"
        assert client.post("/", content=(b"xy" for _ in range(50_000))).text == "100000"
        assert client.get("/", headers={"X-Long": "a" * 30_000}).text == "0"
        assert app.bodies == [3_000_000, 100_000, 0]


def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """With half a head, or none at all; whoever has been answered before gets no stray answer."""
    monkeypatch.setattr(http_limits, "HEAD_SECONDS", 0.05)
    with served() as (_, server):
        for start in (b"", HEAD, b"\r\n"):
            with connected(server) as connection, suppress(ConnectionError):
                connection.sendall(start)
                assert connection.recv(1_000) == b""
        monkeypatch.setattr(http_limits, "HEAD_SECONDS", 3.0)  # in which a whole request arrives on any machine
        with connected(server) as connection:
            connection.sendall(HEAD + b"\r\n")
            assert b"200 OK" in connection.recv(10_000)
            connection.sendall(b"\r\n")
            assert connection.recv(1_000) == b""


def test_who_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the answer does not stay in memory for somebody who does not read it."""
    monkeypatch.setattr(http_limits, "STUCK_SECONDS", 0.05)
    with served() as (app, server), connected(server) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        never = threading.Event()
        while not app.bodies or server._server.server_state.connections:
            never.wait(0.01)
        got = 0
        with suppress(ConnectionError):
            while piece := connection.recv(1_000_000):
                got += len(piece)
        assert got < LARGE
