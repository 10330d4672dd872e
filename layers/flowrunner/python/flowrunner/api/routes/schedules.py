"""Schedules: runs at moments, once or again and again."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query, Response
from pydantic import Field

from flowrunner.api.body_limits import takes_large
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.core.flow import Json
from flowrunner.core.ids import FlowId, Millis
from flowrunner.core.times import iso_time
from flowrunner.services.identity import Permission
from flowrunner.services.schedule_entries import Schedule
from flowrunner.services.schedules import ScheduleWish

api = router("triggers")

TheSchedule = Annotated[str, Path(max_length=128, description="The schedule's id.")]
UPCOMING = 5


class ScheduleError(Shown):
    """Why the last start was refused."""

    code: str
    message: str
    at: Moment


class ScheduleModel(Shown):
    """A schedule of a flow."""

    id: str
    flow_id: str
    source: Literal["flow", "api"] = Field(
        description="`flow`: it stands in the flow's document, which alone can change more than `enabled`."
    )
    cron: str | None
    at: Moment | None
    timezone: str
    input: Json
    enabled: bool
    missed: Literal["skip", "run_once"]
    active: bool = Field(description="Whether its flow is in service; otherwise it rests.")
    next_times: list[Moment] = Field(description="When it fires next, up to five times; none while it rests.")
    last_time: Moment | None = Field(description="The moment for which it fired last.")
    last_run: str | None = Field(description="The run that it started last.")
    last_missed: Moment | None = Field(description="The last moment at which it should have fired and could not.")
    last_error: ScheduleError | None = Field(description="Why the last start was refused; null: it was not.")
    created_at: Moment | None
    created_by: str


class ScheduleFields(Wish):
    """When a flow runs, and with what. Give either `cron` or `at`."""

    cron: str | None = Field(
        None,
        max_length=256,
        description="Five fields: minute, hour, day of the month, month, day of the week.",
        examples=["0 9 * * MON-FRI"],
    )
    at: str | None = Field(None, max_length=64, description="One moment, RFC 3339.", examples=["2030-01-31T09:00:00Z"])
    timezone: str = Field("UTC", max_length=64, description="Of `cron`.", examples=["Europe/Berlin"])
    input: Json = Field(None, description="The run's input; must fit the flow's `inputs`.")
    enabled: bool = True
    missed: Literal["skip", "run_once"] = Field(
        "skip", description="What becomes of moments at which nobody was there: none of them runs, or the last one."
    )


class NewSchedule(ScheduleFields):
    """A schedule to make."""

    flow_id: str = Field(max_length=64, description="The flow to run, always in its newest revision.")


@api.get("/v1/schedules", operation_id="list_schedules", summary="The account's schedules")
@needs(Permission.SCHEDULES_READ)
def list_schedules(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    flow: Annotated[str | None, Query(max_length=64, description="Only those of this flow, by its id.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ScheduleModel]:
    """Those that stand in documents, and those that were made here."""
    listed = f"schedules:{flow}"
    after = cursors.open(caller.account, listed, cursor) if cursor else None
    wanted = FlowId(flow) if flow is not None else None
    found = platform.schedules.list(caller, flow=wanted, after=after, limit=limit + 1)
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, listed, page[-1].id) if more else None
    now = platform.engine.parts.clock.now()
    return Page(items=[_model(schedule, now) for schedule in page], next_cursor=next_cursor)


@api.post(
    "/v1/schedules",
    operation_id="create_schedule",
    summary="Make a schedule",
    status_code=201,
    responses={404: {"description": "There is no such flow."}},
)
@needs(Permission.SCHEDULES_WRITE)
@takes_large
def create_schedule(caller: Caller, platform: ThePlatform, wish: NewSchedule, response: Response) -> ScheduleModel:
    """It fires from now on. The answer has its next five times."""
    schedule = platform.schedules.create(caller, FlowId(wish.flow_id), _wish(wish))
    response.headers["Location"] = f"/v1/schedules/{schedule.id}"
    platform.background.wake("schedules")
    return _model(schedule, platform.engine.parts.clock.now())


@api.get("/v1/schedules/{schedule_id}", operation_id="get_schedule", summary="One schedule")
@needs(Permission.SCHEDULES_READ)
def get_schedule(caller: Caller, platform: ThePlatform, schedule_id: TheSchedule) -> ScheduleModel:
    """With its next five times, its last run, and why the last start was refused, if it was."""
    return _model(platform.schedules.get(caller, schedule_id), platform.engine.parts.clock.now())


@api.put(
    "/v1/schedules/{schedule_id}",
    operation_id="update_schedule",
    summary="Change a schedule",
    responses={409: {"description": "It stands in its flow's document, and more than `enabled` is different."}},
)
@needs(Permission.SCHEDULES_WRITE)
@takes_large
def update_schedule(
    caller: Caller, platform: ThePlatform, schedule_id: TheSchedule, wish: ScheduleFields
) -> ScheduleModel:
    """Give all fields: one that is left out gets its default. It goes on from now; nothing counts as missed."""
    schedule = platform.schedules.update(caller, schedule_id, _wish(wish))
    platform.background.wake("schedules")
    return _model(schedule, platform.engine.parts.clock.now())


@api.delete(
    "/v1/schedules/{schedule_id}",
    operation_id="delete_schedule",
    summary="Remove a schedule",
    status_code=204,
    responses={409: {"description": "It stands in its flow's document; disable it, or remove it there."}},
)
@needs(Permission.SCHEDULES_WRITE)
def delete_schedule(caller: Caller, platform: ThePlatform, schedule_id: TheSchedule) -> None:
    """Runs that it started go on."""
    platform.schedules.delete(caller, schedule_id)


def _wish(wish: ScheduleFields) -> ScheduleWish:
    return ScheduleWish(wish.cron, wish.at, wish.timezone, wish.input, wish.enabled, wish.missed)


def _model(schedule: Schedule, now: Millis) -> ScheduleModel:
    error = schedule.last_error
    return ScheduleModel(
        id=schedule.id,
        flow_id=schedule.flow,
        source="flow" if schedule.from_document else "api",
        cron=schedule.timing.cron,
        at=moment(schedule.timing.at),
        timezone=schedule.timing.timezone,
        input=schedule.input,
        enabled=schedule.enabled,
        missed=schedule.missed,
        active=schedule.active,
        next_times=[iso_time(one) for one in schedule.upcoming(now, UPCOMING)],
        last_time=moment(schedule.last_due),
        last_run=schedule.last_run,
        last_missed=moment(schedule.last_missed),
        last_error=ScheduleError(code=error.code, message=error.message, at=iso_time(error.at)) if error else None,
        created_at=moment(schedule.created_at),
        created_by=schedule.created_by,
    )
