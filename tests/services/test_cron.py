"""When schedules fire: time zones, the two nights of the year that have no 24 hours, and what is refused."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

import pytest
from flowrunner.core.times import iso_time, parse_time
from flowrunner.errors import InvalidInput
from flowrunner.language.triggers import is_zone
from flowrunner.services.cron import Timing, check_timing

from tests.attacks import attacks, needs_corpus

BERLIN = "Europe/Berlin"


def moments(timing: Timing, after: str, count: int) -> list[str]:
    """The next moments, in UTC without the parts that are always zero."""
    return [iso_time(moment).removesuffix(":00.000Z") for moment in timing.upcoming(parse_time(after), count)]


def test_time_zones() -> None:
    """A schedule is in its zone: nine in Berlin is eight in UTC in winter and seven in summer."""
    timing = check_timing("0 9 * * MON-FRI", None, BERLIN)
    assert moments(timing, "2026-03-26T12:00:00Z", 3) == ["2026-03-27T08:00", "2026-03-30T07:00", "2026-03-31T07:00"]


def test_next_is_behind_the_moment_given() -> None:
    """The moment itself does not count, a millisecond before it does."""
    timing = Timing("0 * * * *")
    noon = parse_time("2026-06-01T12:00:00Z")
    assert timing.next(noon) == noon + 3_600_000
    assert timing.next(noon - 1) == noon
    assert timing.next(noon + 1) == noon + 3_600_000


@pytest.mark.parametrize(
    "after",
    ["2026-10-24T12:00:00Z", "2026-10-25T00:29:00Z"],
)
def test_set_back_fires_once(after: str) -> None:
    """A time of the day that comes twice fires the first time only."""
    timing = Timing("30 2 * * *", timezone=BERLIN)
    found = [moment for moment in moments(timing, after, 4) if moment >= "2026-10-25"]
    assert found[:2] == ["2026-10-25T00:30", "2026-10-26T01:30"]


@pytest.mark.parametrize("after", ["2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z", "2026-10-25T01:10:00Z"])
def test_set_back_after_it_fired(after: str) -> None:
    """From inside the repeated hour it goes on with the next day, and never back in time."""
    assert moments(Timing("30 2 * * *", timezone=BERLIN), after, 1) == ["2026-10-26T01:30"]


def test_set_back_goes_by_elapsed_time_for_intervals() -> None:
    """An interval keeps its distance through the repeated hour."""
    assert moments(Timing("*/30 * * * *", timezone=BERLIN), "2026-10-25T00:15:00Z", 4) == [
        "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00",
    ]  # fmt: skip


def test_set_forward_fires_after_the_gap() -> None:
    """A time that does not exist fires at the first moment after the gap, once, also if others are due there."""
    assert moments(Timing("30 2 * * *", timezone=BERLIN), "2026-03-28T12:00:00Z", 2) == [
        "2026-03-29T01:00", "2026-03-30T00:30",
    ]  # fmt: skip
    assert moments(Timing("0 2,3 * * *", timezone=BERLIN), "2026-03-28T12:00:00Z", 2) == [
        "2026-03-29T01:00", "2026-03-30T00:00",
    ]  # fmt: skip


def test_every_time_zone_is_one() -> None:
    """What a name must look like leaves none out."""
    assert [name for name in sorted(available_timezones() - {"Factory", "localtime"}) if not is_zone(name)] == []


def test_one_moment() -> None:
    """`at` comes once."""
    timing = check_timing(None, "2026-02-01T09:00:00+01:00", "UTC")
    at = parse_time("2026-02-01T08:00:00Z")
    assert timing.upcoming(at - 1, 5) == [at]
    assert timing.next(at) is None
    assert timing.latest(at - 1, at) == at
    assert timing.latest(at, at + 1) is None


@pytest.mark.parametrize(
    ("cron", "after", "until", "found"),
    [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-06-01T00:00:30Z", "2026-06-01T00:00"),
        ("0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T05:59:00Z", "2026-01-01T05:00"),
        ("0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-05T23:00:00Z", "2026-01-05T00:00"),
        ("0 0 1 * *", "2025-01-01T00:00:00Z", "2026-01-31T23:00:00Z", "2026-01-01T00:00"),
        ("0 0 1 7 *", "2020-01-01T00:00:00Z", "2026-06-30T00:00:00Z", "2025-07-01T00:00"),
        ("0 0 29 2 *", "2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2024-02-29T00:00"),
        ("0 0 1 1 *", "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z", None),
        ("0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T00:00"),
    ],
)
def test_the_latest(cron: str, after: str, until: str, found: str | None) -> None:
    """The last moment of a span, whatever the distance between two; its end belongs to it, its start does not."""
    latest = Timing(cron).latest(parse_time(after), parse_time(until))
    assert (None if latest is None else iso_time(latest).removesuffix(":00.000Z")) == found


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({}, "cron", "either"),
        ({"cron": "* * * * *", "at": "2030-01-01T00:00:00Z"}, "cron", "either"),
        ({"cron": "* * * * * *"}, "cron", "one minute"),
        ({"cron": "every 1 second"}, "cron", "one minute"),
        ({"cron": "0 0 31 2 *"}, "cron", "never comes"),
        ({"cron": "*/0 * * * *"}, "cron", "minute"),
        ({"cron": "* 25 * * *"}, "cron", "hour"),
        ({"cron": "0," * 200 + "0 * * * *"}, "cron", "256"),
        ({"cron": "* * * * *", "timezone": "Europe/Atlantis"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "../../../etc/passwd"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "a\0b"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": ""}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "/etc/localtime"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "localtime"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "right/UTC"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "Europe"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "zone.tab"}, "timezone", "no time zone"),
        ({"cron": "* * * * *", "timezone": "a/" * 300 + "p"}, "timezone", "no time zone"),
        ({"cron": "@every 1s"}, "cron", "one minute"),
        ({"cron": "@reboot"}, "cron", "one minute"),
        ({"cron": "0-59/0 * * * *"}, "cron", "minute"),
        ({"cron": "1-5,7-99999999999 * * * *"}, "cron", "minute"),
        ({"cron": "\u0660 * * * *"}, "cron", "minute"),
        ({"cron": "* * * * *\0"}, "cron", "day of the week"),
        ({"cron": "0 0 30 2 *"}, "cron", "never comes"),
        ({"at": "2030-01-01T00:00:00"}, "at", "time zone"),
        ({"at": "tomorrow"}, "at", "moment"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "at", "moment"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "at", "moment"),
    ],
)
def test_what_is_refused(given: dict[str, str], field: str, words: str) -> None:
    """A timing that cannot be is refused, naming the field and what to do."""
    with pytest.raises(InvalidInput) as refused:
        check_timing(given.get("cron"), given.get("at"), given.get("timezone", "UTC"))
    problems = {one["field"]: one["message"] for one in refused.value.details["problems"]}
    assert words in problems[field]


REFUSED = {"schedule-02": "cron", "schedule-03": "cron", "schedule-05": "cron", "schedule-06": "timezone"}
ELSEWHERE = {
    "schedule-08": "test_set_back_fires_once",
    "schedule-09": "tests/services/test_schedules.py",
    "schedule-11": "tests/services/test_schedules.py",
}


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "schedule", but=ELSEWHERE), ids=lambda entry: str(entry["id"]))
def test_the_corpus(entry: dict[str, Any]) -> None:
    """Every hostile timing is refused for the reason that the corpus gives."""
    given = entry["input"]
    cron = given.get("cron", given.get("rate", "* * * * *"))
    if isinstance(cron, dict):
        cron = "".join(text * times for text, times in cron["parts"])
    with pytest.raises(InvalidInput) as refused:
        check_timing(cron, None, given.get("tz", "UTC"))
    assert refused.value.details["problems"][0]["field"] == REFUSED.get(entry["id"], "cron")
