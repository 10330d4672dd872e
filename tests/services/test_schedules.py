"""Schedules: fired once for each of their moments, whoever sweeps and whatever gives way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, RunId
from flowrunner.errors import QuotaExceeded, StoreError
from flowrunner.services.schedule_entries import KIND
from flowrunner.services.schedule_sweep import GRACE, ScheduleSweep
from flowrunner.services.schedules import ScheduleWish
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT
from tests.services.scheduling import DAY, HOUR, MINUTE, ORDERS, PLAIN, only, turn, with_triggers
from tests.services.triggering import OWNER, Services, over, services


@pytest.fixture
def made() -> Iterator[Services]:
    """The services with a clock at midnight."""
    with services() as ready:
        yield ready


def test_a_schedule_fires_at_each_of_its_moments(made: Services) -> None:
    """Every hour one run starts, on the newest revision, with the schedule's input and name."""
    flow = made.save(with_triggers('cron: "0 * * * *", input: {n: 1}'))
    assert made.sweep.sweep() == START + HOUR
    assert made.started() == []
    turn(made, START + HOUR)
    turn(made, START + HOUR + 30_000)
    made.save(with_triggers('cron: "0 * * * *", input: {n: 1}').replace("value: 1", "value: 2"))
    turn(made, START + 2 * HOUR)
    first, second = made.started()
    assert made.inputs() == [{"n": 1}, {"n": 1}]
    shown = made.runs.get(OWNER, first)
    assert (shown.row.flow, shown.row.revision) == (flow, 1)
    assert made.runs.get(OWNER, second).row.revision == 2
    schedule = only(made)
    assert shown.facts.started_by == f"schedule:{schedule.id}"
    assert (schedule.last_run, schedule.last_due, schedule.due) == (second, START + 2 * HOUR, START + 3 * HOUR)
    assert schedule.last_error is None


def test_a_moment_that_comes_three_times_starts_one_run(made: Services) -> None:
    """schedule-09: the run's id is derived from schedule and moment, so a repeated tick starts nothing."""
    made.save(with_triggers('cron: "0 * * * *"'))
    entities = made.engine.parts.backend.entities
    made.bench.clock.turn_to(START + HOUR)
    due = entities.due(KIND, START + HOUR, 10)
    for _ in range(3):
        made.sweep._serve(due[0], START + HOUR)
        # As a process leaves it that dies right after the start.
        found = entities.get(ACCOUNT, KIND, due[0].id, 0)
        assert found is not None
        entities.put(replace(due[0], rev=0), START + HOUR)
        due = entities.due(KIND, START + HOUR, 10)
    made.sweep.sweep()
    assert len(made.started()) == 1
    assert only(made).due == START + 2 * HOUR


def test_several_processes_sweep(made: Services) -> None:
    """Two processes that have both seen a schedule due start one run, and the later one's write is dropped."""
    made.save(with_triggers('cron: "0 * * * *"'))
    other = over(made.bench)
    made.bench.clock.turn_to(START + HOUR)
    seen = made.engine.parts.backend.entities.due(KIND, START + HOUR, 10)[0]
    made.sweep.sweep()
    after = only(made)
    other.sweep._serve(seen, START + HOUR)
    assert only(made) == after
    assert len(made.started()) == 1


def test_many_sweep_at_once(tmp_path: Path) -> None:
    """Eight sweepers on one database, all at the same time: each schedule starts one run and is moved on once."""
    backend = SqliteBackend(tmp_path / "flows.db", "normal")
    backend.migrate()
    with services(backend) as made:
        for name in "abcdef":
            made.save(with_triggers('cron: "0 * * * *"', name=name))
        sweepers = [over(made.bench).sweep for _ in range(8)]
        made.bench.clock.turn_to(START + HOUR)
        together = Barrier(len(sweepers))

        def sweep(one: ScheduleSweep) -> int | None:
            together.wait()
            return one.sweep()

        with ThreadPoolExecutor(len(sweepers)) as pool:
            assert set(pool.map(sweep, sweepers)) == {START + 2 * HOUR}
        assert len(made.started()) == 6
        assert {one.last_run for one in made.schedules.list(OWNER)} == set(made.started())
    backend.close()


def test_a_crash_between_start_and_move(made: Services) -> None:
    """A process that dies after starting the run leaves the schedule due; the next one moves it on, no second run."""

    class Died(BaseException):
        pass

    def start_and_die(account: AccountId, flow: FlowId, input: Json, run: RunId, started_by: str) -> RunId:
        made.runs.start_triggered(account, flow, input, run, started_by)
        raise Died

    made.save(with_triggers('cron: "0 * * * *"'))
    parts = made.engine.parts
    made.bench.clock.turn_to(START + HOUR)
    with pytest.raises(Died):
        ScheduleSweep(parts.backend.entities, parts.clock, start_and_die).sweep()
    assert only(made).due == START + HOUR
    made.sweep.sweep()
    assert len(made.started()) == 1
    assert only(made).due == START + 2 * HOUR


