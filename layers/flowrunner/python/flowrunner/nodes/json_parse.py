"""Text to JSON."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.fields import given, kind

MAX_DEPTH = 128
MAX_LENGTH = 16 * 1024 * 1024
"""Characters. A value takes up to twenty times the memory of its text, and the worker serves others too."""

MAX_INTEGER_DIGITS = 19
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,:\[\]{}"]+')
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class JsonParseParams(Params):
    text: Json = Field(None, description="The JSON text, or its bytes; left out: the node's input.")


class JsonParseNode(NodeType[JsonParseParams]):
    """Reads a JSON text (RFC 8259); the value is the output.

    Text that is not JSON fails with `JSON_INVALID`, naming line and column. So does what no store and no
    script could keep as it is: NaN and infinities, integers outside 64 bits, lone surrogates, nesting deeper
    than 128, and text of more than 16 Mi characters. Of a repeated key the last value counts.
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
        return Result(parse_json(_text(given(ctx.params, "text", ctx.input))))


def parse_json(text: str) -> Json:
    """The value of a JSON text. Raises `StepError` with code `JSON_INVALID`, and the place in its details."""
    if len(text) > MAX_LENGTH:
        raise _invalid(f"the text has {len(text):,} characters; {MAX_LENGTH:,} are read at most")
    try:
        value = json.loads(
            text.removeprefix("\ufeff"),
            parse_constant=_refuse("is no JSON value"),
            parse_float=_float,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise _invalid(f"not JSON: {error.msg}", error.lineno, error.colno) from None
    except _BadTokenError as error:
        raise _invalid(f"not JSON for us: {error}", *_place(text, error.token)) from None
    except RecursionError:
        raise _invalid(f"not JSON for us: it is nested deeper than {MAX_DEPTH}") from None
    _check(value, surrogates="\\u" in text)
    return value


class _BadTokenError(Exception):
    def __init__(self, token: str, why: str) -> None:
        super().__init__(f"{token[:40]} {why}")
        self.token = token


def _refuse(why: str) -> Callable[[str], Any]:
    def refuse(token: str) -> Any:
        raise _BadTokenError(token, why)

    return refuse


def _float(token: str) -> float:
    value = float(token)
    if math.isinf(value):
        raise _BadTokenError(token, "is too large a number")
    return value


def _integer(token: str) -> int:
    digits = len(token.lstrip("-"))
    if digits <= MAX_INTEGER_DIGITS and -(2**63) <= (value := int(token)) < 2**63:
        return value
    raise _BadTokenError(token, "is an integer outside 64 bits; send it as a text")


def _place(text: str, token: str) -> tuple[int, int]:
    """Line and column of a token that the parser refused."""
    # Text right behind the token, as in `NaN0`, makes it part of a longer one. What comes after it has not been parsed,
    # and a string that does not end there would be looked for from each of its quotes.
    starts = (match.start() for match in _TOKEN.finditer(text) if match[0].startswith(token))
    at = next(starts, text.find(token))
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _check(value: Json, *, surrogates: bool) -> None:
    """Refuse what is nested too deeply and, where the text has escapes at all, texts that are no Unicode."""
    level, depth = [value], 0
    while level:
        if surrogates and any(_broken(item) for item in level):
            raise _invalid("not JSON for us: a text holds half of a surrogate pair")
        containers = [item for item in level if isinstance(item, dict | list)]
        if containers and depth == MAX_DEPTH:
            raise _invalid(f"not JSON for us: it is nested deeper than {MAX_DEPTH}")
        depth += 1
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]


def _broken(item: Json) -> bool:
    if isinstance(item, str):
        return _LONE_SURROGATE.search(item) is not None
    return isinstance(item, dict) and any(_LONE_SURROGATE.search(key) for key in item)


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"$bytes"}:
        try:
            return base64.b64decode(value["$bytes"], validate=True).decode()
        except (ValueError, TypeError):
            raise _invalid("the bytes are no UTF-8 text") from None
    raise _invalid(f"json.parse takes a text or bytes, not {kind(value)}")


def _invalid(message: str, line: int | None = None, column: int | None = None) -> StepError:
    if line is None:
        return StepError(message, code="JSON_INVALID")
    return StepError(f"{message} (line {line}, column {column})", code="JSON_INVALID", line=line, column=column)
