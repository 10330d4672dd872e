"""Waiting for another system."""

from __future__ import annotations

import json

from pydantic import Field, field_validator

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import DEFAULT, Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Callback, Context, NodeType, Params, Wait
from flowrunner.ports.http import HttpRequest


class CallbackRequest(Params):
    url: str = Field(description="Where the request goes that tells the other system how to answer.")
    method: str = Field("POST", pattern=r"^(POST|PUT|PATCH)$")
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Json] = Field(
        default_factory=dict, description="Sent as JSON, with `callback: {token, url}` added."
    )


class WaitCallbackParams(Params):
    timeout: Json = Field(None, description="A duration after which the action is `timeout`; left out: no end.")
    request: CallbackRequest | None = Field(None, description="A request to the system that is to answer.")
    data: Json = Field(None, description="Shown while the step waits.")

    @field_validator("timeout")
    @classmethod
    def _duration(cls, value: Json) -> Json:
        return None if value is None else parse_duration(value)


class WaitCallbackNode(NodeType[WaitCallbackParams]):
    """Waits until another system calls back with the step's token; what it sends is the output.

    The token goes out with `request`, as `callback.token` and, where the server has a public address,
    `callback.url`. The first answer counts. Without one in time the action is `timeout` and the output null.
    """

    name = "wait.callback"
    params = WaitCallbackParams
    category = "flow"
    icon = "webhook"
    actions = (DEFAULT, "timeout")
    example = """\
type: wait.callback
params: {timeout: 1h}
"""

    def execute(self, ctx: Context[WaitCallbackParams]) -> Wait:
        params = ctx.params
        callback = ctx.callback()
        if params.request is not None:
            _send(ctx, params.request, callback)
        until = ctx.now() + int(params.timeout) if params.timeout is not None else None
        return Wait(until, None, "timeout", {"data": params.data, "link": callback.url}, callback)


def _send(ctx: Context[WaitCallbackParams], request: CallbackRequest, callback: Callback) -> None:
    body = {**request.body, "callback": {"token": callback.token, "url": callback.url}}
    headers = {"Content-Type": "application/json", "Idempotency-Key": ctx.run.idempotency_key, **request.headers}
    response = ctx.http.send(
        HttpRequest(
            method=request.method,
            url=request.url,
            headers=tuple(headers.items()),
            content=json.dumps(body).encode(),
            timeout=min(30.0, ctx.time_left()),
            allow=ctx.egress,
        )
    )
    if not 200 <= response.status < 300:
        raise StepError(
            f"{request.url} answered {response.status} to the request",
            code=f"HttpStatus:{response.status}",
            retryable=response.status >= 500 or response.status in (408, 425, 429),
            status=response.status,
        )
