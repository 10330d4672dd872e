"""Text to JSON."""

from __future__ import annotations

import json

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result

MAX_DEPTH = 128


class JsonParseParams(Params):
    text: Json = Field(None, description="The JSON text; left out: the node's input.")


class JsonParseNode(NodeType[JsonParseParams]):
    """Reads a JSON text (RFC 8259); the value is the output.

    Text that is not JSON fails with `JSON_INVALID`, naming line and column.
    """

    name = "json.parse"
    params = JsonParseParams
    aliases = ("json_parse",)
    category = "data"
    icon = "file-json"
    pure = True
    quick = True
    example = """\
type: json.parse
params: {text: '{"a": [1, 2]}'}
"""

    def execute(self, ctx: Context[JsonParseParams]) -> Result:
        text = ctx.params.text if "text" in ctx.params.model_fields_set else ctx.input
        if not isinstance(text, str):
            raise StepError(f"json.parse takes a text, not {type(text).__name__}", code="JSON_INVALID")
        return Result(parse_json(text))


def parse_json(text: str) -> Json:
    """The value of a JSON text. Raises `StepError` with code `JSON_INVALID`; NaN and the like are no JSON."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise StepError(
            f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})",
            code="JSON_INVALID",
            line=error.lineno,
            column=error.colno,
        ) from None
    except ValueError as error:
        raise StepError(f"not JSON: {error}", code="JSON_INVALID") from None
    except RecursionError:
        raise StepError("not JSON for us: it is nested too deeply", code="JSON_INVALID") from None
    _check_depth(value)
    return value


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON value")


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise StepError(f"not JSON for us: it is nested deeper than {MAX_DEPTH}", code="JSON_INVALID")
