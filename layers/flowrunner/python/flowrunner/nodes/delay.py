"""Letting time pass."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from flowrunner.core.durations import MAX_DURATION, parse_duration
from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, NodeType, Params, Wait


class DelayParams(Params):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    for_: Json = Field(None, alias="for", description="A duration: 500ms, 20s, 5m, 2h, 1d, or seconds.")
    until: str | None = Field(None, description="A moment (RFC 3339) with its time zone: 2030-01-31T09:00:00Z.")

    @field_validator("for_")
    @classmethod
    def _duration(cls, value: Json) -> Json:
        return None if value is None else parse_duration(value)

    @field_validator("until")
    @classmethod
    def _moment(cls, value: str | None) -> str | None:
        if value is not None and datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("the moment needs a time zone, such as Z or +01:00")
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("give exactly one of `for` and `until`")
        return self


class DelayNode(NodeType[DelayParams]):
    """Waits for a time, or until a moment, without holding a worker.

    The output is the node's input. A moment that has passed does not wait at all.
    """

    name = "delay"
    params = DelayParams
    category = "flow"
    icon = "clock"
    pure = True
    quick = True
    example = """\
type: delay
params: {for: 10ms}
"""

    def execute(self, ctx: Context[DelayParams]) -> Wait:
        now = ctx.now()
        if ctx.params.until is not None:
            until = int(datetime.fromisoformat(ctx.params.until).timestamp() * 1000)
        else:
            until = now + int(ctx.params.for_)
        if until - now > MAX_DURATION:
            raise ParamsInvalid("a delay is at most 400 days")
        return Wait(until=max(until, 1), output=ctx.input)
