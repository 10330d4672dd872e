"""Where schedules come from: the triggers of documents, and people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import FlowId
from flowrunner.core.times import iso_time, parse_time
from flowrunner.errors import Conflict, Forbidden, InvalidInput, NotFound
from flowrunner.services.flow_records import FlowStatus
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.schedule_entries import KIND
from flowrunner.services.schedules import ScheduleWish
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT
from tests.services.scheduling import HOUR, ORDERS, PLAIN, only, turn, with_triggers
from tests.services.triggering import OWNER, STRANGER, Services, services


@pytest.fixture
def made() -> Iterator[Services]:
    """The services with a clock at midnight."""
    with services() as ready:
        yield ready


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
