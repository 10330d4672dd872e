"""Schedules: kept with their flows, made by people, and fired once for each moment whoever sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, FlowId, RunId
from flowrunner.core.times import iso_time, parse_time
from flowrunner.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded, StoreError
from flowrunner.services.flow_records import FlowStatus
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.schedule_entries import KIND, Schedule
from flowrunner.services.schedule_sweep import GRACE, ScheduleSweep
from flowrunner.services.schedules import ScheduleWish
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT
from tests.services.triggering import OWNER, STRANGER, Services, over, services

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PLAIN = "metadata: {name: plain}\nnodes:\n  a: {type: transform, params: {value: 1}}\n"
ORDERS = """\
metadata: {name: orders}
inputs: {type: object, required: [id], properties: {id: {type: string}}}
nodes:
  a: {type: transform, params: {value: 1}}
"""


def with_triggers(*triggers: str, name: str = "plain") -> str:
    lines = "".join(f"  - {{type: schedule, {one}}}\n" for one in triggers)
    return PLAIN.replace("plain", name) + f"triggers:\n{lines}"


@pytest.fixture
def made() -> Iterator[Services]:
    """The services with a clock at midnight."""
    with services() as ready:
        yield ready


def only(made: Services) -> Schedule:
    """The one schedule there is."""
    found = made.schedules.list(OWNER)
    assert len(found) == 1
    return found[0]


def turn(made: Services, moment: int) -> None:
    """Go to a moment and sweep."""
    made.bench.clock.turn_to(moment)
    made.sweep.sweep()


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


def test_flows_out_of_service_do_not_fire(made: Services) -> None:
    """Schedules of a draft or archived flow rest; back in service they go on from then, having missed nothing."""
    flow = made.save(with_triggers('cron: "0 * * * *", missed: run_once'), FlowStatus.DRAFT)
    own = made.schedules.create(OWNER, flow, ScheduleWish(cron="30 * * * *"))
    assert (own.active, own.due, own.upcoming(START, 5)) == (False, None, [])
    turn(made, START + 2 * HOUR)
    assert made.started() == []
    assert made.sweep.sweep() is None
    made.flows.set_status(OWNER, flow, FlowStatus.ACTIVE)
    turn(made, START + 3 * HOUR)
    assert len(made.started()) == 1
    made.flows.set_status(OWNER, flow, FlowStatus.ARCHIVED)
    turn(made, START + 9 * HOUR)
    assert len(made.started()) == 1
    assert {one.active for one in made.schedules.list(OWNER)} == {False}


def test_a_flow_that_is_out_of_service_by_then(made: Services) -> None:
    """A schedule that is due before it has heard of its flow's archiving rests, and says why."""
    flow = made.save(with_triggers('cron: "0 * * * *"'))
    entities = made.engine.parts.backend.entities
    before = entities.due(KIND, START + HOUR, 1)[0]
    made.flows.set_status(OWNER, flow, FlowStatus.ARCHIVED)
    entities.put(before, START)
    turn(made, START + HOUR)
    resting = only(made)
    assert (resting.active, resting.due, made.started()) == (False, None, [])
    assert resting.last_error is not None
    assert resting.last_error.code == "NOT_FOUND"


def test_deleted_flows_take_their_schedules_along(made: Services) -> None:
    """With the flow all of its schedules go, and no others."""
    flow = made.save(with_triggers('cron: "0 * * * *"'))
    made.schedules.create(OWNER, flow, ScheduleWish(cron="30 * * * *"))
    made.save(with_triggers('cron: "0 * * * *"', name="other"))
    made.flows.delete(OWNER, flow)
    assert [one.flow == flow for one in made.schedules.list(OWNER)] == [False]


def test_the_document_decides(made: Services) -> None:
    """Saving a flow adds and removes schedules; one whose timing stays keeps its history, wherever it stands."""
    made.save(with_triggers('cron: "0 * * * *"', 'cron: "30 * * * *"'))
    turn(made, START + HOUR)
    before = next(one for one in made.schedules.list(OWNER) if one.last_run)
    made.save(with_triggers('cron: "15 * * * *"', 'cron: "0 * * * *", missed: run_once', 'cron: "15 * * * *"'))
    after = {one.id: one for one in made.schedules.list(OWNER)}
    assert len(after) == 3
    assert after[before.id] == replace(before, missed="run_once", rev=before.rev + 1)
    assert [one.timing.cron for one in after.values()].count("15 * * * *") == 2
    made.save(PLAIN)
    assert made.schedules.list(OWNER) == []


def test_only_the_switch_of_a_documents_schedule_is_the_apis(made: Services) -> None:
    """A schedule in a document is enabled and disabled through the API; everything else is changed in the document."""
    made.save(with_triggers('cron: "0 * * * *"'))
    schedule = only(made)
    off = ScheduleWish(cron="0 * * * *", enabled=False)
    assert made.schedules.update(OWNER, schedule.id, off).due is None
    with pytest.raises(Conflict):
        made.schedules.update(OWNER, schedule.id, replace(off, cron="5 * * * *"))
    with pytest.raises(Conflict):
        made.schedules.delete(OWNER, schedule.id)
    made.save(with_triggers('cron: "0 * * * *"').replace("value: 1", "value: 2"))
    assert only(made).enabled is False
    turn(made, START + 5 * HOUR)
    assert made.started() == []
    made.schedules.update(OWNER, schedule.id, replace(off, enabled=True))
    assert only(made).due == START + 6 * HOUR


