"""The application: routes, middleware and errors put together. The same for uvicorn and for the API Lambda."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match

from flowrunner import __version__
from flowrunner.api import errors
from flowrunner.api.console import Console
from flowrunner.api.docs import PREFIX, Docs, to_docs
from flowrunner.api.middleware import BodyLimits, Correlation
from flowrunner.api.observing import Observing
from flowrunner.api.openapi import describe
from flowrunner.api.paging import Cursors
from flowrunner.api.routes import Importing, routes_of
from flowrunner.api.routing import CSRF_HEADER, identify, throttle_address
from flowrunner.api.turns import Turns
from flowrunner.errors import FlowrunnerError
from flowrunner.services.platform import Platform

EXPOSED = ["ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Correlation-Id", "Mcp-Session-Id"]
OF_MCP = ["Mcp-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name"]
TAKEN = ["Authorization", "Content-Type", "If-Match", "Idempotency-Key", "Last-Event-ID", CSRF_HEADER, *OF_MCP]


def create_app(
    platform: Platform, console: Path | None = None, docs: Path | None = None, *, lazy: bool = False
) -> FastAPI:
    """The application over `platform`, which its maker starts and closes; with `console` and `docs` in those folders.

    With `lazy` routes are imported when they are first asked for, and there are no documents: where that is done,
    files come from elsewhere.
    """
    app = FastAPI(
        title="flowrunner",
        version=__version__,
        summary="Flows written in YAML: stored, run, watched.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.platform = platform
    app.state.turns = Turns()
    app.state.cursors = Cursors(platform.cursor_key)
    errors.install(app)
    app.add_exception_handler(HTTPException, _refused)
    if not lazy:
        app.router.routes.extend(routes_of())  # not included: they are what they are, whatever holds them
        app.router.add_route(PREFIX, to_docs, methods=["GET"], include_in_schema=False)
        app.mount(PREFIX, Docs(docs), name="docs")
    describe(app)
    if console is not None:
        app.mount("/", Console(console), name="console")
    settings = platform.settings.api
    app.add_middleware(BodyLimits, max_bytes=settings.max_body, seconds=settings.body_timeout / 1000)
    if settings.cors_origins:
        _allow_pages_of(app, settings.cors_origins)
    app.add_middleware(Observing, telemetry=platform.telemetry, clock=platform.engine.parts.clock)
    app.add_middleware(Correlation, new_id=platform.engine.parts.draws.new_id)
    if lazy:
        app.add_middleware(Importing, routes=app.router.routes)
    return app


def _allow_pages_of(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of other origins call the API (CORS)."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=TAKEN,
        expose_headers=EXPOSED,
        max_age=600,
    )


async def _refused(request: Request, error: Exception) -> Response:
    """Unknown paths under /v1 look to strangers like all others there: they have to say who they are first."""
    assert isinstance(error, HTTPException), "registered for these only"
    if error.status_code in (404, 405) and request.url.path.startswith("/v1/"):
        try:
            throttle_address(request)
            await run_in_threadpool(identify, request)
        except FlowrunnerError as refusal:
            return errors.answer_error(refusal, errors.correlation_of(request))
    if error.status_code == 405:
        error.headers = {"Allow": ", ".join(_methods(request))}
    return await errors.refused(request, error)


def _methods(request: Request) -> list[str]:
    """The methods of all routes with this path: the router stops at the first one (RFC 9110, 15.5.6)."""
    found: set[str] = set()
    for route in request.app.router.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return sorted(found)


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the application."""
    return app.openapi()
