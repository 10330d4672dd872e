"""What the routes of live events share: how events look in answers, positions from headers and queries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Header, Query
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from flowrunner.api.shapes import Moment, Shown
from flowrunner.api.sse import MEDIA_TYPE
from flowrunner.core.flow import Json
from flowrunner.engine.feed import START, Position
from flowrunner.errors import Forbidden, InvalidInput, Unauthenticated
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.mailbox import Mailbox
from flowrunner.services.platform import Platform

MAX_POSITION = 256

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=MAX_POSITION, description="The `id` of the last event that you got."),
]
After = Annotated[
    str | None,
    Query(max_length=MAX_POSITION, description="`cursor` of the page before, or the `id` of a streamed event."),
]
Accept = Annotated[str | None, Header(include_in_schema=False)]


class EventAnswer(Shown):
    """Something that happened to a run. `id` is unique within the run and never changes: drop what you have seen."""

    id: str = Field(examples=["12.0:1:succeeded"])
    type: str = Field(examples=["step.succeeded"])
    run_id: str
    at: Moment
    step_id: str | None = Field(None, examples=["score", "poll.3", "each[17]"])
    node: str | None = None
    attempt: int | None = None
    data: Json = None


class EventPage(Shown):
    """Some events of a run, in order."""

    events: list[EventAnswer]
    cursor: str = Field(description="Send it as `after` for what comes next; steps under way are told again with it.")
    more: bool = Field(description="The next page can be had at once.")
    ended: bool = Field(description="The run is over and these were its last events.")


def stream_answer(what: str) -> dict[int | str, dict[str, Any]]:
    """The documentation of a route that also streams."""
    example = (
        'id: 12~12.0:1:log0\nevent: step.log\ndata: {"id": "12.0:1:log0", "type": "step.log", "run_id": "…", '
        '"at": "2026-11-21T08:49:07.123Z", "step_id": "score", "node": "score", "attempt": 1, '
        '"data": {"level": "info", "message": "hello"}}\n\n'
    )
    return {200: {"description": what, "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}}}}


def position_of(last_event_id: str | None, after: str | None) -> Position:
    """Where a reader is: what its client says by itself when it reconnects counts first. Raises `InvalidInput`."""
    given = last_event_id or after
    if not given:
        return START
    try:
        return Position.parse(given)
    except InvalidInput as error:
        error.details["field"] = "Last-Event-ID" if last_event_id else "after"
        raise


def mailbox() -> Mailbox:
    """A mailbox in the loop that runs."""
    return Mailbox(asyncio.get_running_loop())


def staying(platform: Platform, actor: Actor) -> Callable[[], Awaitable[bool]]:
    """Whether the one who reads may still do so: asked while a connection lasts."""

    def check() -> bool:
        try:
            require(platform.authenticator.recheck(actor), Permission.RUNS_READ)
        except (Unauthenticated, Forbidden):
            return False
        return True

    async def stay() -> bool:
        return await run_in_threadpool(check)

    return stay


def json_answer(body: bytes) -> Response:
    """An answer that is JSON already."""
    return Response(body, media_type="application/json")
