"""Expressions that are being written, evaluated with the values of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flowrunner.api.routes.runs import TheRun
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Shown, Wish
from flowrunner.api.shortened import shortened
from flowrunner.core.flow import Json
from flowrunner.core.ids import NodeId, RunId
from flowrunner.engine.preview import Question
from flowrunner.errors import StepError, ValueLost
from flowrunner.services.identity import Permission

api = router("runs")

NODES = 100

NodeName = Annotated[str, Field(min_length=1, max_length=64)]


class EvaluateWish(Wish):
    """An expression, and where it stands in the flow."""

    value: Json = Field(description="A value with expressions in it.", examples=["${nodes.fetch.output.status}"])
    node: NodeName | None = Field(None, description="The node that it belongs to: decides what `prev` is.")
    after: list[NodeName] = Field(
        default_factory=list,
        max_length=NODES,
        description="For a node that the run does not know: those that it follows.",
    )
    join: bool = Field(False, description="Such a node waits for all of `after`.")
    each: Json = Field(
        None, description="A list, or an expression that gives one: `item` is one of it.", examples=[[1]]
    )
    alias: str = Field("item", pattern=r"^[A-Za-z_]\w{0,63}$", description="What `item` is called as well.")
    index: int = Field(0, ge=0, le=2**31 - 1, description="Which item of `each`.")


class EvaluateError(Shown):
    """Why an expression has no value."""

    code: str = Field(examples=["EXPRESSION_ERROR"])
    message: str


class EvaluateAnswer(Shown):
    """What an expression would give."""

    value: Json
    cut: bool = Field(description="The value is larger than what is shown of it.")
    error: EvaluateError | None


@api.post("/v1/runs/{run_id}/evaluate", operation_id="evaluate_expression", summary="Try an expression on a run")
@needs(Permission.FLOWS_WRITE)
def evaluate_expression(caller: Caller, platform: ThePlatform, run_id: TheRun, wish: EvaluateWish) -> EvaluateAnswer:
    """With the values that the run has now. Secrets are masked before the expression sees them.

    The answer is 200 for an expression that fails, too. Needs `runs:read` as well.
    """
    question = Question(
        value=wish.value,
        node=NodeId(wish.node) if wish.node is not None else None,
        after=[NodeId(one) for one in wish.after],
        join=wish.join,
        each=wish.each,
        alias=wish.alias,
        index=wish.index,
    )
    try:
        value = platform.runs.evaluate(caller, RunId(run_id), question)
    except (StepError, ValueLost) as error:
        return EvaluateAnswer(value=None, cut=False, error=EvaluateError(code=error.code, message=error.message))
    shown, cut = shortened(value)
    return EvaluateAnswer(value=shown, cut=cut, error=None)
