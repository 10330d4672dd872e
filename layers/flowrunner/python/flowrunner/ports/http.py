"""Outgoing HTTP. Whatever a flow sends goes through this port, whose adapter is the egress guard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

DEPTH_HEADER = "X-Flowrunner-Depth"
"""On calls to this server itself: how many runs have called each other so far."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `timeout` is for the whole exchange, in seconds; `allow` narrows what may be reached.

    `allow` holds one list of host patterns per level (flow, node): the host must match a pattern of every list
    (`api.example.com`, `*.slack.com`). An empty `allow` leaves only the guard's own rules.
    """

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = ()
    content: bytes | None = None
    timeout: float = 30.0
    max_redirects: int = 0
    max_bytes: int = 32 * 1024 * 1024
    allow: Sequence[Sequence[str]] = ()
    sensitive_headers: frozenset[str] = frozenset()
    """Header names, lower case, that are dropped on a redirect to another origin, beside the standard ones."""
    cut: bool = False
    """The status is what matters: keep the first `max_bytes` of the body, as far as they come and can be unpacked."""
    stop: Callable[[], bool] | None = None
    """Asked in the caller's thread now and then while the answer is waited for; true gives the exchange up, which
    raises `NodeTimeout`."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The last response of the exchange, body read whole; `url` is the one that answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    url: str = ""
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class HttpStream:
    """A response whose body comes piece by piece, unpacked. A piece raises what `HttpClient.send` raises."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]
    url: str = ""


class HttpClient(Protocol):
    """A guarded client, safe for use from several threads."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send and follow at most `max_redirects` redirects, each hop checked anew.

        Raises `EgressDenied` before any packet leaves for a forbidden address, `NodeTimeout` past the timeout,
        `ValueTooLarge` past `max_bytes`, and a retryable `StepError` with code `HttpConnect` when no response came.
        """
        ...

    def stream(self, request: HttpRequest) -> AbstractContextManager[HttpStream]:
        """Send, and read the body as it comes; on leaving, the rest is dropped. Use it in one thread.

        Redirects are answers like others here. `timeout` and `max_bytes` are for the whole body. Raises as `send`.
        """
        ...

    def close(self) -> None:
        """Close the connections that are kept."""
        ...
