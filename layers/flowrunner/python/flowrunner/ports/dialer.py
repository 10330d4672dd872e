"""Outgoing connections that are not HTTP: mail servers and the like. Their adapter is the egress guard, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    import ssl


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection.

    Every operation on `socket`, and on what `tls.wrap_socket` makes of it, gets the time that is left of the whole and
    raises `NodeTimeout` when it is over; receiving more than was allowed raises `ValueTooLarge`. Neither is an
    `OSError`, so no library takes it for something to try again. `tls` verifies certificates and host names.
    """

    socket: socket.socket
    tls: ssl.SSLContext
    loopback: bool
    """The other side is this machine: what is sent in clear is seen by nobody else."""


class Dialer(Protocol):
    """Opens connections to checked addresses. Safe for use from several threads."""

    def addresses(self, host: str, port: int, allow: Sequence[Sequence[str]] = ()) -> Sequence[str]:
        """The checked addresses of a host, for libraries that connect by themselves.

        Arguments: `allow`, see `ports.http.HttpRequest`. Raises `EgressDenied`, and a retryable `StepError` with code
        `ConnectFailed` for a name that does not resolve.
        """
        ...

    def connect(
        self, host: str, port: int, seconds: float, allow: Sequence[Sequence[str]] = (), max_bytes: int = 1 << 25
    ) -> Connection:
        """A connection to `host`, of which no more than `max_bytes` may be received.

        Arguments: `seconds`, for all that is ever done with it. Raises as `addresses` does, `ConnectFailed` when nobody
        answers too, and `NodeTimeout`.
        """
        ...
