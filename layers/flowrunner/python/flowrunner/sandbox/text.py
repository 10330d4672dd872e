"""Values as text, as JavaScript writes them.

One difference is on purpose: a whole number keeps all its digits, so that an id beyond 2^53 that was never
touched by JavaScript comes out as it went in.
"""

from __future__ import annotations

import json
import math
from typing import Any

from flowrunner.sandbox.paths import UNDEFINED

_string = json.encoder.encode_basestring
"""A text in quotes, escaping what JSON.stringify escapes and nothing more."""


EXACT = 2.0**53
"""Below it a whole float is that integer; above, only the shortest digits that tell it apart are shown."""


def to_text(value: Any) -> str:
    """What a value becomes inside a text: null and undefined nothing, objects and lists compact JSON."""
    if isinstance(value, str):
        return value
    if value is None or value is UNDEFINED:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    pieces: list[str] = []
    _write(value, pieces)
    return "".join(pieces)


def number_text(value: float) -> str:
    """A number as `String(value)` gives it (ECMA-262, Number::toString)."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**21 else number_text(float(value)) if abs(value) < 2**1024 else "Infinity"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if abs(value) < EXACT and value == int(value):
        return str(int(value))
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
        return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    shown = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{shown}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def _write(value: Any, pieces: list[str]) -> None:
    """`value` as JSON.stringify writes it: what has no JSON form is null in a list and left out of an
    object.
    """
    if isinstance(value, str):
        pieces.append(_string(value))
    elif value is None or value is UNDEFINED or (isinstance(value, float) and not math.isfinite(value)):
        pieces.append("null")
    elif isinstance(value, bool | int | float):
        pieces.append(to_text(value))
    elif isinstance(value, dict):
        comma = "{"
        for key, item in value.items():
            if item is not UNDEFINED:
                pieces += (comma, _string(str(key)), ":")
                _write(item, pieces)
                comma = ","
        pieces.append("}" if comma == "," else "{}")
    else:
        comma = "["
        for item in value:
            pieces.append(comma)
            _write(item, pieces)
            comma = ","
        pieces.append("]" if comma == "," else "[]")
