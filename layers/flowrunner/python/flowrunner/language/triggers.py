"""What starts a flow by itself: schedules that can fire, time zones that exist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from flowrunner.core.problems import Problem
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import FlowDocument, ScheduleTrigger

ANY_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
"""From here on a schedule is tried out; a fixed moment, so that the same document always gives the same answer."""


def check_triggers(model: FlowDocument, document: Document) -> Iterator[Problem]:
    """Every problem of `triggers`."""
    seen: set[tuple[str, str]] = set()
    for number, trigger in enumerate(model.triggers):
        path: Path = ("triggers", number)
        if isinstance(trigger, ScheduleTrigger):
            yield from _schedule(trigger, path, document)
        elif (trigger.path, trigger.method) in seen:
            place = document.place((*path, "path"))
            yield Problem(path_text((*path, "path")), f"{trigger.method} {trigger.path} is here twice", *place)
        else:
            seen.add((trigger.path, trigger.method))


def _schedule(trigger: ScheduleTrigger, path: Path, document: Document) -> Iterator[Problem]:
    if (trigger.cron is None) == (trigger.at is None):
        yield Problem(path_text(path), "a schedule has either `cron` or `at`", *document.place(path))
    if not _is_zone(trigger.timezone):
        where = (*path, "timezone")
        message = f"{trigger.timezone[:64]!r} is no time zone; write one like Europe/Berlin"
        yield Problem(path_text(where), message, *document.place(where))
    if trigger.cron is not None:
        wrong = cron_problem(trigger.cron)
        if wrong:
            where = (*path, "cron")
            yield Problem(path_text(where), wrong, *document.place(where))
    if trigger.at is not None and not _is_moment(trigger.at):
        where = (*path, "at")
        yield Problem(path_text(where), "must be a moment with time zone, like 2030-01-31T09:00:00Z", *document.place(where))


def cron_problem(expression: str) -> str | None:
    """Why a cron expression cannot be used; None for a good one."""
    from cronsim import CronSim, CronSimError

    fields = expression.split()
    if len(fields) != 5:
        return f"a cron expression has five fields (minute, hour, day, month, weekday); this has {len(fields)}"
    try:
        next(CronSim(expression, ANY_MOMENT))
    except CronSimError as error:
        return f"{expression!r} is no cron expression: {error}"
    except StopIteration:
        return f"{expression!r} never fires"
    return None


def _is_zone(name: str) -> bool:
    from zoneinfo import available_timezones

    return name in available_timezones()


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
