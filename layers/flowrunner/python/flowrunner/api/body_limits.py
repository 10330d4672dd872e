"""How large the bodies of a route may be: small unless it says otherwise, and counted while they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from starlette.types import Message, Receive

from flowrunner.errors import TooLarge
from flowrunner.settings import Settings

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Limit = Callable[[Settings], int]

SMALL = 256 * 1024
"""For routes that say nothing: their bodies are objects of a few fields."""


def takes_at_most(limit: Limit) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint: a body has at most so many bytes, and never more than `api.max_body`."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__max_body__ = limit  # type: ignore[attr-defined]  # read by most_of below
        return endpoint

    return mark


def takes_large(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint: a body may be as large as the server takes any."""
    return takes_at_most(lambda settings: settings.api.max_body)(endpoint)


def most_of(endpoint: Callable[..., Any], settings: Settings) -> int:
    """How many bytes the endpoint takes."""
    limit: Limit | None = getattr(endpoint, "__max_body__", None)
    return min(SMALL, settings.api.max_body) if limit is None else limit(settings)


def limited(request: Request, most: int) -> Receive:
    """The request's `receive`, counted. Raises `TooLarge`, at once for a length that says so."""
    if int(request.headers.get("content-length", "0")[:18]) > most:  # digits: api.middleware has looked
        raise _too_large(most)
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most:,} bytes", limit=most)
