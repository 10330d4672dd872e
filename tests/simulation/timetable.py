"""Schedules: each moment starts one run, and what was missed while nobody was there is what the policy says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowrunner.core.ids import FlowId, Millis
from flowrunner.engine.records import RunFacts
from flowrunner.engine.run_ids import derived_run_id
from flowrunner.services.schedule_entries import Schedule
from flowrunner.services.schedule_sweep import GRACE
from flowrunner.services.schedules import ScheduleWish

from tests.simulation.people import Person, owner
from tests.simulation.scenes import MINUTE, Timer

if TYPE_CHECKING:
    from flowrunner.services.platform import Platform

    from tests.simulation.world import World

SLACK: Millis = 2 * MINUTE
"""How late a schedule may fire while things go wrong, and how wrong clocks are at most."""

LATE: Millis = 4 * MINUTE
"""How long a single server may stand still altogether: several times in a row for longer than a lease."""


@dataclass
class Timetable:
    """See the module."""

    world: World
    schedules: list[tuple[Timer, Schedule]] = field(default_factory=list)
    off: dict[str, Millis] = field(default_factory=dict)
    """When each was switched off."""

    def begin(self, platform: Platform, timer: Timer) -> None:
        wish = ScheduleWish(cron=f"*/{timer.every} * * * *", missed=timer.missed)
        self.schedules.append((timer, platform.schedules.create(owner(timer.account), FlowId("tick"), wish)))

    def switch_off(self, person: Person, timer: Timer, schedule: Schedule) -> None:
        """What somebody does at the end: the world could not end otherwise."""
        self.world.baton.sleep(timer.off)
        wish = ScheduleWish(cron=schedule.timing.cron, missed=timer.missed, enabled=False)
        person.insist(lambda platform: platform.schedules.update(owner(timer.account), schedule.id, wish))
        self.off[schedule.id] = self.world.clock.now()

    def check(self) -> None:
        """Assert what is said above."""
        for timer, schedule in self.schedules:
            self._check(timer, schedule)

    def _check(self, timer: Timer, schedule: Schedule) -> None:
        world = self.world
        off = self.off[schedule.id]
        moments = schedule.timing.upcoming(world.began - MINUTE, (off - world.began) // MINUTE + 5)
        runs = {derived_run_id("schedule", timer.account, schedule.id, one): one for one in moments}
        found = [
            row.id
            for row in world.rows(timer.account)
            if RunFacts.decode(row.body).started_by == f"schedule:{schedule.id}"
        ]
        strange = [run for run in found if run not in runs]
        assert not strange, f"{strange} were started for no moment of the schedule"
        fired = {runs[run] for run in found}
        for moment in moments:
            said = f"the moment {(moment - world.began) / MINUTE:.1f} of a schedule that is to {timer.missed}"
            if world.began + SLACK < moment < off - LATE and self._served(moment):
                assert moment in fired, f"{said} has started no run"
            if self._missed(timer, moment):
                assert moment not in fired, f"{said} was missed, and has started a run"
        outage = world.scene.outage
        if timer.missed == "run_once" and outage is not None:
            back = world.began + outage[1]
            late = [one for one in fired if back - SLACK - timer.every * MINUTE <= one <= back + SLACK]
            assert late, "after all that was missed no run was started"

    def _served(self, moment: Millis) -> bool:
        """Whether somebody is there in time for a moment; with `run_once` the last one stands for those before."""
        outage = self.world.scene.outage
        if outage is None:
            return True
        down, up = (self.world.began + one for one in outage)
        return moment < down - SLACK or moment > up + SLACK

    def _missed(self, timer: Timer, moment: Millis) -> bool:
        outage = self.world.scene.outage
        if outage is None:
            return False
        down, up = (self.world.began + one for one in outage)
        late = up - SLACK if timer.missed == "run_once" else up - GRACE - SLACK
        return down + SLACK < moment < late - (timer.every * MINUTE if timer.missed == "run_once" else 0)
