"""Signed notifications to other systems."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.fields import Duration
from flowrunner.nodes.http_errors import read_body, status_error
from flowrunner.nodes.http_sending import USER_AGENT, json_text, merged_headers
from flowrunner.ports.http import HttpRequest

SIGNATURE_HEADERS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})
MAX_ANSWER = 1024 * 1024
SHOWN_BYTES = 1024
"""How much of a refusal is kept: receivers are strangers."""


class WebhookParams(Params):
    """Parameters of `webhook`."""

    url: str = Field(min_length=1, max_length=8192, description="http:// or https://")
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    body: Json = Field(None, description="Sent as JSON; left out: the node's input.")
    headers: dict[str, str] = Field(default_factory=dict)
    secret: str | None = Field(None, description="A signing key (whsec_…) with which the request is signed.")
    timeout: Duration = Field(15_000, gt=0, le=30_000, description="At most 30s.", json_schema_extra={"default": "15s"})

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if "secret" in self.model_fields_set and not self.secret:
            raise ValueError("`secret` is there but empty; leave it out to send without a signature")
        taken = sorted(name for name in self.headers if name.lower() in SIGNATURE_HEADERS)
        if taken:
            raise ValueError(f"the header {taken[0]} is made by the signature; give a `secret` instead")
        return self


class WebhookOutput(Output):
    """What the receiver answered."""

    status: int
    body: Json = Field(description="A value, a text, {$bytes: base64}, or null when there is none.")


class WebhookNode(NodeType[WebhookParams]):
    """Sends JSON to a URL, signed by the Standard Webhooks scheme when a `secret` is given.

    Only a 2xx answer is success, and redirects are not followed; another status fails the step with
    `HttpStatus:<n>`, of which 408, 425, 429 and 5xx are retryable. The message id (`webhook-id`) is the same
    on every retry, so that the receiver can drop repeats. 410 means that the receiver wants no more, and is
    not retried.
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
        body = json_text(params.body if "body" in params.model_fields_set else ctx.input)
        headers = merged_headers(
            {
                "Content-Type": "application/json",
                "User-Agent": USER_AGENT,
                "Idempotency-Key": ctx.run.idempotency_key,
            },
            params.headers,
            _signature(ctx, body),
        )
        response = ctx.http.send(
            HttpRequest(
                method=params.method,
                url=params.url,
                headers=tuple(headers.items()),
                content=body.encode(),
                timeout=min(params.timeout / 1000, ctx.time_left()),
                max_bytes=MAX_ANSWER,
                allow=ctx.egress,
            )
        )
        if not 200 <= response.status < 300:
            raise status_error(response, ctx.now(), SHOWN_BYTES)
        return Result({"status": response.status, "body": read_body(response, "auto")})


def _signature(ctx: Context[WebhookParams], body: str) -> dict[str, str]:
    """The headers of the Standard Webhooks specification; none without a secret.

    The time is that of this attempt, the id that of the message: it stays the same and has no dot, which
    separates the parts of what is signed.
    """
    if ctx.params.secret is None:
        return {}
    from standardwebhooks import Webhook

    moment = datetime.fromtimestamp(ctx.now() // 1000, UTC)
    message = "msg_" + hashlib.sha256(ctx.run.idempotency_key.encode()).hexdigest()[:32]
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(signing_key(ctx.params.secret)).sign(message, moment, body),
    }


def signing_key(secret: str) -> bytes:
    """The key in a `whsec_…`. Raises `ParamsInvalid`: a key that is misread would sign with something
    guessable.
    """
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ParamsInvalid(
            "secret: is no signing key",
            hint="it is whsec_ and 24 to 64 random bytes in base64 (Standard Webhooks)",
        )
    return key
