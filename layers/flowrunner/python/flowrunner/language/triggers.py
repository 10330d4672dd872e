"""What starts a flow by itself: schedules that can fire, time zones that exist, paths that are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from flowrunner.core.flow import Json
from flowrunner.core.problems import Problem
from flowrunner.language.inputs import input_problems
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import FlowDocument, ScheduleTrigger, WebhookTrigger
from flowrunner.language.suggest import nearest

ANY_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
"""From here on a schedule is tried out; a fixed moment, so that a document always gives the same answer."""

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,32}){0,2}", re.ASCII)
"""What names of time zones look like. `ZoneInfo` imports a package for each part of one, and hundreds are too many."""

_WORDS = {
    "Bad minute": "its minute is wrong (0 to 59)",
    "Bad hour": "its hour is wrong (0 to 23)",
    "Bad day-of-month": "its day of the month is wrong, or never comes in the months given",
    "Bad month": "its month is wrong (1 to 12 or JAN to DEC)",
    "Bad day-of-week": "its day of the week is wrong (0 to 7 or SUN to SAT)",
}
"""What cronsim says, and what that means to people."""


def check_triggers(model: FlowDocument, document: Document, *, inputs_sound: bool = True) -> Iterator[Problem]:
    """Every problem of `triggers`. Without sound `inputs`, what a schedule gives is not held against them."""
    seen: set[tuple[str, str]] = set()
    for number, trigger in enumerate(model.triggers):
        path: Path = ("triggers", number)
        if isinstance(trigger, ScheduleTrigger):
            yield from _schedule(trigger, path, document)
            if trigger.enabled and model.inputs is not None and inputs_sound:
                yield from _scheduled_input(trigger, model.inputs, path, document)
        else:
            yield from _webhook(trigger, path, document, seen)


def _webhook(trigger: WebhookTrigger, path: Path, document: Document, seen: set[tuple[str, str]]) -> Iterator[Problem]:
    if (trigger.path, trigger.method) in seen:
        place = document.place((*path, "path"))
        yield Problem(path_text((*path, "path")), f"{trigger.method} {trigger.path} is here twice", *place)
    seen.add((trigger.path, trigger.method))
    verify = trigger.verify
    if verify is not None and (verify.header is None) == (verify.scheme == "shared-secret"):
        where = (*path, "verify", "header")
        message = (
            "is required: the header that carries the shared secret"
            if verify.header is None
            else f"is only for the scheme shared-secret; {verify.scheme} has headers of its own"
        )
        yield Problem(path_text(where), message, *document.place(where))


def _schedule(trigger: ScheduleTrigger, path: Path, document: Document) -> Iterator[Problem]:
    if (trigger.cron is None) == (trigger.at is None):
        yield Problem(path_text(path), "a schedule has either `cron` or `at`", *document.place(path))
    if not is_zone(trigger.timezone):
        yield _bad_zone(trigger.timezone, (*path, "timezone"), document)
    wrong = cron_problem(trigger.cron) if trigger.cron is not None else None
    if wrong:
        where = (*path, "cron")
        yield Problem(path_text(where), wrong, *document.place(where))
    if trigger.at is not None and not _is_moment(trigger.at):
        where = (*path, "at")
        message = "must be a moment with time zone, like 2030-01-31T09:00:00Z"
        yield Problem(path_text(where), message, *document.place(where))


def _scheduled_input(trigger: ScheduleTrigger, schema: Json, path: Path, document: Document) -> Iterator[Problem]:
    """A schedule whose input is refused would fail each time it fires, with nobody looking."""
    for inner, message in input_problems(schema, trigger.input):
        where = (*path, "input", *inner)
        yield Problem(path_text(where), f"does not fit the flow's `inputs`: {message}", *document.place(where))


def cron_problem(expression: str) -> str | None:
    """Why a cron expression cannot be used; None for a good one."""
    from cronsim import CronSim, CronSimError

    fields = expression.split()
    if len(fields) != 5:
        count = len(fields)
        return f"a cron expression has five fields (minute, hour, day, month, weekday); this has {count}"
    try:
        next(CronSim(expression, ANY_MOMENT))
    except CronSimError as error:
        return f"{expression!r} is no schedule: {_WORDS.get(str(error), error)}"
    except StopIteration:
        return f"{expression!r} never fires"
    return None


def is_zone(name: str) -> bool:
    """Whether there is such a time zone, and it is the same one on every machine.

    `ZoneInfo` keeps what it found, and takes no path out of its folders.
    """
    from zoneinfo import ZoneInfo

    if _ZONE.fullmatch(name) is None:
        return False
    if name.startswith(("posix/", "right/")) or name in ("Factory", "localtime", "posixrules"):
        return False  # other clocks (with leap seconds), or what this machine happens to be set to
    try:
        ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        return False
    return True


def _bad_zone(name: str, path: Path, document: Document) -> Problem:
    from zoneinfo import available_timezones

    message = f"{name[:64]!r} is no time zone; write one like Europe/Berlin"
    near = nearest(name, sorted(available_timezones()), limit=1_000)
    return Problem(path_text(path), message, *document.place(path), suggestion=near)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
