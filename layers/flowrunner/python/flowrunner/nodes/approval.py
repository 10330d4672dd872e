"""A person decides."""

from __future__ import annotations

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result, Wait
from flowrunner.nodes.fields import Period, kind

MAX_BY = 256
MAX_COMMENT = 10_000


class ApprovalParams(Params):
    message: str = Field(
        min_length=1, max_length=MAX_COMMENT, description="What is to be decided, for the person who decides."
    )
    approvers: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Who is asked. Shown, not checked: the link decides.",
    )
    timeout: Period | None = Field(
        None, description="A duration after which the action is `timeout`; left out: no end."
    )
    data: Json = Field(None, description="Shown with the question.")


class ApprovalOutput(Output):
    approved: bool = Field(description="The decision; false after a timeout.")
    by: str | None = Field(None, description="Who decided, as the answer says.")
    comment: str | None = Field(None, description="What they said about it.")


class ApprovalNode(NodeType[ApprovalParams]):
    """Waits until somebody approves or rejects.

    The actions are `approved`, `rejected` and, when nobody answers in time, `timeout`. Answer it in the
    terminal that runs the flow, with `flowrunner answer`, or by the link in the step's data. An answer is
    `{approved: true or false, by, comment}`; anything else fails the step with `ANSWER_INVALID`.
    """

    name = "approval"
    params = ApprovalParams
    output = ApprovalOutput
    category = "people"
    icon = "user-check"
    slow = False
    actions = ("approved", "rejected", "timeout")
    example = """\
type: approval
params: {message: "Pay 1,200 € to ACME?", timeout: 2d}
"""

    def execute(self, ctx: Context[ApprovalParams]) -> Wait:
        params = ctx.params
        callback = ctx.callback()
        until = ctx.now() + params.timeout if params.timeout is not None else None
        data = {
            "message": params.message,
            "approvers": params.approvers,
            "data": params.data,
            "link": callback.url,
        }
        return Wait(until, {"approved": False, "by": None, "comment": None}, "timeout", data, callback)

    def answered(self, payload: Json) -> Result:
        if not isinstance(payload, dict) or not isinstance(payload.get("approved"), bool):
            raise _unusable("an approval is answered with {approved: true or false, by, comment}")
        output = {
            "approved": payload["approved"],
            "by": _said(payload, "by", MAX_BY),
            "comment": _said(payload, "comment", MAX_COMMENT),
        }
        return Result(output, "approved" if payload["approved"] else "rejected")


def _said(payload: dict[str, Json], name: str, most: int) -> str | None:
    value = payload.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _unusable(f"`{name}` of an approval's answer is a text, not {kind(value)}")
    if len(value) > most:
        raise _unusable(f"`{name}` of an approval's answer has at most {most:,} characters")
    return value


def _unusable(message: str) -> StepError:
    return StepError(message, code="ANSWER_INVALID")
