"""Moments as people and other programs read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flowrunner.core.ids import Millis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(moment: Millis) -> str:
    """A moment in RFC 3339 with milliseconds, UTC: `2026-11-21T08:49:07.123Z`."""
    return (_EPOCH + timedelta(milliseconds=moment)).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_time(text: str) -> Millis:
    """The moment that an RFC 3339 text names. Raises `ValueError`, also for one without a time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone, like 2030-01-31T09:00:00Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def day_of(moment: Millis) -> str:
    """The day in UTC, `2026-11-21`."""
    return iso_time(moment)[:10]
