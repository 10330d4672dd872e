"""The log of a run: what its steps said."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from flowrunner.api.live import Accept, After, LastEventId, mailbox, position_of, staying, stream_answer
from flowrunner.api.polling import poll_events
from flowrunner.api.routes.runs import TheRun
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown
from flowrunner.api.sse import EventStream, accepts_stream
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId
from flowrunner.core.times import iso_time
from flowrunner.engine.run_events import RunEvent
from flowrunner.services.identity import Permission
from flowrunner.services.live_frames import Frame
from flowrunner.services.live_logs import LEVELS, LogFilter

api = router("events")

Level = Literal["debug", "info", "warning", "error"]


class LogLine(Shown):
    """Something that a step said."""

    id: str = Field(examples=["12.0:1:log0"])
    at: Moment
    step_id: str = Field(examples=["score", "poll.3", "each[17]"])
    node: str
    attempt: int
    level: Level
    message: str
    data: Json = None


class LogPage(Shown):
    """Some lines of a run's log, in order."""

    logs: list[LogLine]
    cursor: str = Field(description="Send it as `after` for what comes next; steps under way are told again with it.")
    more: bool = Field(description="The next page can be had at once; this one may be empty all the same.")
    ended: bool = Field(description="The run is over and these were its last lines.")


@api.get(
    "/v1/runs/{run_id}/logs",
    operation_id="list_run_logs",
    summary="The log of a run",
    response_model=LogPage,
    responses=stream_answer(
        "A page; with `follow` or `Accept: text/event-stream` a stream of `step.log` events that ends with the run's."
    ),
)
@needs(Permission.RUNS_READ)
async def list_run_logs(
    caller: Caller,
    platform: ThePlatform,
    run_id: TheRun,
    node: Annotated[str | None, Query(max_length=64, description="Only this node's.")] = None,
    level: Annotated[Level | None, Query(description="This level and higher ones.")] = None,
    text: Annotated[str | None, Query(max_length=200, description="In the message; case does not count.")] = None,
    follow: Annotated[bool, Query(description="Stream, and go on until the run ends.")] = False,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Lines per page.")] = 100,
    last_event_id: LastEventId = None,
    accept: Accept = None,
) -> LogPage | Response:
    """Step by step in the order in which the steps ended, then those under way."""
    position = position_of(last_event_id, after)
    wanted = LogFilter(node, level, text)
    run = RunId(run_id)
    if follow or accepts_stream(accept):

        def pick(frame: Frame) -> bool:
            event = frame.event
            return wanted.takes(event) or (event.step_id is None and event.type != "run.started")

        if platform.settings.live.delivery == "poll":
            return await poll_events(platform, caller, run, position, pick)
        reader = await run_in_threadpool(platform.live.subscribe, caller, run, position, mailbox(), run)
        return EventStream(reader, staying(platform, caller), platform.settings.live.heartbeat / 1000, pick)
    page = await run_in_threadpool(platform.live.logs, caller, run, position, wanted, limit)
    lines = [_line(placed.event) for placed in page.events]
    return LogPage(logs=lines, cursor=str(page.cursor), more=page.more, ended=page.ended)


def _line(event: RunEvent) -> LogLine:
    data: Any = event.data
    return LogLine(
        id=event.id,
        at=iso_time(event.at),
        step_id=event.step_id or "",
        node=event.node or "",
        attempt=event.attempt or 1,
        level=data["level"] if data["level"] in LEVELS else "info",  # a plugin may have its own
        message=str(data["message"]),
        data=data.get("data"),
    )
