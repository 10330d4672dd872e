"""Answers to waiting steps, by whoever was given the token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request
from starlette.concurrency import run_in_threadpool

from flowrunner.api.body_limits import takes_at_most
from flowrunner.api.routing import ThePlatform, public, router
from flowrunner.core.flow import Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import InvalidInput, UnsupportedMediaType

api = router("triggers")

MAX_BODY = 256 * 1024

BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "The step's output, in JSON; no body is null.",
        "content": {"application/json": {"schema": {}, "example": {"approved": True}}},
    }
}


async def _payload(request: Request) -> Json:
    body = await request.body()
    if not body:
        return None
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType("an answer is sent as application/json")
    try:
        return parse_json(body)
    except BadJson as error:
        raise InvalidInput(str(error), field="body") from None


@api.post(
    "/v1/callbacks/{token}",
    operation_id="answer_callback",
    summary="Answer a waiting step",
    status_code=202,
    response_model=None,
    openapi_extra=BODY,
    responses={
        202: {"description": "Taken; the run goes on."},
        404: {"description": "There is no such token."},
        409: {"description": "The step was answered already, or does not wait any more."},
    },
)
@public
@takes_at_most(lambda settings: MAX_BODY)
async def answer_callback(
    platform: ThePlatform,
    token: Annotated[str, Path(max_length=128, description="The token that the step gave away.")],
    payload: Annotated[Json, Depends(_payload)],
) -> dict[str, str]:
    """The token is all that is needed, and it works once: the first answer counts."""
    await run_in_threadpool(platform.engine.control.answer, token, payload)
    return {"status": "accepted"}
