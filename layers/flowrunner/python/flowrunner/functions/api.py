"""The API: the same application as on a server, behind an HTTP API of API Gateway (events of version 2.0).

Nothing runs in the background: Lambda stops a process between two requests. What a server does there, the scheduler and
the stream of the table do here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mangum import Mangum

from flowrunner.bootstrap import make_platform
from flowrunner.errors import TooLarge
from flowrunner.functions.observing import Observed
from flowrunner.functions.process import prepare
from flowrunner.functions.starting import models_built_late

MOST = 6 * 1024 * 1024 - 64 * 1024
"""Bytes of an answer: Lambda takes 6 MB with the headers, and for more API Gateway would say nothing but 500."""

ABOUT_THE_BODY = ("content-length", "content-encoding", "etag")


class Api:
    """Handles requests."""

    def __init__(self, app: Any, observed: Observed) -> None:
        self._serve = Mangum(app, lifespan="off")
        self._observed = observed

    def __call__(self, event: Any, context: Any) -> Mapping[str, Any]:
        with self._observed.invocation(context):
            answer: Mapping[str, Any] = self._serve(event, context)
            size = _size(answer.get("body") or "")
            return answer if size <= MOST else _too_large(size, answer["headers"])


def _size(body: str) -> int:
    """Bytes of a body on its way to API Gateway, as a text in JSON; only those of large ones are counted exactly."""
    return len(body) if len(body) < MOST // 6 else len(json.dumps(body, ensure_ascii=False).encode())


def _too_large(size: int, headers: Mapping[str, str]) -> Mapping[str, Any]:
    error = TooLarge(f"the answer has {size / 1e6:.1f} MB, and 6 MB is what AWS Lambda hands on")
    kept = {name: value for name, value in headers.items() if name not in ABOUT_THE_BODY}
    document: dict[str, Any] = {
        "code": error.code,
        "message": error.message,
        "details": [],
        "correlation_id": headers.get("x-correlation-id"),
    }
    return {
        "statusCode": 500,
        "headers": {**kept, "content-type": "application/json"},
        "body": json.dumps({"error": document}),
        "isBase64Encoded": False,
    }


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("api", environ)
    with models_built_late():
        from flowrunner.api.app import create_app

    platform = make_platform(settings, environ)
    return observed.traced(Api(create_app(platform, lazy=True), observed))
