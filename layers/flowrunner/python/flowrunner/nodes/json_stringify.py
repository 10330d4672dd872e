"""JSON to text."""

from __future__ import annotations

import json

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import ValueTooLarge
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.fields import given

MAX_LENGTH = 32 * 1024 * 1024
"""Characters: indenting a deep value could multiply it by its depth, and no output may be larger anyway."""


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
        value = given(params, "value", ctx.input)
        if params.indent is None:
            return Result(json.dumps(value, sort_keys=params.sort_keys, separators=(",", ":"), ensure_ascii=False))
        return Result(_indented(value, params.indent, sort_keys=params.sort_keys))


def _indented(value: Json, indent: int, *, sort_keys: bool) -> str:
    encoder = json.JSONEncoder(indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    parts, length = [], 0
    for part in encoder.iterencode(value):
        length += len(part)
        if length > MAX_LENGTH:
            raise ValueTooLarge(f"the text has more than {MAX_LENGTH:,} characters", hint="leave `indent` out")
        parts.append(part)
    return "".join(parts)
