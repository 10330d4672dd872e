"""The scheduler: each minute what nobody asks for. The store's sweep, then the rounds that a server runs in threads.

Every round may be run by several processes at once and any number of times, so a tick that comes twice, late or not at
all does no harm: the next one finds what is due. One round that fails does not keep the others from theirs; in the end
the invocation fails, so that Lambda's own metric of errors shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from flowrunner.bootstrap import make_platform
from flowrunner.core.ids import Millis
from flowrunner.functions.observing import Observed
from flowrunner.functions.process import Context, ends_at, prepare
from flowrunner.ports.clock import Clock
from flowrunner.ports.sweep import Sweeps
from flowrunner.services.background import Task
from flowrunner.services.platform import Platform

MINUTE: Millis = 60_000
RESERVE: Millis = 5_000
"""No round begins when less is left: the next tick comes within a minute."""

ELSEWHERE = {"usage"}
"""Tasks of a server that are none here: usage is counted from the table's stream."""

log = logging.getLogger(__name__)


class RoundsFailed(Exception):
    """Some of a tick's rounds failed; the log says why."""


class Scheduler:
    """Runs tasks one after the other, those first that are named first."""

    def __init__(self, tasks: Sequence[Task], observed: Observed, clock: Clock) -> None:
        self._tasks = tuple(tasks)
        self._observed = observed
        self._clock = clock

    def __call__(self, event: object, context: Context) -> None:
        with self._observed.invocation(context):
            failed = self._run(ends_at(context, self._clock))
        if failed:
            raise RoundsFailed(", ".join(failed))

    def _run(self, until: Millis) -> list[str]:
        """Run what is due; answers what failed."""
        failed = []
        for task in self._due():
            if self._clock.now() + RESERVE > until:
                log.warning("no time is left in this minute for %s and what comes behind it", task.name)
                self._observed.count("RoundsPutOff")
                break
            try:
                task.round()
            except Exception:  # one round that fails does not keep the others from theirs
                log.exception("a round of %s failed; it comes again", task.name)
                failed.append(task.name)
        return failed

    def _due(self) -> list[Task]:
        """The tasks of this minute: one with an interval of an hour has its turn in one minute of each hour."""
        minute = self._clock.now() // MINUTE
        turns = [(max(1, task.interval // MINUTE), place, task) for place, task in enumerate(self._tasks)]
        return [task for every, place, task in turns if minute % every == place % every]


def minute_tasks(platform: Platform, observed: Observed) -> list[Task]:
    """What a tick does, in its order: what runs wait for comes first."""
    clock, store = platform.engine.parts.clock, cast("Sweeps", platform.engine.parts.backend)

    def sweep() -> None:
        swept = store.sweep(clock.now())
        for metric, value in (("Forwarded", swept.forwarded), ("Resent", swept.resent), ("StuckRuns", swept.stuck)):
            if value:
                observed.count(metric, value)

    tasks = [task for task in platform.background.tasks if task.name not in ELSEWHERE]
    return [Task("queue", MINUTE, sweep), *sorted(tasks, key=lambda task: task.name != "schedules")]


def make_handler(environ: Mapping[str, str]) -> Callable[[Any, Any], Any]:
    """The function's handler. Nothing is asked of AWS yet. Raises `ConfigurationError`."""
    settings, observed = prepare("scheduler", environ)
    platform = make_platform(settings, environ)
    return observed.traced(Scheduler(minute_tasks(platform, observed), observed, platform.engine.parts.clock))
