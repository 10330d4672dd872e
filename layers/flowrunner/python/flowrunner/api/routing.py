"""Routes of the API: each says which permission it needs, or that it is open to all; one that says neither cannot be
made.

The caller is known before anything of the body is read, and the decision hangs on the route itself, never on the text
of the path (reliability.md 6.6).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from flowrunner.api.body_limits import Endpoint, limited, most_of
from flowrunner.api.errors import correlation_of
from flowrunner.api.turns import Turns
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.services.authentication import Credentials
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.platform import Platform
from flowrunner.services.throttle import Throttle, address_key
from flowrunner.settings import Settings

SESSION_COOKIE = "flowrunner_session"
CSRF_HEADER = "X-CSRF-Token"
READS = frozenset({"GET", "HEAD", "OPTIONS"})

LARGE = 64 * 1024
"""A larger body is parsed in a thread, while other requests go on."""
MOST_FIELDS = 100
"""Names in a body; no route knows as many. Told of one by one, a megabyte of unknown ones would be a long answer."""


def needs(permission: Permission | None) -> Callable[[Endpoint], Endpoint]:
    """Mark an endpoint: callers must be known and have `permission`; None: known is enough."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__access__ = ("known", permission)  # type: ignore[attr-defined]  # read by ApiRoute below
        return endpoint

    return mark


def public(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that needs no account; it has its own way of deciding, such as a signature."""
    endpoint.__access__ = ("public", None)  # type: ignore[attr-defined]  # read by ApiRoute below
    return endpoint


class StrictRequest(Request):
    """A request whose JSON means one thing (`core.json_text`)."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                value = await run_in_threadpool(parse_json, body) if len(body) > LARGE else parse_json(body)
            except BadJson as error:
                raise InvalidInput(str(error)) from None
            if isinstance(value, dict) and len(value) > MOST_FIELDS:
                raise InvalidInput(f"the body has {len(value):,} fields, far more than there are", field="body")
            self._json = value
        return self._json


class ApiRoute(APIRoute):
    """A route that knows its callers. Raises `TypeError` when it is made of an endpoint that does not say whose."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        access = getattr(endpoint, "__access__", None)
        if access is None:
            raise TypeError(f"{path}: mark the endpoint {endpoint.__name__} with needs(...) or public")
        self.public = access[0] == "public"
        self.permission: Permission | None = access[1]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()
        in_thread = not iscoroutinefunction(self.endpoint)

        async def strict(request: Request) -> Response:
            platform = platform_of(request)
            throttle_address(request)
            if not self.public:
                actor = await run_in_threadpool(identify, request)
                _throttled(request, "account", platform.account_throttle, actor.account)
                if self.permission is not None:
                    require(actor, self.permission)
                request.state.actor = actor
            request = StrictRequest(request.scope, limited(request, most_of(self.endpoint, platform.settings)))
            if "\0" in request.scope["path"]:  # not every store could look it up
                raise NotFound("there is no such thing")
            if self.public or not in_thread:
                return await read_and_handle(request)
            turns: Turns = request.app.state.turns
            async with turns.of(request.state.actor.account):
                return await read_and_handle(request)

        async def read_and_handle(request: Request) -> Response:
            takes = self.body_field is not None or request.method not in READS
            if takes and await request.body() and self.body_field is not None and _is_json(request):
                await request.json()
            return await handle(request)

        return strict


def throttle_address(request: Request) -> None:
    """Count a request for its address. Raises `TooManyRequests`."""
    _throttled(request, "address", platform_of(request).address_throttle, address_key(address_of(request)))


def _throttled(request: Request, name: str, throttle: Throttle | None, key: str) -> None:
    """Count the request, and note what to tell the caller. Raises `TooManyRequests`."""
    if throttle is None:
        return
    decision = throttle.check(key)
    request.state.rate = (name, decision)
    decision.require(f"too many requests from this {name}")


def router(tag: str, prefix: str = "") -> APIRouter:
    """A router of such routes."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=ApiRoute)


def identify(request: Request) -> Actor:
    """Who asks. Raises `Unauthenticated`, `Forbidden` (a session without its CSRF token) or `TooManyRequests`."""
    platform = platform_of(request)
    return platform.authenticator.authenticate(
        Credentials(
            authorization=request.headers.get("authorization"),
            session=request.cookies.get(session_cookie(platform.settings)),
            csrf=request.headers.get(CSRF_HEADER),
            origin=request.headers.get("origin"),
            reads=request.method in READS,
            address=address_of(request),
            correlation=correlation_of(request),
            host=host_of(request),
        )
    )


def session_cookie(settings: Settings) -> str:
    """The name of the session's cookie. Over HTTPS it is one that no other host and no plain HTTP can set."""
    secure = (settings.public_url or "").lower().startswith("https://")
    return f"__Host-{SESSION_COOKIE}" if secure else SESSION_COOKIE


def platform_of(request: Request) -> Platform:
    """The services behind the application."""
    platform: Platform = request.app.state.platform
    return platform


def address_of(request: Request) -> str:
    """The client's address: the peer's, or what a trusted proxy says (uvicorn sees to that)."""
    return request.client.host if request.client else ""


def host_of(request: Request) -> str:
    """Where the request was sent, as an origin."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


async def _platform(request: Request) -> Platform:
    return platform_of(request)


async def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


ThePlatform = Annotated[Platform, Depends(_platform)]
Caller = Annotated[Actor, Depends(_actor)]
