"""Waiting for another system."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.nodes.base import Callback, Context, NodeType, Params, Wait
from flowrunner.nodes.fields import Period
from flowrunner.nodes.http_errors import status_error
from flowrunner.nodes.http_sending import USER_AGENT, json_text, merged_headers
from flowrunner.ports.http import HttpRequest

MAX_ANSWER = 64 * 1024
"""Bytes that are read of the answer to the request: it only matters whether it was accepted."""


class CallbackRequest(Params):
    url: str = Field(
        min_length=1,
        max_length=8192,
        description="Where the request goes that tells the other system how to answer.",
    )
    method: Literal["POST", "PUT", "PATCH"] = Field("POST", description="The request's method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers beside the node's own.")
    body: dict[str, Json] = Field(
        default_factory=dict, description="Sent as JSON, with `callback: {token, url}` added."
    )


class WaitCallbackParams(Params):
    timeout: Period | None = Field(
        None, description="A duration after which the action is `timeout`; left out: no end."
    )
    request: CallbackRequest | None = Field(None, description="A request to the system that is to answer.")
    data: Json = Field(None, description="Shown while the step waits.")


class WaitCallbackNode(NodeType[WaitCallbackParams]):
    """Waits until another system calls back with the step's token; what it sends is the output.

    The token goes out with `request`, as `callback.token` and, where the server has a public address,
    `callback.url`. The first answer counts, even one that comes before the request has ended. Without one in
    time the action is `timeout` and the output null. A request that is not answered with 2xx fails the step
    with `HttpStatus:<n>`; 408, 425, 429 and 5xx are retryable, and each attempt has a token of its own.
    """

    name = "wait.callback"
    params = WaitCallbackParams
    category = "flow"
    icon = "webhook"
    slow = False
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
        until = ctx.now() + params.timeout if params.timeout is not None else None
        return Wait(until, None, "timeout", {"data": params.data, "link": callback.url}, callback)


def _send(ctx: Context[WaitCallbackParams], request: CallbackRequest, callback: Callback) -> None:
    body = {**request.body, "callback": {"token": callback.token, "url": callback.url}}
    own = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Idempotency-Key": ctx.run.idempotency_key,
    }
    response = ctx.http.send(
        HttpRequest(
            method=request.method,
            url=request.url,
            headers=tuple(merged_headers(own, request.headers).items()),
            content=json_text(body).encode(),
            timeout=min(30.0, ctx.time_left()),
            max_bytes=MAX_ANSWER,
            allow=ctx.egress,
        )
    )
    if not 200 <= response.status < 300:
        raise status_error(response, ctx.now())
