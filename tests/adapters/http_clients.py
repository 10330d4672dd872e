"""Guarded clients that may reach loopback, under names that lead there."""

from __future__ import annotations

import socket
import ssl

from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.ports.http import HttpRequest, HttpResponse

from tests.servers import RecordingServer

NAMES = {"a.example": "127.0.0.1", "b.example": "127.0.0.1", "two.example": "127.0.0.9"}

_made: list[GuardedClient] = []


def close_clients() -> None:
    """Close those that were made; `conftest` does so behind each test."""
    while _made:
        _made.pop().close()


def made(guard: Guard, trust: ssl.SSLContext | None = None) -> GuardedClient:
    """A client that is closed after the test."""
    _made.append(GuardedClient(guard, trust))
    return _made[-1]


def client() -> GuardedClient:
    """A client for which loopback is open, and names of `NAMES` lead there."""
    return made(Guard(["127.0.0.0/8"], lambda host, _port, _seconds: [NAMES[host]]))


def get(url: str, *, max_redirects: int = 0, timeout: float = 10.0, max_bytes: int = 1 << 25) -> HttpResponse:
    """One GET by a client of its own."""
    return client().send(HttpRequest("GET", url, timeout=timeout, max_bytes=max_bytes, max_redirects=max_redirects))


def send_to(
    server: RecordingServer, *headers: tuple[str, str], method: str = "GET", content: bytes | None = None
) -> None:
    client().send(HttpRequest(method, server.url, headers=headers, content=content))


class Listener:
    """A socket that accepts connections into its backlog and never answers."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self._socket.close()
