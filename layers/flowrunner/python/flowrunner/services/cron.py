"""When a schedule fires: cron expressions with time zones, and single moments.

Daylight saving time, as Debian's cron has it. An expression whose minute and hour are both given as numbers names a
time of the day: it fires once where clocks are set back (the first of the two), and where they are set forward over it,
at the first moment after the gap. One whose minute or hour begins with `*` goes by elapsed time: `*/30 * * * *` fires
every half hour through both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from flowrunner.core.ids import Millis
from flowrunner.core.times import parse_time
from flowrunner.errors import InvalidInput
from flowrunner.language.triggers import cron_problem, is_zone

MAX_LENGTH = 256
"""Characters of a cron expression."""

LAST_MOMENT: Millis = 253_370_764_800_000
"""9999-01-01: later ones can't be counted with everywhere."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Millis = 86_400_000
_WINDOWS: tuple[Millis, ...] = (3_600_000, _DAY, 32 * _DAY, 400 * _DAY)
"""How far `latest` looks back, wider each time, so that a frequent schedule is not counted through from its start."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Either `cron` in a time zone, or the one moment `at`."""

    cron: str | None = None
    at: Millis | None = None
    timezone: str = "UTC"

    def next(self, after: Millis) -> Millis | None:
        """The first moment behind `after`; None when there is none."""
        return next(self._moments(after), None)

    def upcoming(self, after: Millis, count: int) -> list[Millis]:
        """The first `count` moments behind `after`."""
        return list(islice(self._moments(after), count))

    def latest(self, after: Millis, until: Millis) -> Millis | None:
        """The last moment behind `after` and not behind `until`."""
        for window in (*_WINDOWS, until - after):
            found = None
            for moment in self._moments(max(after, until - window)):
                if moment > until:
                    break
                found = moment
            if found is not None or until - window <= after:
                return found
        return None

    def _moments(self, after: Millis) -> Iterator[Millis]:
        if self.cron is None:
            if self.at is not None and self.at > after:
                yield self.at
            return
        from cronsim import CronSim

        start = (_EPOCH + timedelta(milliseconds=after)).astimezone(ZoneInfo(self.timezone))
        for moment in CronSim(self.cron, start):
            # cronsim counts in local time: begun inside a repeated hour it names a moment of the first one, and what
            # lies in a gap falls together with what comes right after it.
            millis = (moment - _EPOCH) // timedelta(milliseconds=1)
            if millis > after:
                yield millis
                after = millis


def check_timing(cron: str | None, at: str | None, timezone: str) -> Timing:
    """The timing that these texts name. Raises `InvalidInput` with what is wrong in which field."""
    problems = list(_problems(cron, at, timezone))
    if problems:
        raise InvalidInput(
            "; ".join(f"{field}: {message}" for field, message in problems),
            problems=[{"field": field, "message": message} for field, message in problems],
        )
    return Timing(cron, parse_time(at) if at is not None else None, timezone)


def _problems(cron: str | None, at: str | None, timezone: str) -> Iterator[tuple[str, str]]:
    if (cron is None) == (at is None):
        yield "cron", "give either `cron` or `at`"
    if not is_zone(timezone):
        yield "timezone", f"{timezone[:64]!r} is no time zone; write one like Europe/Berlin"
    if cron is not None:
        if len(cron) > MAX_LENGTH:
            yield "cron", f"a cron expression has at most {MAX_LENGTH} characters; this has {len(cron):,}"
        elif (wrong := cron_problem(cron)) is not None:
            hint = "; the shortest interval is one minute" if len(cron.split()) != 5 else ""
            yield "cron", wrong + hint
    if at is not None and not _is_moment(at):
        yield "at", "must be a moment with time zone, like 2030-01-31T09:00:00Z"


def _is_moment(text: str) -> bool:
    try:
        return len(text) <= 64 and 0 <= parse_time(text) < LAST_MOMENT
    except (ValueError, OverflowError):
        return False
