"""A fork in the road."""

from __future__ import annotations

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.fields import truthy


class ConditionParams(Params):
    if_: Json = Field(alias="if", description="Usually an expression; judged as JavaScript does.")


class ConditionNode(NodeType[ConditionParams]):
    """Goes on by the action `true` or `false`.

    The output is the node's input, so that what follows works on the same data. As in JavaScript `null`,
    `false`, `0` and the empty text are false; empty lists and objects are true, and so is the text
    `"false"`.
    """

    name = "condition"
    params = ConditionParams
    category = "flow"
    icon = "split"
    actions = ("true", "false")
    pure = True
    quick = True
    example = """\
type: condition
params: {if: "${input.total > 100}"}
"""

    def execute(self, ctx: Context[ConditionParams]) -> Result:
        return Result(ctx.input, "true" if truthy(ctx.params.if_) else "false")
