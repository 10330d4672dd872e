"""For machines that look after the process: alive, ready, metrics."""

from __future__ import annotations

from typing import Literal

from fastapi.responses import JSONResponse, Response

from flowrunner.api.routing import ThePlatform, public, router
from flowrunner.api.shapes import Shown
from flowrunner.errors import NotFound
from flowrunner.telemetry.metrics import CONTENT_TYPE

api = router("system")


class HealthAnswer(Shown):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Shown):
    """Whether requests should be sent here, and what was checked."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


@api.get("/healthz", operation_id="get_health", summary="Is the process alive?")
@public
async def get_health() -> HealthAnswer:
    """Restart it when this is not answered. Nothing else is asked: a store that is away is no reason."""
    return HealthAnswer()


@api.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Can the process do its work?",
    response_model=ReadyAnswer,
    responses={503: {"model": ReadyAnswer, "description": "Not now; `checks` says what is wrong."}},
)
@public
def get_readiness(platform: ThePlatform) -> Response:
    """The store answers, the worker runs, and the process is not about to end."""
    found = platform.health.check()
    answer = ReadyAnswer(status="ready" if found.ready else "not ready", checks=dict(found.checks))
    return JSONResponse(answer.model_dump(), 200 if found.ready else 503, {"Cache-Control": "no-store"})


@api.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "In the text format, 0.0.4."},
        404: {"description": "`metrics.enabled` is off."},
    },
)
@public
def get_metrics(platform: ThePlatform) -> Response:
    """Only with `metrics.enabled`. It tells nothing of any account; let only Prometheus reach it all the same."""
    metrics = platform.telemetry.metrics
    if metrics is None:
        raise NotFound("metrics are not enabled here", hint="set metrics.enabled")
    return Response(metrics.page(), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})
