"""Letting time pass."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, field_validator, model_validator

from flowrunner.core.durations import MAX_DURATION
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, NodeType, Params, Wait
from flowrunner.nodes.fields import Duration, presence


class DelayParams(Params):
    for_: Duration | None = Field(None, alias="for", description="A duration: 500ms, 20s, 5m, 2h, 1d, or seconds.")
    until: str | None = Field(None, description="A moment (RFC 3339) with its time zone: `2030-01-31T09:00:00Z`.")

    @field_validator("until")
    @classmethod
    def _moment(cls, value: str | None) -> str | None:
        if value is not None:
            moment_of(value)
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.for_ is None) == (self.until is None):
            raise presence("give exactly one of `for` and `until`")
        return self


class DelayNode(NodeType[DelayParams]):
    """Waits for a time, or until a moment, without holding a worker.

    Give either `for` or `until`. The output is the node's input. A moment that has passed does not wait at
    all; a wait is at most 400 days.
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
            until = max(int(moment_of(ctx.params.until).timestamp() * 1000), now)
        else:
            until = now + (ctx.params.for_ or 0)
        if until - now > MAX_DURATION:
            raise ParamsInvalid(f"until: {ctx.params.until} is more than 400 days away; a delay is at most that")
        return Wait(until=until, output=ctx.input)


def moment_of(text: str) -> datetime:
    """The moment of an RFC 3339 text. Raises `ValueError` with words for its author."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a moment is written like 2030-01-31T09:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a moment needs its time zone, such as Z or +01:00")
    return moment
