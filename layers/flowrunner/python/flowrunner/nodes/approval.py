"""A person decides."""

from __future__ import annotations

from pydantic import Field, field_validator

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result, Wait


class ApprovalParams(Params):
    message: str = Field(description="What is to be decided, for the person who decides.")
    approvers: list[str] = Field(default_factory=list, description="Who is asked; shown, and checked by the server.")
    timeout: Json = Field(None, description="A duration after which the action is `timeout`; left out: no end.")
    data: Json = Field(None, description="Shown with the question.")

    @field_validator("timeout")
    @classmethod
    def _duration(cls, value: Json) -> Json:
        return None if value is None else parse_duration(value)


class ApprovalOutput(Output):
    approved: bool
    by: str | None = None
    comment: str | None = None


class ApprovalNode(NodeType[ApprovalParams]):
    """Waits until somebody approves or rejects.

    The actions are `approved`, `rejected` and, when nobody answers in time, `timeout`. Answer it in the terminal that
    runs the flow, with `flowrunner answer`, or by the link in the step's data.
    """

    name = "approval"
    params = ApprovalParams
    output = ApprovalOutput
    category = "people"
    icon = "user-check"
    actions = ("approved", "rejected", "timeout")
    example = """\
type: approval
params: {message: "Pay 1,200 € to ACME?", timeout: 2d}
"""

    def execute(self, ctx: Context[ApprovalParams]) -> Wait:
        params = ctx.params
        callback = ctx.callback()
        until = ctx.now() + int(params.timeout) if params.timeout is not None else None
        data = {"message": params.message, "approvers": params.approvers, "data": params.data, "link": callback.url}
        unanswered = {"approved": False, "by": None, "comment": None}
        return Wait(until, unanswered, "timeout", data, callback)

    def answered(self, payload: Json) -> Result:
        if not isinstance(payload, dict) or not isinstance(payload.get("approved"), bool):
            raise StepError(
                "an approval is answered with {approved: true or false, by, comment}", code="ANSWER_INVALID"
            )
        by, comment = payload.get("by"), payload.get("comment")
        output = {"approved": payload["approved"], "by": by, "comment": comment}
        return Result(output, "approved" if payload["approved"] else "rejected")
