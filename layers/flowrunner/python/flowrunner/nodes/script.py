"""JavaScript as a node's work."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, NodeType, Params, Result


class ScriptParams(Params):
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    source: str | None = Field(
        None,
        description="The body of a function, with the scope of an exec hook; left out beside that hook.",
    )


class ScriptNode(NodeType[ScriptParams]):
    """Runs JavaScript in the sandbox; what it returns is the output.

    The code is an `exec` hook, or the parameter `source`. All other parameters are yours: the code finds
    them in `params`, evaluated. In `source`, as in every parameter, `${…}` is an expression of the flow that
    is evaluated before the code runs: write `$${…}` where JavaScript's own template literals are meant, or
    use the hook, which is taken as written.
    """

    name = "script"
    params = ScriptParams
    category = "data"
    icon = "braces"
    slow = False
    pure = True
    example = """\
type: script
params: {prices: [3, 4]}
hooks:
  exec: |
    return { total: params.prices.reduce((sum, price) => sum + price, 0) };
"""

    def execute(self, ctx: Context[ScriptParams]) -> Result:
        source = ctx.params.source
        if source is None or not source.strip():
            raise ParamsInvalid("a script node needs an exec hook or the parameter `source`")
        return Result(ctx.script(source, {}))
