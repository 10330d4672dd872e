"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot know (who may call, what may go wrong)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from flowrunner.api.errors import ErrorAnswer
from flowrunner.api.examples import example_of
from flowrunner.api.routing import SESSION_COOKIE, ApiRoute

SCHEMES: dict[str, Any] = {
    "basic": {"type": "http", "scheme": "basic", "description": "User name and password."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API token, `fr_live_…`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "The console's session. Requests that change something also need `X-CSRF-Token`.",
    },
}

ALWAYS = {
    "400": "The request is not valid; `details` names each field.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "The content type or encoding is not understood.",
    "429": "Too many requests, or a quota is used up; `Retry-After` says when to come back.",
    "500": "A fault of ours; quote the correlation id.",
    "503": "The store cannot be reached; try again.",
}
KNOWN_ONLY = {
    "401": "Nobody known: sign in, or send a token.",
    "403": "Known, and not allowed to.",
}


def describe(app: FastAPI) -> None:
    """Let the application describe itself so."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way of extending it


def api_routes(app: FastAPI) -> Iterator[ApiRoute]:
    """The routes of the API, in order."""
    for route in app.routes:
        if isinstance(route, ApiRoute):
            yield route


def _document(app: FastAPI) -> dict[str, Any]:
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, openapi_version="3.1.0", routes=routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    model = ErrorAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(model.pop("$defs", {}))
    schemas["ErrorAnswer"] = model
    document["components"]["securitySchemes"] = SCHEMES
    for route in routes:
        for method in sorted(route.methods or ()):
            _complete(document["paths"][route.path_format].get(method.lower()), route)
    for path in document["paths"].values():
        for operation in path.values():
            _show(operation, schemas)
    return document


def _complete(operation: dict[str, Any] | None, route: APIRoute) -> None:
    if operation is None:
        return
    answers = operation.setdefault("responses", {})
    answers.pop("422", None)
    known = isinstance(route, ApiRoute) and not route.public
    expected = {**ALWAYS, **(KNOWN_ONLY if known else {})}
    if "{" in route.path_format:
        expected["404"] = "There is no such thing in this account."
    for status, meaning in sorted(expected.items()):
        answers.setdefault(status, {"description": meaning})
    for status, answer in answers.items():
        if status >= "400" and "content" not in answer:
            answer["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}}
    if known:
        assert isinstance(route, ApiRoute), "known is about these"
        operation["security"] = [{name: []} for name in SCHEMES]
        if route.permission is not None:
            operation["x-permission"] = str(route.permission)
    else:
        operation["security"] = []


def _show(operation: dict[str, Any], components: dict[str, Any]) -> None:
    """Give every body that has no example one that fits."""
    bodies = [operation.get("requestBody", {}), *operation.get("responses", {}).values()]
    for body in bodies:
        for kind, media in body.get("content", {}).items():
            if kind == "application/json" and media.get("schema") and not media.keys() & {"example", "examples"}:
                media["example"] = example_of(media["schema"], components)
