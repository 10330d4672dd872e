"""Waits of minutes and of years on one clock: each ends in its time, none early, none is lost."""

from __future__ import annotations

import os
import random

import pytest
from flowrunner.ports.history import RunFilter
from flowrunner.ports.runs import RunRow

from tests.engine.harness import ACCOUNT, Bench, bench, flow

TIMERS = int(os.environ.get("CHECK_TIMERS", "400"))
"""`CHECK_TIMERS=100000 scripts/test tests/engine/test_many_timers.py` tries a hundred thousand."""
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR
WAITS = flow("a: {type: delay, params: {for: '${input}'}}")


def late(b: Bench, waits: dict[str, int]) -> list[int]:
    """How late each wait ended, in ms."""
    rows: list[RunRow] = []
    cursor = None
    while True:
        page = b.engine.parts.backend.history.runs(ACCOUNT, RunFilter(limit=1_000, before=cursor))
        rows += page
        if len(page) < 1_000:
            break
        cursor = page[-1].id
    assert len(rows) == len(waits), "a run is lost"
    assert {row.status for row in rows} == {"completed"}
    return [(row.ended_at or 0) - row.created_at - waits[row.id] for row in rows]


@pytest.mark.parametrize(("wait", "slack"), [(16 * MINUTE, 2), (25 * HOUR, 5), (400 * DAY, 5)])
def test_a_long_wait_ends_in_time(wait: int, slack: int) -> None:
    """Not early, and at most some seconds late, however far the clock is turned at a time."""
    with bench() as b:
        run = b.start(WAITS, f"{wait // SECOND}s")
        b.work(until=b.clock.now() + 1)
        b.clock.turn_to(b.clock.now() + wait - 1)
        b.work(until=b.clock.now())
        assert b.result(run).status == "waiting"
        b.work()
        assert [0 <= one <= slack * SECOND for one in late(b, {run: wait})] == [True]


def test_timers_are_not_lost_in_the_crowd() -> None:
    """Of seconds to years, all on one clock: each ends when it is due."""
    chance = random.Random(1)
    seconds = [chance.choice((1, 60, 3_600, 86_400)) * chance.randint(1, 400) for _ in range(TIMERS)]
    with bench() as b:
        waits = {b.start(WAITS, f"{one}s"): one * SECOND for one in seconds}
        while (due := b.worker.drain()) is not None:
            b.clock.turn_to(due)
        assert {0 <= one <= 2 * SECOND for one in late(b, {str(run): wait for run, wait in waits.items()})} == {True}
