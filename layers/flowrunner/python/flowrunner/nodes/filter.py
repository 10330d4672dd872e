"""Keeping what fits."""

from __future__ import annotations

from pydantic import Field

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.nodes.base import Context, Expression, NodeType, Params, Result
from flowrunner.nodes.fields import given, truthy


class FilterParams(Params):
    where: Expression = Field(description="An expression that sees `item` and `index`; what it holds for is kept.")
    items: Json = Field(None, description="The list, or the one value; left out: the node's input.")


class FilterNode(NodeType[FilterParams]):
    """Keeps the items of a list for which an expression holds, or stops the branch for one value.

    A list gives the list of kept items by the action `default`, even if none is kept. Any other value is
    tested as a whole: if the expression holds it goes on unchanged by `default`; if not, the action is
    `rejected` and the output null, so that a branch without an edge for `rejected` ends there.
    """

    name = "filter"
    params = FilterParams
    category = "data"
    icon = "filter"
    actions = (DEFAULT, "rejected")
    pure = True
    quick = True
    example = """\
type: filter
params:
  items: [3, 8, 12]
  where: ${item > 5}
"""

    def execute(self, ctx: Context[FilterParams]) -> Result:
        value = given(ctx.params, "items", ctx.input)
        items = value if isinstance(value, list) else [value]
        holds = ctx.evaluate_each(ctx.params.where, items)
        kept = [item for item, keep in zip(items, holds, strict=True) if truthy(keep)]
        if isinstance(value, list):
            return Result(kept)
        return Result(value) if kept else Result(None, "rejected")
