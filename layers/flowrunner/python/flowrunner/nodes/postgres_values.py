"""Values on their way to PostgreSQL and back. Import it when it is needed: it imports psycopg.

Parameters go as texts without a type, so that the server takes each for what its place in the statement wants.
What comes back is JSON: what has no form in it stays the text that PostgreSQL writes.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

import psycopg
from psycopg import postgres
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader

from flowrunner.core.flow import Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.http_sending import json_text

EXACT = 2**53
"""Up to here every reader of JSON has the same integers (RFC 8259, section 6)."""
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?")
_DEEPEST = 6
"""Dimensions of an array (PostgreSQL's MAXDIM)."""


def parameter(value: Json, where: str) -> str | bytes | None:
    """A value for a place of a statement. Raises `ParamsInvalid` naming `where`."""
    if isinstance(value, dict) and value.keys() == {"$bytes"}:
        try:
            return base64.b64decode(str(value["$bytes"]), validate=True)
        except (binascii.Error, ValueError):
            raise ParamsInvalid(f"{where}: `$bytes` is no base64") from None
    text = _array(value, where) if isinstance(value, list) else _text(value)
    if text is not None and "\0" in text:
        raise ParamsInvalid(f"{where}: PostgreSQL has no texts with the character NUL")
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise ParamsInvalid(f"{where}: the text has half a character (a lone surrogate)") from None
    return text


def _text(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    return json_text(value)


def _array(value: list[Json], where: str, depth: int = 1) -> str:
    """A list as PostgreSQL writes arrays, every element in quotes (documentation, 8.15.6)."""
    if depth > _DEEPEST:
        raise ParamsInvalid(f"{where}: an array has {_DEEPEST} dimensions at most", hint="pass JSON as a text")
    parts = []
    for one in value:
        if isinstance(one, list):
            parts.append(_array(one, where, depth + 1))
        elif one is None:
            parts.append("NULL")
        else:
            quoted = (_text(one) or "").replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'"{quoted}"')
    return "{" + ",".join(parts) + "}"


def _text_of(data: Buffer) -> str:
    return bytes(data).decode("utf-8", "replace")


def _integer(data: Buffer) -> Json:
    value = int(bytes(data))
    return value if abs(value) <= EXACT else str(value)


def _number(data: Buffer) -> Json:
    """A number where a double holds it exactly as written; else its text (NaN and infinities too)."""
    text = _text_of(data)
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return text
    if not exact.is_finite() or (exact == exact.to_integral_value() and abs(exact) > EXACT):
        return text
    if "." not in text and "e" not in text:
        return int(text)
    number = float(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else text


def _moment(data: Buffer) -> Json:
    """RFC 3339 (in UTC, which is the session's time zone); infinity and years before 1 or after 9999 as they are."""
    text = _text_of(data)
    found = _MOMENT.fullmatch(text)
    return text if found is None else f"{found[1]}T{found[2]}{'Z' if found[3] else ''}"


def _json(data: Buffer) -> Json:
    try:
        return parse_json(bytes(data))
    except BadJson:  # nested deeper than a flow's values may be, or a number that JSON's readers do not take
        return _text_of(data)


def _bytes(data: Buffer) -> Json:
    return {"$bytes": base64.b64encode(bytes.fromhex(_text_of(data).removeprefix("\\x"))).decode("ascii")}


_BY_TYPE: Mapping[str, Callable[[Buffer], Json]] = {
    "bool": lambda data: bytes(data) == b"t",
    **dict.fromkeys(("int2", "int4", "int8", "oid"), _integer),
    **dict.fromkeys(("float4", "float8", "numeric"), _number),
    **dict.fromkeys(("timestamp", "timestamptz"), _moment),
    **dict.fromkeys(("json", "jsonb"), _json),
    "bytea": _bytes,
}


def _loader(convert: Callable[[Buffer], Json]) -> type[Loader]:
    class Converting(Loader):
        """Makes JSON of the text of one type."""

        def load(self, data: Buffer) -> Any:
            return convert(data)

    return Converting


@cache
def adapters() -> AdaptersMap:
    """Psycopg's, with a loader of ours for each type; its arrays take their elements' loaders from here."""
    made = AdaptersMap(psycopg.adapters)
    plain = _loader(_text_of)
    made.register_loader(0, plain)  # types that psycopg does not know: enumerations, composites, extensions
    for info in postgres.types:
        convert = _BY_TYPE.get(info.name)
        made.register_loader(info.oid, plain if convert is None else _loader(convert))
    return made
