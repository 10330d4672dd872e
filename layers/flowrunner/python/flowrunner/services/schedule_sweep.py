"""Letting schedules fire. Any number of processes may sweep at once; each due moment starts one run.

The run's id is the hash of schedule and due moment, so starting it again starts nothing; then one conditional write
moves the schedule on. A process that dies between the two leaves the schedule due: the next one starts the same run,
that is none, and moves it on.

    due ──start run(hash(schedule, due))──▶ due moved on, last_run noted      (lost: somebody else has moved it)

A start that is refused (quota, an input that does not fit any more, concurrency) is noted and not repeated: the
schedule goes on with its next moment. Only a store that is away leaves everything as it is.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.engine.run_ids import derived_run_id
from flowrunner.errors import FlowrunnerError, NotFound, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.schedule_entries import KIND, LastError, Schedule, decode

GRACE: Millis = 5 * 60_000
"""How late a run may start and still count as on time. What lies further back was missed."""

INTERVAL: Millis = 10_000
"""How often to look at the latest: a schedule that another process has made is seen so late."""

BATCH = 100
BROKEN_RETRY: Millis = 3_600_000

_log = logging.getLogger(__name__)


class Starts(Protocol):
    """Starts runs for triggers: `RunService.start_triggered`."""

    def __call__(self, account: AccountId, flow: FlowId, input: Json, run: RunId, started_by: str) -> RunId: ...


class ScheduleSweep:
    """See the module."""

    def __init__(self, entities: Entities, clock: Clock, start: Starts) -> None:
        self._entities = entities
        self._clock = clock
        self._start = start

    def sweep(self) -> Millis | None:
        """Let everything fire that is due. Answers when the next one is. Raises `StoreError`."""
        now = self._clock.now()
        # Each is moved on by somebody, so this ends; one that fires for several late moments comes up several times.
        while due := self._entities.due(KIND, now, BATCH):
            for entity in due:
                self._serve(entity, now)
        return self._entities.next_due(KIND)

    def _serve(self, entity: Entity, now: Millis) -> None:
        try:
            schedule = decode(entity)
        except (ValueError, TypeError, KeyError):  # written by another version: not now, and never in the others' way
            _log.exception("schedule %s cannot be read; it rests for an hour", entity.id)
            self._entities.put(replace(entity, due=now + BROKEN_RETRY), now, expected_rev=entity.rev)
            return
        after = self._fire(schedule, now)
        for _ in range(3):
            if self._entities.put(after.encode(), now, expected_rev=after.rev) is not None:
                return
            # Changed by somebody meanwhile. If it still is due for this moment, what happened is noted on the new one.
            found = self._entities.get(schedule.account, KIND, schedule.id, now)
            if found is None or found.due != schedule.due:
                return
            after = replace(
                decode(found),
                due=after.due,
                active=after.active,
                last_due=after.last_due,
                last_run=after.last_run,
                last_missed=after.last_missed,
                last_error=after.last_error,
            )

    def _fire(self, schedule: Schedule, now: Millis) -> Schedule:
        """What becomes of a due schedule. It fires for one moment: what is due next may be due already."""
        assert schedule.due is not None, "it came out of the due index"
        moment = schedule.due
        if moment < now - GRACE:
            schedule, late = self._missed(schedule, moment, now)
            if late is None:
                return schedule
            moment = late
        run = derived_run_id("schedule", schedule.account, schedule.id, moment)
        fired = replace(schedule, last_due=moment, due=schedule.timing.next(moment))
        try:
            started = self._start(schedule.account, schedule.flow, schedule.input, run, f"schedule:{schedule.id}")
        except StoreError:
            raise
        except NotFound as error:  # the flow is gone or out of service: `sync` arms it again when it is back
            return replace(fired, active=False, due=None, last_error=LastError.of(error, now))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the other schedules
            fault = not isinstance(error, FlowrunnerError)
            about = {"account": schedule.account, "flow": schedule.flow}
            _log.warning("schedule %s could not start its run: %s", schedule.id, error, exc_info=fault, extra=about)
            return replace(fired, last_error=LastError.of(error, now))
        return replace(fired, last_run=started, last_error=None)

    @staticmethod
    def _missed(schedule: Schedule, due: Millis, now: Millis) -> tuple[Schedule, Millis | None]:
        """The schedule with what was missed noted, and the moment to fire for now, if there is one.

        With `skip` it goes on with the first moment inside the grace. With `run_once` the last moment of all counts.
        """
        edge = now - GRACE - 1
        schedule = replace(schedule, last_missed=schedule.timing.latest(due - 1, edge) or due)
        if schedule.missed == "run_once":
            return schedule, schedule.timing.latest(due - 1, now) or due
        following = schedule.timing.next(edge)
        if following is None or following > now:
            return replace(schedule, due=following), None
        return schedule, following
