"""Telling people."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.http_errors import status_error
from flowrunner.ports.http import HttpRequest

SLACK_URL = "${secrets.SLACK_WEBHOOK_URL}"


class NotificationParams(Params):
    channel: Literal["slack", "webhook"] = Field(description="slack: an incoming webhook; webhook: JSON to a URL.")
    message: str = Field(min_length=1, max_length=40_000)
    url: str = Field(min_length=1, description="slack: left out, the secret SLACK_WEBHOOK_URL.")
    title: str | None = None
    blocks: list[Json] | None = Field(None, description="slack: Block Kit blocks.")
    data: Json = Field(None, description="webhook: sent beside the message.")


class NotificationOutput(Output):
    channel: str
    status: int


class NotificationNode(NodeType[NotificationParams]):
    """Sends a message to people: to Slack, or as JSON to a URL.

    Slack messages go to an incoming webhook, whose address is a credential: it is read from the secret
    `SLACK_WEBHOOK_URL` unless `url` says otherwise.
    """

    name = "notification"
    params = NotificationParams
    output = NotificationOutput
    category = "people"
    icon = "bell"
    example = """\
type: notification
params: {channel: slack, message: "Order ${input.order_id} has shipped"}
"""

    @classmethod
    def complete(cls, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("channel") == "slack" and not params.get("url"):
            return {**params, "url": SLACK_URL}
        return params

    def execute(self, ctx: Context[NotificationParams]) -> Result:
        params = ctx.params
        response = ctx.http.send(
            HttpRequest(
                method="POST",
                url=params.url,
                headers=(
                    ("Content-Type", "application/json"),
                    ("User-Agent", "flowrunner"),
                    ("Idempotency-Key", ctx.run.idempotency_key),
                ),
                content=json.dumps(_slack(params) if params.channel == "slack" else _plain(ctx)).encode(),
                timeout=min(15.0, ctx.time_left()),
                max_bytes=1024 * 1024,
                allow=ctx.egress,
            )
        )
        if not 200 <= response.status < 300:
            raise status_error(response, ctx.now())
        return Result({"channel": params.channel, "status": response.status})


def _slack(params: NotificationParams) -> dict[str, Json]:
    text = f"*{params.title}*\n{params.message}" if params.title else params.message
    return {"text": text, "blocks": params.blocks} if params.blocks else {"text": text}


def _plain(ctx: Context[NotificationParams]) -> dict[str, Json]:
    params = ctx.params
    return {
        "title": params.title,
        "message": params.message,
        "data": params.data,
        "run": ctx.run.id,
        "flow": ctx.run.flow,
        "node": ctx.node,
    }
