"""What messages of SQS and SNS have in common."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context
from flowrunner.nodes.http_sending import json_text

Attributes = dict[str, Json]


def text_of(value: Json) -> str:
    """A message's text: a text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json_text(value)


def attributes(given: Mapping[str, Json], *, lists: bool = False) -> dict[str, Any]:
    """Attributes as SQS and SNS take them (`lists`: SNS knows `String.Array`). Raises `ParamsInvalid`."""
    return {name: _attribute(name, value, lists=lists) for name, value in given.items()}


def _attribute(name: str, value: Json, *, lists: bool) -> dict[str, Any]:
    match value:
        case bool():
            return {"DataType": "String", "StringValue": str(value).lower()}
        case str() if value:
            return {"DataType": "String", "StringValue": value}
        case int() | float():
            return {"DataType": "Number", "StringValue": json_text(value)}
        case {"$bytes": str(text), **rest} if not rest:
            return {"DataType": "Binary", "BinaryValue": decoded(text, f"attributes.{name}")}
        case list() if lists:
            return {"DataType": "String.Array", "StringValue": json_text(value)}
    raise ParamsInvalid(f"attributes.{name}: a text that is not empty, a number, a boolean or {{$bytes: base64}}")


def decoded(text: str, place: str) -> bytes:
    """Bytes from base64. Raises `ParamsInvalid`."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ParamsInvalid(f"{place}: is not base64") from None


def read_attributes(given: Mapping[str, Any]) -> dict[str, Json]:
    """Attributes of a received message as values; a number stays the text that it is, which may be any precision."""
    return {
        name: {"$bytes": base64.b64encode(one["BinaryValue"]).decode("ascii")}
        if one["DataType"].startswith("Binary")
        else one.get("StringValue", "")
        for name, one in given.items()
    }


def deduplication(ctx: Context[Any], index: int = 0) -> str:
    """The same on every execution of the step, so that a FIFO queue or topic takes its message once (5 minutes)."""
    return f"{ctx.run.idempotency_key}-{index}"