def test_the_documents_switch(made: Services) -> None:
    """`enabled` in the document holds when it changes there, over what the API had set."""
    made.save(with_triggers('cron: "0 * * * *", enabled: false'))
    schedule = only(made)
    assert (schedule.enabled, schedule.due) == (False, None)
    made.schedules.update(OWNER, schedule.id, ScheduleWish(cron="0 * * * *", enabled=True))
    made.save(with_triggers('cron: "0 * * * *"'))
    assert only(made).enabled
    made.save(with_triggers('cron: "0 * * * *", enabled: false'))
    assert not only(made).enabled


def test_people_make_schedules(made: Services) -> None:
    """A schedule is made, found, changed and removed; each is recorded."""
    flow = made.save(ORDERS)
    wish = ScheduleWish(cron="0 9 * * *", timezone="Europe/Berlin", input={"id": "1"})
    schedule = made.schedules.create(OWNER, flow, wish)
    assert made.schedules.get(OWNER, schedule.id) == schedule
    assert made.schedules.list(OWNER, flow=flow) == [schedule]
    assert made.schedules.list(OWNER, flow=FlowId("other")) == []
    assert [iso_time(one)[:16] for one in schedule.timing.upcoming(START, 2)] == [
        "2026-01-01T08:00",
        "2026-01-02T08:00",
    ]
    changed = made.schedules.update(OWNER, schedule.id, replace(wish, cron=None, at="2026-05-01T00:00:00Z"))
    assert changed.due == parse_time("2026-05-01T00:00:00Z")
    assert changed.created_at == schedule.created_at
    made.schedules.delete(OWNER, schedule.id)
    with pytest.raises(NotFound):
        made.schedules.get(OWNER, schedule.id)
    wanted = ["schedule.created", "schedule.changed", "schedule.deleted"]
    assert [act for act in made.acts() if act.startswith("schedule.")] == wanted


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (ScheduleWish(cron="* * * * * *", input={"id": "1"}), "cron"),
        (ScheduleWish(input={"id": "1"}), "cron"),
        (ScheduleWish(at="2025-01-01T00:00:00Z", input={"id": "1"}), "at"),
        (ScheduleWish(cron="0 0 * * *", timezone="Mars/Base", input={"id": "1"}), "timezone"),
        (ScheduleWish(cron="0 0 * * *"), "input.id"),
        (ScheduleWish(cron="0 0 * * *", input=[]), "input"),
    ],
)
def test_bad_wishes(made: Services, wish: ScheduleWish, field: str) -> None:
    """What could never run is refused at once, naming the field, when it is made and when it is changed."""
    flow = made.save(ORDERS)
    good = made.schedules.create(OWNER, flow, ScheduleWish(cron="0 0 1 * *", input={"id": "1"}))
    attempts: list[Any] = [
        lambda: made.schedules.create(OWNER, flow, wish),
        lambda: made.schedules.update(OWNER, good.id, wish),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidInput) as refused:
            attempt()
        assert field in [one["field"] for one in refused.value.details["problems"]]
    assert made.schedules.list(OWNER) == [good]


def test_bad_timings_in_documents(made: Services) -> None:
    """A document whose moment no schedule can have is refused before it is stored."""
    with pytest.raises(InvalidInput, match=r"triggers\[0\]"):
        made.save(with_triggers('at: "0001-01-01T00:00:00+14:00"'))
    assert made.flows.by_name(ACCOUNT, "plain") is None


def test_unknown_flows(made: Services) -> None:
    """A schedule needs a flow of the account."""
    flow = made.save(PLAIN)
    for actor, wanted in ((OWNER, FlowId("none")), (STRANGER, flow)):
        with pytest.raises(NotFound):
            made.schedules.create(actor, wanted, ScheduleWish(cron="0 * * * *"))


def test_other_accounts_see_nothing(made: Services) -> None:
    """Another account's schedules are as good as missing."""
    schedule = made.schedules.create(OWNER, made.save(PLAIN), ScheduleWish(cron="0 * * * *"))
    assert made.schedules.list(STRANGER) == []
    attempts: list[Any] = [
        lambda: made.schedules.get(STRANGER, schedule.id),
        lambda: made.schedules.update(STRANGER, schedule.id, ScheduleWish(cron="0 * * * *")),
        lambda: made.schedules.delete(STRANGER, schedule.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()


def test_permissions(made: Services) -> None:
    """Viewers look; operators too; editors change."""
    flow = made.save(PLAIN)
    schedule = made.schedules.create(OWNER, flow, ScheduleWish(cron="0 * * * *"))
    operator = Actor(ACCOUNT, "operator", PERMISSIONS[Role.OPERATOR])
    assert made.schedules.get(operator, schedule.id) == schedule
    writes: list[Any] = [
        lambda: made.schedules.create(operator, flow, ScheduleWish(cron="0 * * * *")),
        lambda: made.schedules.update(operator, schedule.id, ScheduleWish(cron="0 * * * *")),
        lambda: made.schedules.delete(operator, schedule.id),
    ]
    for attempt in writes:
        with pytest.raises(Forbidden):
            attempt()
    nobody = Actor(ACCOUNT, "nobody", frozenset())
    for look in (lambda: made.schedules.list(nobody), lambda: made.schedules.get(nobody, schedule.id)):
        with pytest.raises(Forbidden):
            look()


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
