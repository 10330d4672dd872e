"""How a run went, in few bytes: each attempt as one row, for those who draw a run of many steps at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import orjson
from fastapi import Query
from fastapi.responses import Response
from pydantic import Field

from flowrunner.api.live import After, EventAnswer, json_answer, position_of
from flowrunner.api.routes.runs import TheRun
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Shown
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId
from flowrunner.engine.feed import Stretch
from flowrunner.engine.records import Attempt
from flowrunner.engine.run_events import attempt_events
from flowrunner.services.identity import Permission, require
from flowrunner.services.live_frames import document

api = router("events")

COLUMNS = ["step", "node", "attempt", "status", "started", "waiting", "ended", "retry", "action", "error"]
MESSAGE = 500
"""Characters of an error's message that a row has; the step itself has all of it."""
LINES = 1024 * 1024
"""Bytes of log lines and events that an answer has."""
SAID = {"step.log", "step.event"}

Limit = Annotated[int, Query(ge=1, le=20_000, description="Attempts per page; more where one commit took more.")]


class TimelineAnswer(Shown):
    """The attempts of a run as rows. Times are milliseconds since 1970, for arithmetic; null where nothing was."""

    status: str = Field(examples=["completed"])
    started: int
    ended: int | None
    columns: list[str] = Field(description="What the values of each row are.", examples=[COLUMNS])
    attempts: list[list[Json]] = Field(
        description="In the order of the commits; those under way come last.",
        examples=[[["score", "score", 1, "succeeded", 1795275462436, None, 1795275462441, None, "default", None]]],
    )
    lines: list[EventAnswer] = Field(description="What these attempts have said: their `step.log` and `step.event`.")
    lines_cut: bool = Field(description="They have said more than fits: read the run's events or logs for all of it.")
    cursor: str = Field(description="Send it as `after` for the next page, or to the run's events for what follows.")
    more: bool = Field(description="The next page can be had at once.")


@api.get(
    "/v1/runs/{run_id}/timeline",
    operation_id="get_timeline",
    summary="How a run went, in few bytes",
    response_model=TimelineAnswer,
)
@needs(Permission.RUNS_READ)
def get_timeline(
    caller: Caller, platform: ThePlatform, run_id: TheRun, after: After = None, limit: Limit = 5_000
) -> Response:
    """All attempts, each as a row; follow the events from `cursor` on for what happens then."""
    require(caller, Permission.RUNS_READ)
    found = platform.engine.feed.stretch(caller.account, RunId(run_id), position_of(None, after), limit)
    lines, cut = said(found)
    ended = found.row.ended_at if found.state.status.over else None
    body = {
        "status": found.state.shown_status,
        "started": found.row.created_at,
        "ended": ended or None,
        "columns": COLUMNS,
        "attempts": [row_of(one) for one in found.attempts],
        "lines": lines,
        "lines_cut": cut,
        "cursor": str(found.cursor),
        "more": found.more,
    }
    return json_answer(orjson.dumps(body))


def row_of(attempt: Attempt) -> list[Json]:
    """An attempt as the values of `COLUMNS`."""
    message = (attempt.error or {}).get("message")
    final = attempt.status.final
    return [
        attempt.label,
        attempt.node,
        attempt.attempt,
        "retrying" if attempt.retry_at else attempt.status.value,
        attempt.started_at or None,
        (attempt.wait.at or attempt.started_at or None) if attempt.wait else None,
        (attempt.ended_at or None) if final else None,
        attempt.retry_at or None,
        attempt.action if final else None,
        message[:MESSAGE] if isinstance(message, str) else None,
    ]


def said(found: Stretch) -> tuple[list[dict[str, Any]], bool]:
    """The log lines and events of these attempts, and whether there were too many."""
    lines: list[dict[str, Any]] = []
    room = LINES
    for line in _lines(found.row.id, found.attempts):
        room -= len(orjson.dumps(line))
        if room < 0:
            return lines, True
        lines.append(line)
    return lines, False


def _lines(run: RunId, attempts: Iterable[Attempt]) -> Iterable[dict[str, Any]]:
    for attempt in attempts:
        if attempt.logs or attempt.events:
            yield from (document(event) for event in attempt_events(run, attempt) if event.type in SAID)