def test_a_change_during_the_sweep_is_kept(made: Services) -> None:
    """What a user changes while the run is being started survives, and the sweep notes what it did on top of it."""
    flow = made.save(PLAIN)
    schedule = made.schedules.create(OWNER, flow, ScheduleWish(cron="0 * * * *"))

    def start(account: AccountId, flow: FlowId, input: Json, run: RunId, started_by: str) -> RunId:
        made.schedules.update(OWNER, schedule.id, ScheduleWish(cron="0 * * * *", missed="run_once"))
        return run

    parts = made.engine.parts
    made.bench.clock.turn_to(START + HOUR)
    ScheduleSweep(parts.backend.entities, parts.clock, start).sweep()
    after = only(made)
    assert (after.missed, after.due, after.last_due) == ("run_once", START + 2 * HOUR, START + HOUR)


def test_disabled_during_the_sweep(made: Services) -> None:
    """A schedule that is disabled while its run is being started stays disabled."""
    flow = made.save(PLAIN)
    schedule = made.schedules.create(OWNER, flow, ScheduleWish(cron="0 * * * *"))

    def start(account: AccountId, flow: FlowId, input: Json, run: RunId, started_by: str) -> RunId:
        made.schedules.update(OWNER, schedule.id, ScheduleWish(cron="0 * * * *", enabled=False))
        return run

    parts = made.engine.parts
    made.bench.clock.turn_to(START + HOUR)
    assert ScheduleSweep(parts.backend.entities, parts.clock, start).sweep() is None
    assert (only(made).enabled, only(made).due) == (False, None)


def test_missed_moments_are_skipped(made: Services) -> None:
    """`skip`: what lies further back than the grace does not run, is noted, and the schedule goes on."""
    made.save(with_triggers('cron: "0 * * * *"'))
    turn(made, START + 5 * HOUR + 30 * MINUTE)
    assert made.started() == []
    schedule = only(made)
    assert (schedule.due, schedule.last_missed) == (START + 6 * HOUR, START + 5 * HOUR)


def test_missed_moments_run_once(made: Services) -> None:
    """`run_once`: one run for the last moment that was missed, and the schedule goes on."""
    made.save(with_triggers('cron: "0 * * * *", missed: run_once'))
    turn(made, START + 5 * HOUR + 30 * MINUTE)
    assert len(made.started()) == 1
    schedule = only(made)
    assert (schedule.last_due, schedule.due) == (START + 5 * HOUR, START + 6 * HOUR)


def test_within_the_grace_nothing_is_missed(made: Services) -> None:
    """Moments at most five minutes ago each start their run, however late; older ones are missed."""
    made.save(with_triggers('cron: "* * * * *"'))
    turn(made, START + 8 * MINUTE)
    assert len(made.started()) == 6
    schedule = only(made)
    assert (schedule.due, schedule.last_missed) == (START + 9 * MINUTE, START + 2 * MINUTE)
    assert GRACE == 5 * MINUTE


@pytest.mark.parametrize(("missed", "runs"), [("skip", 0), ("run_once", 1)])
def test_a_missed_single_moment(made: Services, missed: str, runs: int) -> None:
    """A single moment that was missed runs late or never, as its policy says; then it is done."""
    made.save(with_triggers(f'at: "2026-01-01T01:00:00Z", missed: {missed}'))
    turn(made, START + DAY)
    assert len(made.started()) == runs
    assert only(made).due is None


def test_a_single_moment(made: Services) -> None:
    """`at` fires once, also when the flow is saved again later."""
    text = with_triggers('at: "2026-01-01T01:00:00Z"')
    made.save(text)
    turn(made, START + HOUR)
    made.save(text.replace("value: 1", "value: 2"))
    turn(made, START + 2 * HOUR)
    assert len(made.started()) == 1
    assert only(made).due is None


def test_a_start_that_is_refused_is_noted(made: Services) -> None:
    """A start that fails is shown on the schedule, does not stop it or others, and is not tried again."""
    flow = made.save(ORDERS)
    made.save(with_triggers('cron: "0 * * * *"'))
    schedule = made.schedules.create(OWNER, flow, ScheduleWish(cron="0 * * * *", input={"id": "1"}))
    made.save(ORDERS.replace("type: string", "type: integer"))
    turn(made, START + HOUR)
    assert len(made.started()) == 1
    failed = made.schedules.get(OWNER, schedule.id)
    assert failed.last_error is not None
    assert (failed.last_error.code, failed.last_error.at) == ("VALIDATION_ERROR", START + HOUR)
    assert "input.id" in failed.last_error.message
    assert (failed.last_run, failed.due) == (None, START + 2 * HOUR)
    made.save(ORDERS)
    turn(made, START + 2 * HOUR)
    assert made.schedules.get(OWNER, schedule.id).last_error is None


