"""The HTTP client of flows: httpx behind the egress guard.

Connections are made by our own network backend, which asks the guard for the addresses of a name and connects to one
of those; certificate and SNI are checked by name as usual. Redirects are followed by hand, each hop a new check.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from flowrunner.adapters.egress import Guard
from flowrunner.errors import EgressDenied, NodeTimeout, StepError, ValueTooLarge
from flowrunner.ports.http import HttpRequest, HttpResponse

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""Dropped when a redirect leads to another origin (RFC 9110, 15.4)."""

MAX_RATIO = 200
"""How much larger than its transfer a compressed body may grow, beyond the first MiB."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})


class GuardedClient:
    """See `ports.http.HttpClient`."""

    def __init__(self, guard: Guard, verify: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._deadline = threading.local()
        pool = httpcore.ConnectionPool(
            ssl_context=verify or httpx.create_ssl_context(trust_env=False),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=_GuardedBackend(guard, self._deadline),
        )
        self._client = httpx.Client(transport=_PoolTransport(pool), trust_env=False, follow_redirects=False)

    def send(self, request: HttpRequest) -> HttpResponse:
        """See the port."""
        started = time.monotonic()
        self._deadline.at = started + request.timeout
        method, url, content = request.method, request.url, request.content
        headers = list(request.headers)
        _check_headers(headers)
        for _ in range(request.max_redirects + 1):
            self._guard.check_url(url, request.allow)
            response, body = self._exchange(method, url, headers, content, request)
            location = response.headers.get("location")
            if response.status_code not in REDIRECTS or location is None or request.max_redirects == 0:
                return HttpResponse(
                    status=response.status_code,
                    headers=_joined(response.headers),
                    content=body,
                    url=url,
                    elapsed=time.monotonic() - started,
                )
            following = urljoin(url, location)
            if urlsplit(url).scheme == "https" and urlsplit(following).scheme == "http":
                raise EgressDenied(f"{url} redirects from https to http, which is not followed", host=following[:200])
            if _origin(following) != _origin(url):
                dropped = CREDENTIALS | request.sensitive_headers
                headers = [(name, value) for name, value in headers if name.lower() not in dropped]
            if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                method, content = "GET" if method != "HEAD" else "HEAD", None
                headers = [(name, value) for name, value in headers if not name.lower().startswith("content-")]
            url = following
        raise StepError(f"{request.url} redirects more than {request.max_redirects} times", code="TooManyRedirects")

    def close(self) -> None:
        self._client.close()

    def _exchange(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], content: bytes | None, request: HttpRequest
    ) -> tuple[httpx.Response, bytes]:
        try:
            with self._client.stream(
                method, url, headers=list(headers), content=content, timeout=max(request.timeout, 0.001)
            ) as response:
                return response, self._read(response, request)
        except httpx.TimeoutException as error:
            raise _timeout(url, request.timeout) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise StepError(f"the request to {url[:200]} is not valid HTTP: {error}", code="HttpInvalid") from error
        except httpx.DecodingError as error:
            raise StepError(f"{url} answered with a broken body: {error}", code="InvalidResponse") from error
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise StepError(f"no answer from {url}: {why}", code="HttpConnect", retryable=True) from error

    def _read(self, response: httpx.Response, request: HttpRequest) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes(65_536):
            body += chunk
            if len(body) > request.max_bytes:
                raise ValueTooLarge(f"{response.url} answered with more than {request.max_bytes:,} bytes")
            if len(body) > 1024 * 1024 and len(body) > MAX_RATIO * max(response.num_bytes_downloaded, 1):
                raise ValueTooLarge(f"{response.url} answered with a body that unpacks to {MAX_RATIO} times its size")
            if time.monotonic() > self._deadline.at:
                raise _timeout(str(response.url), request.timeout)
        return bytes(body)


class _PoolTransport(httpx.BaseTransport):
    """httpx over an httpcore pool of our making."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        stream = request.stream
        assert isinstance(stream, httpx.SyncByteStream), "the client is synchronous"
        url = request.url
        try:
            response = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=stream,
                    extensions=request.extensions,
                )
            )
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _translated(error) from error
        assert isinstance(response.stream, Iterable), "the pool is synchronous"
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response.stream), extensions=response.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _translated(error) from error

    def close(self) -> None:
        self._stream.close()


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only, and gives no operation more time than the request has left."""

    def __init__(self, guard: Guard, deadline: threading.local) -> None:
        self._guard = guard
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception | None = None
        for address in self._guard.addresses(host, port):
            try:
                stream = self._inner.connect_tcp(address, port, _left(self._deadline, timeout), None, socket_options)
                return _TimedStream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
        raise error or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise EgressDenied("Unix sockets may not be reached")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _TimedStream(httpcore.NetworkStream):
    """A stream on which a server that sends a byte now and then runs into the deadline as well."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: threading.local) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _left(self._deadline, timeout))
        return _TimedStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(deadline: threading.local, timeout: float | None) -> float | None:
    at = getattr(deadline, "at", None)
    if at is None:
        return timeout
    left = at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the request is over")
    return left if timeout is None else min(timeout, left)


def _translated(error: Exception) -> httpx.HTTPError:
    if isinstance(error, httpcore.TimeoutException):
        return httpx.ReadTimeout(str(error))
    if isinstance(error, httpcore.LocalProtocolError):
        return httpx.LocalProtocolError(str(error))
    return httpx.NetworkError(str(error))


def _timeout(url: str, seconds: float) -> NodeTimeout:
    return NodeTimeout(f"{url} did not answer within {seconds:g} s")


def _check_headers(headers: Sequence[tuple[str, str]]) -> None:
    for name, value in headers:
        if not name or not all(char.isalnum() or char in "!#$%&'*+-.^_`|~" for char in name) or not name.isascii():
            raise StepError(f"{name[:80]!r} is no header name", code="HttpInvalid")
        if any(char in "\r\n\0" for char in value) or not value.isprintable():
            raise StepError(f"the value of header {name} has characters that no header may have", code="HttpInvalid")


def _joined(headers: httpx.Headers) -> dict[str, str]:
    """Header names in lower case; values of a repeated one joined by commas."""
    return {name.lower(): headers[name] for name in headers}


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
