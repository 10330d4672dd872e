"""What happens to a run: pages of events, a stream of them, and the tickets with which browsers open a WebSocket."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Query, Request, WebSocket
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from flowrunner.api.live import (
    Accept,
    After,
    EventPage,
    LastEventId,
    json_answer,
    mailbox,
    position_of,
    staying,
    stream_answer,
)
from flowrunner.api.polling import poll_events
from flowrunner.api.routes.runs import TheRun
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown
from flowrunner.api.sse import EventStream, accepts_stream
from flowrunner.api.websocket import serve_socket
from flowrunner.core.ids import RunId
from flowrunner.core.times import iso_time
from flowrunner.services.identity import Permission
from flowrunner.services.live_frames import frame

api = router("events")

Limit = Annotated[int, Query(ge=1, le=1000, description="Events per page.")]


class TicketAnswer(Shown):
    """A ticket for one WebSocket."""

    ticket: str = Field(description="Good once, as `ticket` in the URL of a WebSocket.")
    url: str = Field(description="The WebSocket to open, with the ticket in it.")
    expires_at: Moment


@api.get(
    "/v1/runs/{run_id}/events",
    operation_id="list_run_events",
    summary="What happened to a run",
    response_model=EventPage,
    responses=stream_answer("A page; with `Accept: text/event-stream` a stream that goes on until the run ends."),
)
@needs(Permission.RUNS_READ)
async def list_run_events(
    caller: Caller,
    platform: ThePlatform,
    run_id: TheRun,
    after: After = None,
    limit: Limit = 100,
    last_event_id: LastEventId = None,
    accept: Accept = None,
) -> Response:
    """From the beginning or from where you were; every later event comes at least once."""
    position = position_of(last_event_id, after)
    run = RunId(run_id)
    if accepts_stream(accept):
        if platform.settings.live.delivery == "poll":
            return await poll_events(platform, caller, run, position)
        reader = await run_in_threadpool(platform.live.subscribe, caller, run, position, mailbox(), run)
        return EventStream(reader, staying(platform, caller), platform.settings.live.heartbeat / 1000)
    page = await run_in_threadpool(platform.live.read, caller, run, position, limit)
    events = b",".join(frame(placed).json for placed in page.events)
    rest = orjson.dumps({"cursor": str(page.cursor), "more": page.more, "ended": page.ended})
    return json_answer(b'{"events":[' + events + b"]," + rest[1:])


@api.post("/v1/ws/tickets", operation_id="create_ticket", summary="A ticket for a WebSocket", status_code=201)
@needs(Permission.RUNS_READ)
def create_ticket(caller: Caller, platform: ThePlatform, request: Request) -> TicketAnswer:
    """For browsers, which cannot send a token along; good once, for 30 seconds."""
    ticket, expires_at = platform.tickets.issue(caller)
    url = platform.settings.live.public_socket_url
    if url is None:
        base = platform.settings.public_url or str(request.base_url)
        url = base.replace("http", "ws", 1).rstrip("/") + "/v1/ws"
    return TicketAnswer(ticket=ticket, url=f"{url}?ticket={ticket}", expires_at=iso_time(expires_at))


@api.websocket("/v1/ws")
async def live_socket(socket: WebSocket) -> None:
    """See `api.websocket`."""
    await serve_socket(socket)
