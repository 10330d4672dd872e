"""Putting events onto buses of Amazon EventBridge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import AwareDatetime, Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.aws_client import THROTTLED, AwsParams, client
from flowrunner.nodes.base import Context, NodeType, Output, Params
from flowrunner.nodes.fields import kind, presence
from flowrunner.nodes.http_sending import json_text

BATCH = 10
"""Entries of one request (EventBridge quotas)."""


class Event(Params):
    """One event."""

    source: str = Field(min_length=1, max_length=256, description="Who says it, like com.example.shop.")
    detail_type: str = Field(min_length=1, max_length=128, description="What happened.")
    detail: dict[str, Json] = Field({}, description="More about it.")
    resources: list[str] = Field([], max_length=100, description="ARNs of what it is about.")
    time: AwareDatetime | None = Field(None, description="When; left out: now.")
    bus: str | None = Field(None, min_length=1, max_length=1600, description="Another bus, by name or ARN.")


class AwsEventBridgeParams(AwsParams):
    """Parameters of `aws.eventbridge`."""

    bus: str = Field("default", min_length=1, max_length=1600, description="The bus, by name or ARN.")
    source: str | None = Field(None, min_length=1, max_length=256, description="Who says it, like com.example.shop.")
    detail_type: str | None = Field(None, min_length=1, max_length=128, description="What happened.")
    detail: dict[str, Json] | None = Field(None, description="More about it, an object; left out: the node's input.")
    resources: list[str] = Field([], max_length=100, description="ARNs of what it is about.")
    time: AwareDatetime | None = Field(None, description="When it happened; left out: now.")
    events: list[Event] | None = Field(None, min_length=1, max_length=1_000, description="Instead: several.")

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        own = {"source", "detail_type", "detail", "resources", "time"} & self.model_fields_set
        if self.events is not None and own:
            raise presence("with `events`, each of them has its own `source`, `detail_type` and `detail`")
        if self.events is None and (self.source is None or self.detail_type is None):
            raise presence("give `source` and `detail_type`, or `events`")
        return self


class AwsEventBridgeOutput(Output):
    """What EventBridge said."""

    event_ids: list[str] = Field(description="Of each event, in their order.")


class AwsEventBridgeNode(NodeType[AwsEventBridgeParams]):
    """Puts events onto a bus of Amazon EventBridge.

    When some of `events` were not taken, the step fails with the code of the first that was not; its details say which,
    and a retry sends all of them again.

    The credentials are the flow's own, never those of the server. What AWS refuses fails the step with `Aws:<Code>`
    (retryable when it throttles or is broken); an answer that is none of AWS, with `InvalidResponse`; no connection,
    with `HttpConnect`, and too late, with `NodeTimeout` (both retryable). Each request goes through the egress guard
    (`EGRESS_DENIED`).
    """

    name = "aws.eventbridge"
    params = AwsEventBridgeParams
    output = AwsEventBridgeOutput
    category = "network"
    icon = "radio"
    example = """\
type: aws.eventbridge
params:
  region: eu-west-1
  credentials: {access_key_id: "${secrets.AWS_KEY_ID}", secret_access_key: "${secrets.AWS_SECRET_KEY}"}
  source: com.example.shop
  detail_type: order paid
  detail: {order: "${input.id}"}
"""

    def execute(self, ctx: Context[AwsEventBridgeParams]) -> AwsEventBridgeOutput:
        params = ctx.params
        if params.events is not None:
            events = params.events
        else:
            detail = ctx.input if params.detail is None else params.detail
            if not isinstance(detail, dict):
                raise StepError(f"`detail` is an object, and the input is {kind(detail)}", code="INPUT_INVALID")
            events = [
                Event(
                    source=params.source or "",
                    detail_type=params.detail_type or "",
                    detail=detail,
                    resources=params.resources,
                    time=params.time,
                )
            ]
        now = datetime.fromtimestamp(ctx.now() / 1000, UTC)
        entries = [_entry(event, params.bus, now) for event in events]
        ids: list[str] = []
        with client(ctx, "events") as aws:
            for start in range(0, len(entries), BATCH):
                answer = aws.put_events(Entries=entries[start : start + BATCH])
                ids += _taken(answer["Entries"], start)
        return AwsEventBridgeOutput(event_ids=ids)


def _entry(event: Event, bus: str, now: datetime) -> dict[str, Any]:
    return {
        "EventBusName": event.bus or bus,
        "Source": event.source,
        "DetailType": event.detail_type,
        "Detail": json_text(event.detail),
        "Resources": event.resources,
        "Time": event.time or now,
    }


def _taken(answered: list[dict[str, Any]], start: int) -> list[str]:
    """The ids. Raises `StepError` when an event was refused."""
    failed = [index for index, one in enumerate(answered) if one.get("ErrorCode")]
    if failed:
        code = str(answered[failed[0]]["ErrorCode"])
        raise StepError(
            f"AWS: event {start + failed[0]} was refused: {str(answered[failed[0]].get('ErrorMessage') or code)[:500]}",
            code=f"Aws:{code[:100]}",
            retryable=code in THROTTLED,
            failed=[start + index for index in failed],
        )
    return [one["EventId"] for one in answered]