def test_a_quota_is_noted() -> None:
    """A start over the quota is noted like any other refusal."""
    with services(quotas={"concurrent_runs": 1}) as made:
        made.save(with_triggers('cron: "0 * * * *"'))
        turn(made, START + HOUR)
        turn(made, START + 2 * HOUR)
        error = only(made).last_error
        assert error is not None
        assert error.code == "QUOTA_EXCEEDED"
        assert only(made).due == START + 3 * HOUR


def test_a_fault_of_ours_says_nothing_of_the_inside(made: Services) -> None:
    """An unexpected exception is noted without its text, and the schedule goes on."""

    def start(account: AccountId, flow: FlowId, input: Json, run: RunId, started_by: str) -> RunId:
        raise ZeroDivisionError("secret inside")

    made.save(with_triggers('cron: "0 * * * *"'))
    parts = made.engine.parts
    made.bench.clock.turn_to(START + HOUR)
    ScheduleSweep(parts.backend.entities, parts.clock, start).sweep()
    error = only(made).last_error
    assert error is not None
    assert (error.code, "inside" in error.message) == ("INTERNAL", False)


def test_a_store_that_is_away_loses_nothing(made: Services) -> None:
    """When the store fails the schedule stays due, and the next sweep starts the run."""

    def start(account: AccountId, flow: FlowId, input: Json, run: RunId, started_by: str) -> RunId:
        raise StoreError

    made.save(with_triggers('cron: "0 * * * *"'))
    parts = made.engine.parts
    made.bench.clock.turn_to(START + HOUR)
    with pytest.raises(StoreError):
        ScheduleSweep(parts.backend.entities, parts.clock, start).sweep()
    assert only(made).due == START + HOUR
    made.sweep.sweep()
    assert len(made.started()) == 1


def test_an_unreadable_schedule_is_in_nobodys_way(made: Services) -> None:
    """A schedule of another version rests for an hour; the others fire."""
    made.save(with_triggers('cron: "0 * * * *"'))
    entities = made.engine.parts.backend.entities
    entity = entities.due(KIND, START + HOUR, 1)[0]
    entities.put(replace(entity, id="broken", body=b'{"future": 1}', due=START), START)
    turn(made, START + HOUR)
    assert len(made.started()) == 1
    broken = entities.get(ACCOUNT, KIND, "broken", START)
    assert broken is not None
    assert broken.due == START + 2 * HOUR


def test_the_quota_of_schedules() -> None:
    """schedule-11: an account has so many schedules, whether people make them or documents hold them."""
    with services(quotas={"schedules": 2}) as made:
        flow = made.save(with_triggers('cron: "0 * * * *"'))
        made.schedules.create(OWNER, flow, ScheduleWish(cron="0 * * * *"))
        with pytest.raises(QuotaExceeded):
            made.schedules.create(OWNER, flow, ScheduleWish(cron="0 * * * *"))
        with pytest.raises(QuotaExceeded):
            made.save(with_triggers('cron: "0 * * * *"', name="other"))
        made.save(with_triggers('cron: "0 * * * *"').replace("value: 1", "value: 2"))
        made.save(with_triggers('cron: "5 * * * *"'))
        with pytest.raises(QuotaExceeded):
            made.save(with_triggers('cron: "5 * * * *"', 'cron: "6 * * * *"'))
    with services(quotas={"schedules": 2}) as made:
        with pytest.raises(QuotaExceeded):
            made.save(with_triggers('cron: "1 * * * *"', 'cron: "2 * * * *"', 'cron: "3 * * * *"'))
        made.save(with_triggers('cron: "1 * * * *"', 'cron: "2 * * * *"'))


def test_many_due_at_once(made: Services) -> None:
    """More schedules than one batch are all served in one sweep."""
    flow = made.save(PLAIN)
    entities = made.engine.parts.backend.entities
    one = made.schedules.create(OWNER, flow, ScheduleWish(cron="0 0 * * *"))
    for number in range(149):
        entities.put(replace(one, id=f"{flow}.{number:012}").encode(), START)
    turn(made, START + DAY)
    assert len(made.started()) == 150
    assert made.sweep.sweep() == START + 2 * DAY
