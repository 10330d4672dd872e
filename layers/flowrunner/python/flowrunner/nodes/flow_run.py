"""Flows that run flows."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, Deferred, NodeType, Params, Result, Wait
from flowrunner.nodes.fields import given, presence


class FlowRunParams(Params):
    flow: str | None = Field(None, min_length=1, max_length=128, description="The name or id of a stored flow.")
    revision: int | None = Field(None, ge=1, description="A revision of it; left out: the newest.")
    inline: Annotated[dict[str, Json] | None, Deferred()] = Field(
        None, description="A flow written here instead; the expressions in it are its own."
    )
    input: Json = Field(None, description="The run's input; left out: the node's input.")
    wait: bool = Field(True, description="false: start it and go on at once.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.flow is None) == (self.inline is None):
            raise presence("give exactly one of `flow` and `inline`")
        if self.inline is not None and self.revision is not None:
            raise presence("`revision` goes with `flow`; an inline flow has none")
        return self


class FlowRunNode(NodeType[FlowRunParams]):
    """Runs another flow and waits for it; its output is the node's.

    Give either `flow` or `inline`. A run that fails or is cancelled fails the step with `CHILD_FAILED`; one
    that cannot start fails it with `FLOW_NOT_FOUND`, `FLOW_INVALID`, `INPUT_INVALID`, `DEPTH_EXCEEDED` or
    `QUOTA_EXCEEDED` (retryable).
    Without waiting the output is `{run_id}`. Flows may run flows 10 levels deep. Cancelling a run cancels
    the runs it waits for.
    """

    name = "flow.run"
    params = FlowRunParams
    category = "flow"
    icon = "workflow"
    slow = False
    example = """\
type: flow.run
params:
  input: {x: 2}
  inline:
    metadata: {name: doubled}
    nodes: {double: {type: transform, params: {value: "${input.x * 2}"}}}
"""

    def execute(self, ctx: Context[FlowRunParams]) -> Result | Wait:
        params = ctx.params
        run = ctx.children.start(
            flow=params.flow,
            revision=params.revision,
            document=params.inline,
            input=given(params, "input", ctx.input),
            signal_parent=params.wait,
        )
        return Wait(child=run, data={"run_id": run}) if params.wait else Result({"run_id": run})
