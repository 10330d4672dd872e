"""The minute's tick: what is due is done in order, one failure harms no other, and time that is short is kept to."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from flowrunner.functions.observing import Observed
from flowrunner.functions.scheduler import RESERVE, RoundsFailed, Scheduler
from flowrunner.services.background import Task
from flowrunner.settings import Settings
from flowrunner.testing import TurnedClock

from tests.functions.installation import Context

pytestmark = pytest.mark.usefixtures("quiet_logging")
MINUTE = 60_000


class Rounds:
    """Tasks that note when they ran; one called `bad` fails, one called `slow` takes ten seconds."""

    def __init__(self) -> None:
        self.clock = TurnedClock(0)
        self.ran: list[str] = []

    def task(self, name: str, interval: int = MINUTE) -> Task:
        def run() -> None:
            self.ran.append(name)
            if name == "slow":
                self.clock.turn_to(self.clock.now() + 10_000)
            if name == "bad":
                raise ValueError("no good")

        return Task(name, interval, run)

    def scheduler(self, *tasks: Task) -> Scheduler:
        return Scheduler(tasks, Observed("scheduler", Settings()), self.clock)


def test_all_run_in_order() -> None:
    """What runs wait for comes first, and nothing is logged or counted when there was nothing to do."""
    rounds = Rounds()
    rounds.scheduler(rounds.task("queue"), rounds.task("schedules", 5_000))({}, Context())
    assert rounds.ran == ["queue", "schedules"]


def test_a_round_that_fails_harms_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """The others have their turn; then the invocation fails by its name, for Lambda's metric of errors."""
    rounds = Rounds()
    scheduler = rounds.scheduler(rounds.task("queue"), rounds.task("bad"), rounds.task("flows"))
    with pytest.raises(RoundsFailed, match=r"^bad$"):
        scheduler({}, Context())
    assert rounds.ran == ["queue", "bad", "flows"]
    assert "no good" in capsys.readouterr().out


def test_what_has_no_time_left_waits_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """A round does not begin that Lambda might stop in the middle."""
    rounds = Rounds()
    rounds.scheduler(rounds.task("slow"), rounds.task("flows"))({}, Context(left=10_000 + RESERVE - 1))
    assert rounds.ran == ["slow"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["RoundsPutOff"] == [1.0]


def test_hourly_rounds_have_their_minute() -> None:
    """Each runs once an hour, and not all in the same minute."""
    rounds = Rounds()
    scheduler = rounds.scheduler(*(rounds.task(name, 60 * MINUTE) for name in ("expiry", "vault")))
    per_minute = []
    for minute in range(120):
        rounds.clock.turn_to(minute * MINUTE)
        scheduler({}, Context())
        per_minute.append(len(rounds.ran))
    assert rounds.ran == ["expiry", "vault"] * 2
    assert max(after - before for before, after in pairwise(per_minute)) == 1
