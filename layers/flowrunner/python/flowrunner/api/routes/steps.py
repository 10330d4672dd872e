"""Steps of a run: what each was given, what it did, and an answer for those that wait."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field

from flowrunner.api.body_limits import takes_large
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routes.runs import TheRun
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId, StepId
from flowrunner.engine.records import Attempt
from flowrunner.services.identity import Permission

api = router("steps")

TheStep = Annotated[str, Path(max_length=128, description="The step's id, like `score`, `poll.3` or `each[17]`.")]


class StepWait(Shown):
    """What a waiting step waits for."""

    until: Moment | None = Field(description="When its timer ends the wait.")
    run: str | None = Field(description="The run that it waits for.")
    data: Json


class StepSummary(Shown):
    """One attempt of a step, without its values."""

    id: str = Field(examples=["score", "poll.3", "each[17]"])
    node: str
    attempt: int
    status: Literal["running", "waiting", "succeeded", "failed", "skipped"]
    action: str | None
    error: dict[str, Json] | None
    cached: bool
    fallback: bool
    started_at: Moment | None
    ended_at: Moment | None
    duration_ms: int | None
    wait: StepWait | None


class StepAnswer(StepSummary):
    """One attempt of a step with its values."""

    input: Json = Field(description="What it was given, found again from what its predecessors gave.")
    output: Json
    vars: dict[str, Json] = Field(description="What its hooks wrote.")
    lost: list[str] = Field(
        description="The values that the store has lost, like `output` or `vars.total`; they are null.", examples=[[]]
    )
    attempts: list[StepSummary]


class SignalWish(Wish):
    """The answer to a waiting step."""

    payload: Json = Field(None, description="An approval takes `{approved, comment}`; a wait takes any value.")


@api.get("/v1/runs/{run_id}/steps", operation_id="list_steps", summary="The steps of a run")
@needs(Permission.RUNS_READ)
def list_steps(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    run_id: TheRun,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[StepSummary]:
    """Attempts in the order in which they were scheduled."""
    listed = f"steps:{run_id}"
    after: tuple[StepId, int] | None = None
    if cursor:
        step, attempt = cursors.open(caller.account, listed, cursor)
        after = (StepId(step), attempt)
    found = platform.runs.steps(caller, RunId(run_id), after, limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    next_cursor = cursors.seal(caller.account, listed, [last.step, last.attempt]) if last else None
    return Page(items=[StepSummary(**_fields(one)) for one in found[:limit]], next_cursor=next_cursor)


@api.get("/v1/runs/{run_id}/steps/{step_id}", operation_id="get_step", summary="A step with its values")
@needs(Permission.RUNS_READ)
def get_step(
    caller: Caller,
    platform: ThePlatform,
    run_id: TheRun,
    step_id: TheStep,
    attempt: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Left out: the last one.")] = None,
) -> StepAnswer:
    """Input, output, attempts, timings."""
    shown = platform.runs.step(caller, RunId(run_id), step_id, attempt)
    return StepAnswer(
        **_fields(shown.attempt),
        input=shown.input,
        output=shown.output,
        vars=dict(shown.vars),
        lost=list(shown.lost),
        attempts=[StepSummary(**_fields(one)) for one in shown.attempts],
    )


@api.post(
    "/v1/runs/{run_id}/steps/{step_id}/signal",
    operation_id="signal_step",
    summary="Answer a waiting step",
    status_code=204,
    responses={409: {"description": "It does not wait, or was answered already."}},
)
@needs(Permission.RUNS_WRITE)
@takes_large
def signal_step(caller: Caller, platform: ThePlatform, run_id: TheRun, step_id: TheStep, wish: SignalWish) -> None:
    """For people and programs with access to the run; others use the step's callback link."""
    platform.runs.signal(caller, RunId(run_id), step_id, wish.payload)


def _fields(attempt: Attempt) -> dict[str, Any]:
    wait = attempt.wait
    ended = attempt.ended_at if attempt.status.final else 0
    return {
        "id": attempt.label,
        "node": attempt.node,
        "attempt": attempt.attempt,
        "status": attempt.status.value,
        "action": attempt.action,
        "error": dict(attempt.error) if attempt.error else None,
        "cached": attempt.cached,
        "fallback": attempt.fallback,
        "started_at": moment(attempt.started_at),
        "ended_at": moment(ended),
        "duration_ms": ended - attempt.started_at if ended and attempt.started_at else None,
        "wait": StepWait(until=moment(wait.until), run=wait.child, data=wait.data) if wait else None,
    }
