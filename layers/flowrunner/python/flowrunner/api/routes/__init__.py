"""The routes, one module per area; an application gets them all at once, or each when it is first asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module

from fastapi.routing import APIRouter
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

AREAS: Mapping[str, tuple[str, ...]] = {
    "flows": ("/v1/flows",),
    "runs": ("/v1/flows", "/v1/runs"),
    "steps": ("/v1/runs",),
    "previews": ("/v1/runs",),
    "events": ("/v1/runs", "/v1/ws"),
    "logs": ("/v1/runs",),
    "timeline": ("/v1/runs",),
    "catalogue": ("/v1/node-types", "/v1/plugins", "/v1/schema"),
    "hooks": ("/v1/hooks", "/hooks"),
    "schedules": ("/v1/schedules",),
    "callbacks": ("/v1/callbacks",),
    "accounts": ("/v1/accounts", "/v1/account"),
    "users": ("/v1/users",),
    "tokens": ("/v1/tokens",),
    "sessions": ("/v1/session", "/v1/sessions"),
    "usage": ("/v1/usage",),
    "audit": ("/v1/audit",),
    "system": ("/healthz", "/readyz", "/metrics"),
    "secrets": ("/v1/secrets",),
    "modules": ("/v1/modules",),
    "webhooks": ("/v1/webhooks",),
    "mcp": ("/mcp",),
}
"""The modules in the order of their routes, and how the paths of each begin."""

ABOUT_ALL = ("/openapi.json",)
"""Paths whose answer is about all routes."""


def routes_of(areas: Collection[str] = AREAS.keys()) -> list[BaseRoute]:
    """The routes of these areas, in order; they are imported here."""
    found: list[BaseRoute] = []
    for area in AREAS:
        if area in areas:
            content = vars(import_module(f"{__name__}.{area}"))
            for router in content.values():
                if isinstance(router, APIRouter):
                    found += router.routes
    return found


def areas_of(path: str) -> set[str]:
    """The areas that may have a route for a path."""
    parts = path.split("/")
    begin = "/".join(parts[: 3 if parts[1:2] == ["v1"] else 2])
    return {area for area, begins in AREAS.items() if begin in begins or path in ABOUT_ALL}


class Importing:
    """Around an application: before a path is answered, its routes are there.

    For AWS Lambda, where a process is started often, and answers few requests of few kinds. All 80 routes together take
    as long to import as everything else.
    """

    def __init__(self, app: ASGIApp, routes: list[BaseRoute]) -> None:
        """`routes` is the application's own list, which grows."""
        self._app = app
        self._routes = routes
        self._before = list(routes)
        self._areas: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            wanted = areas_of(scope["path"])
            if not wanted <= self._areas:
                self._areas |= wanted
                self._routes[:] = [*routes_of(self._areas), *self._before]
        await self._app(scope, receive, send)
