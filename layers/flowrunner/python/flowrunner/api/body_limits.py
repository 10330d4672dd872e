"""Routes whose bodies may be smaller than the others': counted while they are read, before anything else is done."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Message

from flowrunner.api.routing import ApiRoute, Endpoint, platform_of
from flowrunner.errors import TooLarge
from flowrunner.settings import Settings

Limit = Callable[[Settings], int]


def takes_at_most(limit: Limit) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint: a body has at most so many bytes."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__max_body__ = limit  # type: ignore[attr-defined]  # read by LimitedRoute below
        return endpoint

    return mark


class LimitedRoute(ApiRoute):
    """A route of an endpoint with `takes_at_most`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()
        limit: Limit = self.endpoint.__max_body__  # type: ignore[attr-defined]  # set by takes_at_most

        async def limited(request: Request) -> Response:
            most = limit(platform_of(request).settings)
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

            return await handle(Request(request.scope, counted))

        return limited


def limited_router(tag: str) -> APIRouter:
    """A router of such routes."""
    return APIRouter(tags=[tag], route_class=LimitedRoute)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"the body is larger than {most:,} bytes", limit=most)
