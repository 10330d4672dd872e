"""A fork with many ways."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.nodes.base import Context, NodeType, Params, Result


class Case(Params):
    when: Json = Field(description="Usually an expression; the first case that holds is taken.")
    then: str = Field(min_length=1, description="The action.")


class SwitchParams(Params):
    value: Json = Field(None, description="What the cases are compared with, when they are an object.")
    cases: dict[str, Json] | list[Case] = Field(
        description="An object of action and value, compared with `value`; or a list of `{when, then}`."
    )


class SwitchNode(NodeType[SwitchParams]):
    """Goes on by the action of the first case that fits, else by `default`.

    The output is the node's input. Values are compared as JSON: `1` is not `"1"`.
    """

    name = "switch"
    params = SwitchParams
    category = "flow"
    icon = "signpost"
    actions = None
    pure = True
    quick = True
    example = """\
type: switch
params:
  value: ${input.country}
  cases: {domestic: DE, nordic: SE}
"""

    @classmethod
    def actions_for(cls, params: Mapping[str, Json]) -> tuple[str, ...] | None:
        cases = params.get("cases")
        if isinstance(cases, dict):
            return (*cases, DEFAULT)
        if isinstance(cases, list):
            named = [case.get("then") for case in cases if isinstance(case, dict)]
            texts = [name for name in named if isinstance(name, str) and "${" not in name]
            return (*texts, DEFAULT) if len(texts) == len(cases) else None
        return None

    def execute(self, ctx: Context[SwitchParams]) -> Result:
        cases = ctx.params.cases
        if isinstance(cases, dict):
            action = next((name for name, value in cases.items() if same(value, ctx.params.value)), DEFAULT)
        else:
            action = next((case.then for case in cases if case.when or isinstance(case.when, list | dict)), DEFAULT)
        return Result(ctx.input, action)


def same(left: Json, right: Json) -> bool:
    """Equal as JSON: numbers by value, and true is no number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
