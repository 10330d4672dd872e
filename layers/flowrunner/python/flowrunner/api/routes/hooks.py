"""Inbound webhooks: called by other systems, listed for the account that they belong to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from flowrunner.api import errors
from flowrunner.api.body_limits import takes_at_most
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, address_of, needs, public, router
from flowrunner.api.shapes import Shown, TheCursors
from flowrunner.api.waiting import wait_for_end
from flowrunner.core.ids import AccountId
from flowrunner.services.hook_paths import METHODS, Hook
from flowrunner.services.hook_values import Answer
from flowrunner.services.hooks import HookCall, WrongMethod
from flowrunner.services.identity import Permission

api = router("triggers")
inbound = router("triggers")

BODY: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "description": "What the sender sends: JSON, a form, text, or anything else, which the flow gets as bytes.",
        "content": {"application/json": {"schema": {}, "example": {"order_id": "A-17"}}, "*/*": {"schema": {}}},
    }
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `respond: sync`: the flow's output; status, headers and body are the flow's to choose.",
        "content": {"*/*": {"schema": {}}},
    },
    202: {
        "description": "A run has been started, or had been by the same message before.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["run_id", "status_url"],
                    "properties": {"run_id": {"type": "string"}, "status_url": {"type": "string"}},
                },
                "example": {"run_id": "018f…", "status_url": "https://flows.example.com/v1/runs/018f…"},
            }
        },
    },
    401: {"description": "The signature is missing, wrong or too old; or the flow's secret does not exist."},
    404: {"description": "There is no hook here, or its flow is out of service."},
    405: {"description": "The hook is called with another method; `Allow` says which."},
    409: {"description": "The flow's `concurrency` has no place left, or flows call each other in a circle."},
    502: {"description": "With `respond: sync`: the run has failed; `details` has its id and error code."},
}


class HookModel(Shown):
    """An inbound webhook of a flow."""

    id: str
    flow_id: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    url: str = Field(
        description="Where it is called; only a path while the setting `public_url` is empty.",
        examples=["https://flows.example.com/hooks/018f…/orders"],
    )
    scheme: str | None = Field(description="How requests are verified; null: anybody may call it.")
    secret: str | None = Field(description="The name of the secret that verifies; never its value.")
    respond: Literal["async", "sync"]


@api.get("/v1/hooks", operation_id="list_hooks", summary="The account's inbound webhooks")
@needs(Permission.SCHEDULES_READ)
def list_hooks(
    caller: Caller, platform: ThePlatform, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> Page[HookModel]:
    """They stand in the documents of flows; those of flows out of service are not in the list."""
    after = cursors.open(caller.account, "hooks", cursor) if cursor else None
    found = platform.hooks.list(caller, after=after, limit=limit + 1)
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, "hooks", page[-1].id) if more else None
    return Page(items=[_model(hook, platform.hooks.url(hook)) for hook in page], next_cursor=next_cursor)


@public
@takes_at_most(lambda settings: settings.hooks.max_body)
async def receive_hook(
    request: Request,
    platform: ThePlatform,
    account: Annotated[str, Path(max_length=128, description="The account that the hook belongs to.")],
    path: Annotated[str, Path(max_length=512, description="The trigger's path.")],
) -> Response:
    """Starts a run of the flow that has the path, when the request is signed as the flow wants it.

    A message that comes again within 72 hours starts nothing and is answered as before: the run of then.
    """
    call = HookCall(
        account=AccountId(account),
        path=path,
        method=request.method,
        headers=_headers(request),
        query=request.url.query,
        body=await request.body(),
        address=address_of(request),
        correlation=errors.correlation_of(request),
    )
    try:
        accepted = await run_in_threadpool(platform.hooks.receive, call)
    except WrongMethod as error:
        allow = {"Allow": ", ".join(error.allowed)}
        return errors.answer(405, error.code, error.message, call.correlation, None, allow)
    if accepted.sync:
        await wait_for_end(platform, accepted.account, accepted.run, platform.settings.hooks.max_wait / 1000)
    answer: Answer = await run_in_threadpool(platform.hooks.reply, accepted)
    return Response(answer.content, answer.status, dict(answer.headers))


for _method in METHODS:
    inbound.add_api_route(
        "/hooks/{account}/{path:path}",
        receive_hook,
        methods=[_method],
        operation_id=f"receive_hook_{_method.lower()}",
        summary=f"Call an inbound webhook with {_method}",
        responses=ANSWERS,
        response_class=Response,
        openapi_extra=BODY if _method not in ("GET", "DELETE") else None,
    )


def _headers(request: Request) -> dict[str, str]:
    """Headers by lower-case name; the values of a repeated one joined by commas (RFC 9110, 5.3)."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _model(hook: Hook, url: str) -> HookModel:
    return HookModel(
        id=hook.id,
        flow_id=hook.flow,
        method=hook.method,
        path=hook.path,
        url=url,
        scheme=hook.scheme,
        secret=hook.secret,
        respond="sync" if hook.sync else "async",
    )
