"""JSON from strangers: what RFC 8259 leaves open is refused here, so that every reader sees the same value.

Refused are repeated names (readers differ in which one counts), NaN and infinities, numbers that no 64-bit machine
holds, half a surrogate pair, and deep nesting.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64
MAX_INTEGER_LENGTH = 20
"""Characters of the longest whole numbers of 64 bits, with or without a sign; Python refuses to read very long ones."""


def packed(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON that is kept for a while: as `orjson.dumps`, whose answer holds 4 KiB of memory however short it is.

    (orjson 3.13 gives back nothing of the buffer that it writes into. `tests/bench/many_runs.py` shows what that makes
    of a worker.) Raises `TypeError` for what JSON cannot say.
    """
    return bytes(memoryview(orjson.dumps(value, default=default)))


class BadJson(ValueError):
    """The text is not JSON, or not JSON for us; the message is for whoever sent it."""


def parse_json(data: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text in UTF-8. Raises `BadJson`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadJson(f"the JSON text is not UTF-8 (byte {error.start})") from None
    try:
        value = json.loads(
            text, parse_constant=_constant, parse_float=_float, parse_int=_integer, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise BadJson(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise BadJson(f"the JSON text is nested deeper than {max_depth}") from None
    _check(value, max_depth, surrogates="\\u" in text)
    return value


def _constant(token: str) -> NoReturn:
    raise BadJson(f"{token} is no JSON value")


def _float(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise BadJson(f"{token[:40]} is beyond what a number can hold")
    return value


def _integer(token: str) -> int:
    if len(token) > MAX_INTEGER_LENGTH or not -(2**63) <= int(token) < 2**64:
        raise BadJson(f"{token[:40]} is beyond 64 bits; send it as a text")
    return int(token)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        # In one pass: whoever sends a megabyte of names must not get a quadratic search for it.
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise BadJson(f"the name {twice[:64]!r} is in one object twice")
    return result


def _check(value: Any, max_depth: int, *, surrogates: bool) -> None:
    level = [value]
    for _ in range(max_depth + 1):
        if not level:
            return
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
                if surrogates:
                    below += one.keys()
            elif isinstance(one, list):
                below += one
            elif surrogates and isinstance(one, str):
                _whole(one)
        level = below
    raise BadJson(f"the JSON text is nested deeper than {max_depth}")


def _whole(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadJson("a text holds half a surrogate pair: it is not Unicode") from None
