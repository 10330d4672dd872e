"""A real HTTP server on loopback for tests: answers by a callable, keeps every request it got."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Received:
    """A request as it came in; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    """An answer. With `chunks` the body is sent piece by piece, `pause` seconds apart, without a length."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chunks: Iterable[bytes] | None = None
    pause: float = 0.0


@dataclass(frozen=True)
class Raw:
    """Bytes for the connection as they are, `pause` seconds apart, after which it is closed."""

    pieces: Iterable[bytes]
    pause: float = 0.0


Route = Callable[[Received], Reply | Raw]


def ok(_request: Received) -> Reply:
    """Answers 200 and `ok` to everything."""
    return Reply(body=b"ok", headers=(("Content-Type", "text/plain"),))


def redirect(to: str, status: int = 302) -> Reply:
    return Reply(status, headers=(("Location", to),))


def flaky(failures: int, then: Route = ok, failure: Reply | None = None) -> Route:
    """Fails that many times (503 unless told), then answers by `then`."""
    left = iter(range(failures))

    def route(request: Received) -> Reply | Raw:
        return then(request) if next(left, None) is None else failure or Reply(503)

    return route


@dataclass
class RecordingServer:
    """`with RecordingServer(route) as server:` runs it in a thread; `server.url` is where it listens."""

    route: Route = ok
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.stopping = threading.Event()
        self._server = _Server((self.host, 0), _Handler)
        self._server.owner = self
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: RecordingServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.owner.connections += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """The recorded requests are the log."""

    def _answer(self) -> None:
        owner = self.server.owner
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        peer = (str(self.client_address[0]), int(self.client_address[1]))
        request = Received(self.command, self.path, headers, self.rfile.read(length), peer)
        owner.requests.append(request)
        reply = owner.route(request)
        if isinstance(reply, Raw):
            self._pieces(reply.pieces, reply.pause)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.chunks is None:
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else reply.body)
        else:
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self._pieces(reply.chunks, reply.pause)

    def _pieces(self, pieces: Iterable[bytes], pause: float) -> None:
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()
            if pause and self.server.owner.stopping.wait(pause):
                return

    # ruff: noqa: N815 -- the names are http.server's
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer
