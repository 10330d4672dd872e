"""A fork with many ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.collections import same
from flowrunner.nodes.fields import given, truthy

Action = Annotated[str, Field(min_length=1, max_length=64)]


class Case(Params):
    when: Json = Field(description="Usually an expression; the first case that holds is taken.")
    then: Action = Field(description="The action.")


class SwitchParams(Params):
    value: Json = Field(
        None,
        description="What the cases are compared with, when they are an object; left out: the node's input.",
    )
    cases: Annotated[dict[Action, Json], Field(min_length=1)] | Annotated[list[Case], Field(min_length=1)] = Field(
        description="An object of action and value, compared with `value`; or a list of `{when, then}`."
    )


class SwitchNode(NodeType[SwitchParams]):
    """Goes on by the action of the first case that fits, else by `default`.

    The output is the node's input. Values are compared as JSON: `1` is not `"1"`, `1` is `1.0`, and the
    order of an object's fields does not matter. A `when` is judged as JavaScript does.
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
            return (*dict.fromkeys(texts), DEFAULT) if len(texts) == len(cases) else None
        return None

    def execute(self, ctx: Context[SwitchParams]) -> Result:
        cases = ctx.params.cases
        if isinstance(cases, dict):
            value = given(ctx.params, "value", ctx.input)
            action = next((name for name, wanted in cases.items() if same(wanted, value)), DEFAULT)
        else:
            action = next((case.then for case in cases if truthy(case.when)), DEFAULT)
        return Result(ctx.input, action)
