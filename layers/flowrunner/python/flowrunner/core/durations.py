"""Durations as people write them: `500ms`, `20s`, `5m`, `2h`, `1d`, or seconds as a number."""

from __future__ import annotations

import re
from typing import Any

from flowrunner.core.ids import Millis

MAX_DURATION: Millis = 400 * 24 * 3600 * 1000
"""400 days: longer waits are mistakes more often than plans."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)?", re.ASCII)


def parse_duration(value: Any) -> Millis:
    """The duration in milliseconds. Raises `ValueError` with words for the author of the value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        # Not a TypeError: pydantic turns a ValueError into a message for the author of the flow.
        raise ValueError("a duration is written like 500ms, 20s, 5m, 2h or 1d, or as seconds")  # noqa: TRY004  # see above
    if isinstance(value, str):
        match = _TEXT.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"{value[:40]!r} is not a duration; write one like 500ms, 20s, 5m, 2h or 1d")
        amount, factor = float(match[1]), _UNITS[match[2] or "s"]
    else:
        amount, factor = value, 1_000  # not as a float: a document may hold a number that has no float
    if not 0 <= amount <= MAX_DURATION:  # also false for NaN
        raise ValueError("a duration is 0 or more, and at most 400 days")
    millis = round(amount * factor)
    if millis > MAX_DURATION:
        raise ValueError("a duration is at most 400 days")
    return millis


def format_duration(millis: Millis) -> str:
    """A duration for people, short: `850ms`, `1.2s`, `3m 5s`, `2h 10m`, `4d 3h`."""
    if millis < 1_000:
        return f"{millis}ms"
    if millis < 60_000:
        return f"{millis / 1_000:.1f}".removesuffix(".0") + "s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, millis = divmod(millis, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
