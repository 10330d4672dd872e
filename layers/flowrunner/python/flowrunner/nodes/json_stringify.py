"""JSON to text."""

from __future__ import annotations

import json

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Params, Result


class JsonStringifyParams(Params):
    value: Json = Field(None, description="The value; left out: the node's input.")
    indent: int | None = Field(None, ge=0, le=16, description="Spaces per level; left out: one compact line.")
    sort_keys: bool = Field(False, description="Whether object keys are sorted.")


class JsonStringifyNode(NodeType[JsonStringifyParams]):
    """Writes a value as JSON text; the text is the output."""

    name = "json.stringify"
    params = JsonStringifyParams
    aliases = ("json_stringify",)
    category = "data"
    icon = "file-text"
    pure = True
    quick = True
    example = """\
type: json.stringify
params: {value: {b: 1, a: [true]}, sort_keys: true}
"""

    def execute(self, ctx: Context[JsonStringifyParams]) -> Result:
        params = ctx.params
        value = params.value if "value" in params.model_fields_set else ctx.input
        separators = (",", ":") if params.indent is None else (",", ": ")
        text = json.dumps(value, indent=params.indent, sort_keys=params.sort_keys, separators=separators, ensure_ascii=False)
        return Result(text)
