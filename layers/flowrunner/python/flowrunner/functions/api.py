"""The API: the same application as on a server, behind an HTTP API of API Gateway (events of version 2.0).

Nothing runs in the background: Lambda stops a process between two requests. What a server does there, the scheduler and
the stream of the table do here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mangum import Mangum

from flowrunner.bootstrap import make_platform
from flowrunner.functions.observing import Observed
from flowrunner.functions.process import prepare
from flowrunner.functions.starting import models_built_late


class Api:
    """Handles requests."""

    def __init__(self, app: Any, observed: Observed) -> None:
        self._serve = Mangum(app, lifespan="off")
        self._observed = observed

    def __call__(self, event: Any, context: Any) -> Mapping[str, Any]:
        with self._observed.invocation(context):
            answer: Mapping[str, Any] = self._serve(event, context)
            return answer


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("api", environ)
    with models_built_late():
        from flowrunner.api.app import create_app

    platform = make_platform(settings, environ)
    platform.engine.watchers.watch_all(observed.observe_run)
    return observed.traced(Api(create_app(platform, lazy=True), observed))
