"""Connections through the egress guard that go to checked addresses, and have an end. See `ports.dialer`.

A socket's own timeout starts anew with each operation, so that a server that sends a byte now and then is waited for
without end. Here each operation gets the time that is left of the whole, under TLS as well.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, NoReturn

import certifi

from flowrunner.adapters.egress import Guard
from flowrunner.errors import NodeTimeout, StepError, ValueTooLarge
from flowrunner.ports.dialer import Connection


class GuardedDialer:
    """See `ports.dialer.Dialer`.

    Arguments: `guard`, who decides what may be reached; `cafile`, the certificates that are trusted (certifi's unless
    given).
    """

    def __init__(self, guard: Guard, cafile: str | None = None) -> None:
        self._guard = guard
        self._cafile = cafile or certifi.where()
        self._tls: ssl.SSLContext | None = None
        self._lock = Lock()

    def addresses(self, host: str, port: int, allow: Sequence[Sequence[str]] = ()) -> Sequence[str]:
        """See the port."""
        try:
            return self._guard.check_host(host, port, allow).addresses
        except StepError as error:
            if error.code != "HttpConnect":
                raise
            raise StepError(error.message, code="ConnectFailed", retryable=True) from error

    def connect(
        self, host: str, port: int, seconds: float, allow: Sequence[Sequence[str]] = (), max_bytes: int = 1 << 25
    ) -> Connection:
        """See the port."""
        limits = _Limits(f"{host}:{port}", seconds, max_bytes)
        addresses = self.addresses(host, port, allow)
        failure = "no address"
        for index, address in enumerate(addresses):
            sock = _PlainSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            sock.limits = limits
            try:
                # An address that swallows packets must leave time for the others.
                sock.settimeout(limits.left() / (len(addresses) - index))
                sock.connect((address, port))
            except OSError as error:
                sock.close()
                failure = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            except BaseException:
                sock.close()
                raise
            else:
                return Connection(sock, self._context(), ipaddress.ip_address(address).is_loopback)
        raise StepError(f"no connection to {limits.peer}: {failure}", code="ConnectFailed", retryable=True)

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                context = _TimedContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(self._cafile)
                self._tls = context
            return self._tls


class _Limits:
    """What a connection may still take, in time and in bytes."""

    def __init__(self, peer: str, seconds: float, max_bytes: int) -> None:
        self.peer = peer
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._max_bytes = max_bytes
        self._received = 0

    def left(self) -> float:
        """Seconds until the end. Raises `NodeTimeout` when it is past."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            self.over()
        return left

    def over(self) -> NoReturn:
        raise NodeTimeout(f"{self.peer} did not finish within {self.seconds:g} s")

    def count(self, received: int) -> int:
        """Adds to what came in. Raises `ValueTooLarge` when it is too much."""
        self._received += received
        if self._received > self._max_bytes:
            raise ValueTooLarge(f"{self.peer} sent more than {self._max_bytes:,} bytes")
        return received


class _Limited(socket.socket):
    """The operations that mail libraries use, within the limits of the connection."""

    limits: _Limits

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.limits.left())
        try:
            return self.limits.count(super().recv_into(*args, **kwargs))
        except TimeoutError:
            self.limits.over()

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        self.settimeout(self.limits.left())
        try:
            content = super().recv(*args, **kwargs)
        except TimeoutError:
            self.limits.over()
        self.limits.count(len(content))
        return content

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.limits.left())
        try:
            return super().send(*args, **kwargs)
        except TimeoutError:
            self.limits.over()

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(self.limits.left())
        try:
            super().sendall(*args, **kwargs)
        except TimeoutError:
            self.limits.over()


class _PlainSocket(_Limited):
    """A TCP connection."""


class _TlsSocket(_Limited, ssl.SSLSocket):
    """A TCP connection under TLS; its `sendall` goes by `send`, so each piece gets the time that is left."""


class _TimedContext(ssl.SSLContext):
    """Wraps limited sockets into limited sockets."""

    sslsocket_class = _TlsSocket

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        assert isinstance(sock, _Limited), "of this module"
        limits = sock.limits
        sock.settimeout(limits.left())  # for the handshake as a whole
        try:
            wrapped = super().wrap_socket(sock, *args, **kwargs)
        except TimeoutError:
            limits.over()
        assert isinstance(wrapped, _TlsSocket), "sslsocket_class"
        wrapped.limits = limits
        return wrapped
