"""Signed notifications to other systems."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.http_errors import read_body, status_error
from flowrunner.ports.http import HttpRequest

Duration = Annotated[int, BeforeValidator(parse_duration)]


class WebhookParams(Params):
    url: str = Field(min_length=1, max_length=8192)
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    body: Json = Field(None, description="Sent as JSON; left out: the node's input.")
    headers: dict[str, str] = Field(default_factory=dict)
    secret: str | None = Field(None, description="A signing key (whsec_…); the request is signed with it.")
    timeout: Duration = Field(15_000, gt=0, le=30_000)


class WebhookOutput(Output):
    status: int
    body: Json


class WebhookNode(NodeType[WebhookParams]):
    """Sends JSON to a URL, signed by the Standard Webhooks scheme when a `secret` is given.

    Only a 2xx answer is success; redirects are not followed. The message id (`webhook-id`) is the same on every retry,
    so that the receiver can drop repeats. 410 means that the receiver wants no more, and is not retried.
    """

    name = "webhook"
    params = WebhookParams
    output = WebhookOutput
    category = "network"
    icon = "send"
    example = """\
type: webhook
params: {url: "https://example.com/hook", secret: "${secrets.HOOK_KEY}"}
"""

    def execute(self, ctx: Context[WebhookParams]) -> Result:
        params = ctx.params
        payload = params.body if "body" in params.model_fields_set else ctx.input
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "flowrunner",
            "Idempotency-Key": ctx.run.idempotency_key,
            **params.headers,
            **_signature(ctx, body),
        }
        response = ctx.http.send(
            HttpRequest(
                method=params.method,
                url=params.url,
                headers=tuple(headers.items()),
                content=body.encode(),
                timeout=min(params.timeout / 1000, ctx.time_left()),
                max_bytes=1024 * 1024,
                allow=ctx.egress,
            )
        )
        if not 200 <= response.status < 300:
            raise status_error(response, ctx.now())
        return Result({"status": response.status, "body": read_body(response, "auto")})


def _signature(ctx: Context[WebhookParams], body: str) -> dict[str, str]:
    """The headers of the Standard Webhooks specification; none without a secret."""
    if ctx.params.secret is None:
        return {}
    from standardwebhooks import Webhook

    moment = datetime.fromtimestamp(ctx.now() / 1000, UTC)
    message_id = f"msg_{ctx.run.idempotency_key}"
    try:
        signature = Webhook(ctx.params.secret).sign(message_id, moment, body)
    except (ValueError, RuntimeError):
        raise ParamsInvalid("secret: is no signing key; it is `whsec_` and base64") from None
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }
