"""The HTTP client of flows: httpcore (httpx's engine) behind the egress guard.

Each hop is checked by the guard; a new connection is made by our own network backend, which knows only the
addresses that the guard has checked for this hop, while SNI, certificate and `Host` go by name as usual. A
pooled connection leads to an address that was checked when it was made. Redirects are followed by hand, each
hop a new check.

httpx's own client is not used because of what it keeps between requests: its cookie jar would carry one
account's session into another account's request.

The time limit holds for the whole exchange: before every operation on the socket the time that is left is
set, so a server that sends, or takes, a byte now and then runs into it as well.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

import certifi
import httpcore

from flowrunner.adapters.egress import LOOKUP_SECONDS, Guard, Target
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError, ValueTooLarge
from flowrunner.ports.http import HttpRequest, HttpResponse, HttpStream

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Dropped when a redirect leads to another origin (RFC 9110, 15.4)."""

OURS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade"}
)
"""Headers that say how the message is framed and where it goes. A second opinion on those is request
smuggling, and another `Host` reaches a site that the allow-lists do not name."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_RATIO = 200
"""How much larger than its transfer a compressed body may grow, beyond the first MiB."""
STOP_SECONDS = 0.25
"""How often `HttpRequest.stop` is asked while nothing comes."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(slots=True)
class _Hop:
    """The request as it is sent next; a redirect changes it."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    content: bytes | None

    def follow(self, here: Target, there: Target, status: int, sensitive: frozenset[str]) -> None:
        """Turn into the request for `there`, to which `here` redirected (RFC 9110, 15.4)."""
        if here.scheme == "https" and there.scheme == "http":
            raise EgressDenied(
                f"{here.origin} redirects to {there.origin}: from https to http is not followed",
                host=there.host,
            )
        if here.origin != there.origin:
            dropped = CREDENTIALS | sensitive
            self.headers = [(name, value) for name, value in self.headers if name.lower() not in dropped]
        if (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST"):
            self.method, self.content = "GET", None
            self.headers = [(name, value) for name, value in self.headers if not name.lower().startswith("content-")]
        self.url = there.url


class GuardedClient:
    """See `ports.http.HttpClient`.

    Arguments: `guard`, who decides what may be reached; `verify`, the certificates that are trusted
    (certifi's unless given). The environment is not asked for proxies or certificates.
    """

    def __init__(self, guard: Guard, verify: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._backend = _PinnedBackend()
        self._pool = httpcore.ConnectionPool(
            ssl_context=verify or ssl.create_default_context(cafile=certifi.where()),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=self._backend,
        )

    def send(self, request: HttpRequest) -> HttpResponse:
        """See the port. Raises `ParamsInvalid` too, for what cannot be sent, and `TooManyRedirects`."""
        _check_message(request)
        started = time.monotonic()
        deadline = started + request.timeout
        hop = _Hop(request.method, request.url, list(request.headers), request.content)
        target = self._check(hop.url, request, deadline)
        for left in range(request.max_redirects, -1, -1):
            status, headers, content = self._exchange(hop, target, request, deadline)
            if content is not None:
                return HttpResponse(status, headers, content, target.url, time.monotonic() - started)
            if left:
                there = self._redirected(target, headers["location"], request, deadline)
                hop.follow(target, there, status, request.sensitive_headers)
                target = there
        raise StepError(
            f"{target.origin} redirects again after {request.max_redirects} redirects",
            code="TooManyRedirects",
        )

    @contextmanager
    def stream(self, request: HttpRequest) -> Iterator[HttpStream]:
        """See the port."""
        _check_message(request)
        deadline = time.monotonic() + request.timeout
        hop = _Hop(request.method, request.url, list(request.headers), request.content)
        target = self._check(hop.url, request, deadline)
        with self._sent(hop, target, request, deadline) as response:
            headers = _headers(response.headers)
            pieces = _pieces(response, headers, target, request.max_bytes)
            yield HttpStream(response.status, headers, self._told(pieces, target, request, deadline), target.url)

    def _told(self, pieces: Iterator[bytes], target: Target, request: HttpRequest, deadline: float) -> Iterator[bytes]:
        while True:
            # Pinned anew for each: between two pieces the thread may have sent something else.
            self._backend.pin(target, deadline, request.stop)
            with _translated(target, request):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.close()

    def _check(self, url: str, request: HttpRequest, deadline: float) -> Target:
        return self._guard.check(url, request.allow, min(LOOKUP_SECONDS, max(deadline - time.monotonic(), 0.0)))

    def _redirected(self, here: Target, location: str, request: HttpRequest, deadline: float) -> Target:
        try:
            # Servers send spaces and UTF-8 in `Location`, which browsers encode, too.
            return self._check(urljoin(here.url, quote(location, safe=_VISIBLE)), request, deadline)
        except ValueError:
            raise EgressDenied(f"{here.origin} redirects to something that is no URL") from None
        except EgressDenied as error:
            raise EgressDenied(f"{here.origin} redirects: {error.message}", hint=error.hint, **error.details) from None

    def _exchange(
        self, hop: _Hop, target: Target, request: HttpRequest, deadline: float
    ) -> tuple[int, dict[str, str], bytes | None]:
        """Status, headers and body of one hop; the body is None when a redirect is to be followed instead."""
        with self._sent(hop, target, request, deadline) as response:
            headers = _headers(response.headers)
            if request.max_redirects and response.status in REDIRECTS and "location" in headers:
                return response.status, headers, None
            if request.cut:
                return response.status, headers, _beginning(response, headers, request.max_bytes)
            pieces = _pieces(response, headers, target, request.max_bytes)
            return response.status, headers, b"" if hop.method == "HEAD" else b"".join(pieces)

    @contextmanager
    def _sent(self, hop: _Hop, target: Target, request: HttpRequest, deadline: float) -> Iterator[httpcore.Response]:
        self._backend.pin(target, deadline, request.stop)
        with _translated(target, request):
            response = self._pool.handle_request(_message(hop, target, deadline))
            try:
                yield response
            finally:
                response.close()


@contextmanager
def _translated(target: Target, request: HttpRequest) -> Iterator[None]:
    """Errors of the connection as the port has them."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise NodeTimeout(
            f"{target.origin} did not answer {request.method} in full within {request.timeout:g} s"
        ) from error
    except httpcore.LocalProtocolError as error:
        raise ParamsInvalid(f"the request to {target.origin} is not valid HTTP: {error}") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise _no_answer(target, error) from error


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to the checked addresses of the thread's present hop, and to nothing else.

    httpcore opens a connection in the thread that asked for it, so what the thread is doing is kept per
    thread.
    """

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()
        self._now = threading.local()

    def pin(self, target: Target, deadline: float, stop: Callable[[], bool] | None) -> None:
        """From now on this thread connects to `target` only, and is given up at `deadline` (monotonic) or when
        `stop` says so.
        """
        self._now.target, self._now.deadline, self._now.stop = target, deadline, stop

    def left(self) -> float:
        """Seconds until the deadline of the thread's exchange. Raises httpcore's `ReadTimeout` when it is
        over.
        """
        left: float = self._now.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time is over")
        return left

    def read(self, inner: httpcore.NetworkStream, max_bytes: int) -> bytes:
        """Read what comes next, within the time that is left. Raises httpcore's `ReadTimeout`."""
        stop: Callable[[], bool] | None = self._now.stop
        if stop is None:
            return inner.read(max_bytes, self.left())
        while not stop():
            try:
                return inner.read(max_bytes, min(self.left(), STOP_SECONDS))
            except httpcore.ReadTimeout:
                self.left()  # raises when it is really over
        raise httpcore.ReadTimeout("it was given up")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        target: Target = self._now.target
        if (host, port) != (target.host, target.port):
            raise EgressDenied(f"{host}:{port} is not what was checked", host=host)
        failure: Exception = httpcore.ConnectError("no address")
        for index, address in enumerate(target.addresses):
            # An address that swallows packets must leave time for the others.
            seconds = self.left() / (len(target.addresses) - index)
            try:
                return _TimedStream(self._inner.connect_tcp(address, port, seconds, None, socket_options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every operation gets the time that is left."""

    def __init__(self, inner: httpcore.NetworkStream, backend: _PinnedBackend) -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._backend.read(self._inner, max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Not the inner stream's: that starts the timeout anew with every piece that the other side takes.
        sock = self._inner.get_extra_info("socket")
        view = memoryview(buffer)
        while view:
            sock.settimeout(self._backend.left())
            try:
                view = view[sock.send(view) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout("the time is over") from error
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._backend.left())
        return _TimedStream(inner, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _message(hop: _Hop, target: Target, deadline: float) -> httpcore.Request:
    headers = [("Host", target.authority), *hop.headers]
    given = {name.lower() for name, _ in hop.headers}
    headers += [
        (name, value)
        for name, value in (("Accept", "*/*"), ("Accept-Encoding", "gzip"), ("User-Agent", "flowrunner"))
        if name.lower() not in given
    ]
    if hop.content is not None or hop.method in ("POST", "PUT", "PATCH"):
        headers.append(("Content-Length", str(len(hop.content or b""))))
    left = max(deadline - time.monotonic(), 0.0)
    return httpcore.Request(
        hop.method.encode("ascii"),
        httpcore.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        ),
        headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in headers],
        content=hop.content or b"",
        extensions={"timeout": {"pool": left, "connect": left, "read": left, "write": left}},
    )


def _pieces(response: httpcore.Response, headers: Mapping[str, str], target: Target, limit: int) -> Iterator[bytes]:
    """The body, unpacked, as it comes. Raises `ValueTooLarge`, and `StepError` with code `InvalidResponse` for a
    broken one.
    """
    length, encoding = headers.get("content-length", ""), headers.get("content-encoding", "identity").strip().lower()
    too_large = ValueTooLarge(f"{target.origin} answered with more than {limit:,} bytes")
    if length.isdecimal() and len(length) < 20 and int(length) > limit:
        raise too_large
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise StepError(f"{target.origin} answered in the encoding {encoding[:40]!r}", code="InvalidResponse")
    gzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in encoding else None
    size = received = 0
    for chunk in response.iter_stream():
        received += len(chunk)
        try:
            piece = gzip.decompress(chunk, limit + 1 - size) if gzip else chunk
        except zlib.error as error:
            raise StepError(f"{target.origin} answered with broken gzip: {error}", code="InvalidResponse") from None
        size += len(piece)
        if size > limit:
            raise too_large
        if size > max(1024 * 1024, MAX_RATIO * received):
            raise ValueTooLarge(f"{target.origin} answered with a body that unpacks to {MAX_RATIO} times its size")
        yield piece
    if gzip and received and not gzip.eof:
        raise StepError(f"{target.origin} answered with gzip that is cut off", code="InvalidResponse")


def _beginning(response: httpcore.Response, headers: Mapping[str, str], limit: int) -> bytes:
    """The first `limit` bytes of the body; fewer when it breaks off, comes too late or cannot be unpacked."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    gzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in encoding else None
    body = bytearray()
    try:
        for chunk in response.iter_stream():
            body += gzip.decompress(chunk, max(limit - len(body), 1)) if gzip else chunk
            if len(body) >= limit:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, zlib.error):
        return bytes(body)
    return bytes(body[:limit])


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case; values of a repeated one joined by commas (RFC 9110, 5.3)."""
    joined: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def _check_message(request: HttpRequest) -> None:
    """Raises `ParamsInvalid` for what would break the message's frame. No text shows a value: it may be
    secret.
    """
    if not _TOKEN.fullmatch(request.method) or request.method in ("CONNECT", "TRACE"):
        raise ParamsInvalid(f"the method {request.method[:20]!r} cannot be sent")
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name):
            raise ParamsInvalid(f"{name[:80]!r} is no header name")
        if name.lower() in OURS:
            raise ParamsInvalid(f"the header {name} is set by the client", hint="leave it out")
        bad = re.search(r"[^\t\x20-\x7e]", value)
        if bad is not None:
            raise ParamsInvalid(
                f"the value of header {name} has the character {bad[0]!r}, which no header may have",
                hint="headers are ASCII on one line; is there a line end behind the secret?"
                if bad[0] in "\r\n"
                else None,
            )


def _no_answer(target: Target, error: Exception) -> StepError:
    """A failed connection in words; a certificate that is not valid will not be so the next time."""
    cause = error.__context__  # httpcore's pool raises `from None`
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = f"its certificate is not valid: {cause.verify_message}"
        return StepError(f"no connection to {target.origin}: {why}", code="HttpConnect", retryable=False)
    why = str(error) or type(error).__name__
    return StepError(f"no answer from {target.origin}: {why}", code="HttpConnect", retryable=True)
