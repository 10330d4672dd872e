"""JSON as PostgreSQL keeps it: UTF-8 bytes. Within a JSON value NUL is fine: it is stored escaped."""

from __future__ import annotations

import orjson

from flowrunner.core.flow import Json
from flowrunner.errors import InvalidInput


def dump_json(value: Json, what: str) -> bytes:
    """The value as JSON. Raises `InvalidInput`, with `what` to name it, for one that JSON in UTF-8 cannot
    hold.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson.JSONEncodeError is one
        raise InvalidInput(f"{what} cannot be stored as JSON: {error}") from None


def load_json(text: bytes) -> Json:
    return orjson.loads(text)
