"""Runs: started, listed, watched to their end, cancelled, redriven."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Header, Path, Query, Response
from pydantic import BeforeValidator, Field
from starlette.concurrency import run_in_threadpool

from flowrunner.api.body_limits import takes_large
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment, moment_from
from flowrunner.api.waiting import wait_for_end
from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json
from flowrunner.core.ids import FlowId, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.children import INLINE
from flowrunner.errors import InvalidInput
from flowrunner.ports.history import RunFilter
from flowrunner.services.identity import Actor, Permission
from flowrunner.services.platform import Platform
from flowrunner.services.runs import ShownRun, StartWish, unless_lost

api = router("runs")

TheRun = Annotated[str, Path(max_length=64, description="The run's id.")]
MOST_LABELS = 32

Status = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]


class FlowOfRun(Shown):
    """Which revision of which flow a run executes."""

    id: str
    name: str
    revision: int


class RunError(Shown):
    """Why a run failed."""

    code: str
    message: str
    node: str | None = None
    details: Json = None


class RunSummary(Shown):
    """A run without its values."""

    id: str
    flow: FlowOfRun
    status: Status
    progress: int = Field(ge=0, le=100, description="An estimate, in percent; it never goes back.")
    current_nodes: list[str]
    attempt: int = Field(description="1, and one more for each redrive and each retry of the whole run.")
    started_by: str
    labels: dict[str, str]
    error: RunError | None
    started_at: Moment | None
    ended_at: Moment | None
    duration_ms: int | None


class RunAnswer(RunSummary):
    """A run with its values."""

    input: Json
    output: Json
    lost: list[str] = Field(
        description="Those of `input` and `output` that the store has lost; they are null.", examples=[[]]
    )
    parent_run: str | None = Field(description="The run that waits for this one.")
    estimated_cost_usd: float = Field(description="What this run costs on AWS, estimated; see docs/observability.md.")


class RunDocument(Shown):
    """The document that a run executes."""

    document: str
    revision: int
    inline: bool = Field(description="It stands in another flow, or is an agent's, and is not in the list of flows.")


def _few(labels: Any) -> Any:
    """Refuse too many before each of them is looked at."""
    if isinstance(labels, dict) and len(labels) > MOST_LABELS:
        raise ValueError(f"a run has at most {MOST_LABELS} labels")
    return labels


class RunWish(Wish):
    """How to start a run."""

    input: Json = Field(None, description="Checked against the flow's `inputs`.", examples=[{"order_id": "A-17"}])
    revision: int | None = Field(None, ge=1, le=2**31 - 1, description="Left out: the newest.")
    labels: Annotated[dict[str, Annotated[str, Field(max_length=256)]], BeforeValidator(_few)] = Field(
        default_factory=dict, max_length=MOST_LABELS, description="For your own use; shown with the run."
    )


class RedriveWish(Wish):
    """From where to go on. Without anything: from the steps that failed or were cut off."""

    node: str | None = Field(None, max_length=64, description="Go on from this node, with all that lies behind it.")
    revision: int | None = Field(None, ge=1, le=2**31 - 1, description="Go on with this revision of the flow.")


class CancelWish(Wish):
    """Why a run is stopped."""

    reason: str = Field("cancelled", min_length=1, max_length=500)


@api.post(
    "/v1/flows/{flow_id}/runs",
    operation_id="start_run",
    summary="Start a run",
    status_code=202,
    responses={
        200: {"model": RunAnswer, "description": "It ended within `wait`."},
        409: {"description": "The flow is archived, its `concurrency` rejects the run, or the key was used otherwise."},
    },
)
@needs(Permission.RUNS_WRITE)
@takes_large
async def start_run(
    caller: Caller,
    platform: ThePlatform,
    response: Response,
    flow_id: Annotated[str, Path(max_length=64)],
    wish: RunWish | None = None,
    wait: Annotated[
        str | None, Query(max_length=16, description="Answer with the result if the run ends in this time: `20s`.")
    ] = None,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="The same key starts one run, for 24 hours.")
    ] = None,
) -> RunAnswer:
    """When this is answered the run is stored and will end, whatever happens to this server."""
    wish = wish or RunWish()
    seconds = _wait(platform, wait)
    asked = StartWish(FlowId(flow_id), wish.input, wish.revision, wish.labels, idempotency_key)
    run = await run_in_threadpool(platform.runs.start, caller, asked)
    if seconds and await wait_for_end(platform, caller.account, run, seconds):
        response.status_code = 200
    response.headers["Location"] = f"/v1/runs/{run}"
    return await run_in_threadpool(_answer, platform, caller, run)


@api.get("/v1/runs", operation_id="list_runs", summary="Find runs")
@needs(Permission.RUNS_READ)
def list_runs(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    flow: Annotated[str | None, Query(max_length=64, description="A flow's id.")] = None,
    status: Annotated[list[Status] | None, Query(max_length=6)] = None,
    since: Annotated[str | None, Query(max_length=40, description="Started at or after this moment.")] = None,
    until: Annotated[str | None, Query(max_length=40, description="Started before this moment.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunSummary]:
    """Newest first."""
    statuses = sorted(set(status or ()))
    listed = f"runs:{flow}:{statuses}:{since}:{until}"
    wanted = RunFilter(
        flow=FlowId(flow) if flow is not None else None,
        statuses=statuses,
        created_from=moment_from(since, "since"),
        created_to=moment_from(until, "until"),
        before=RunId(cursors.open(caller.account, listed, cursor)) if cursor else None,
        limit=limit + 1,
    )
    found = platform.runs.find(caller, wanted)
    next_cursor = cursors.seal(caller.account, listed, found[limit - 1].row.id) if len(found) > limit else None
    return Page(items=[RunSummary(**summary_fields(run)) for run in found[:limit]], next_cursor=next_cursor)


@api.get("/v1/runs/{run_id}", operation_id="get_run", summary="A run with its result")
@needs(Permission.RUNS_READ)
def get_run(caller: Caller, platform: ThePlatform, run_id: TheRun) -> RunAnswer:
    """As it is now."""
    return _answer(platform, caller, RunId(run_id))


@api.get("/v1/runs/{run_id}/flow", operation_id="get_flow_of_run", summary="The flow as a run has it")
@needs(Permission.FLOWS_READ)
def get_flow_of_run(caller: Caller, platform: ThePlatform, run_id: TheRun) -> RunDocument:
    """Also one that stands in another flow, or is an agent's: those have no id that could be asked for."""
    row = platform.runs.flow(caller, RunId(run_id))
    return RunDocument(document=row.document, revision=row.revision, inline=row.name.startswith(INLINE))


@api.post(
    "/v1/runs/{run_id}/cancel",
    operation_id="cancel_run",
    summary="Stop a run",
    responses={409: {"description": "It has ended already."}},
)
@needs(Permission.RUNS_WRITE)
def cancel_run(caller: Caller, platform: ThePlatform, run_id: TheRun, wish: CancelWish | None = None) -> RunAnswer:
    """When this is answered no step starts any more; what is in flight ends and is recorded."""
    platform.runs.cancel(caller, RunId(run_id), (wish or CancelWish()).reason)
    return _answer(platform, caller, RunId(run_id))


@api.post(
    "/v1/runs/{run_id}/redrive",
    operation_id="redrive_run",
    summary="Go on after the end",
    responses={409: {"description": "It has not ended, or there is nothing to go on from."}},
)
@needs(Permission.RUNS_WRITE)
def redrive_run(caller: Caller, platform: ThePlatform, run_id: TheRun, wish: RedriveWish | None = None) -> RunAnswer:
    """Steps that succeeded are kept, unless they lie behind `node`."""
    wish = wish or RedriveWish()
    platform.runs.redrive(caller, RunId(run_id), wish.node, wish.revision)
    return _answer(platform, caller, RunId(run_id))


@api.delete(
    "/v1/runs/{run_id}",
    operation_id="delete_run",
    summary="Remove an ended run",
    status_code=204,
    responses={409: {"description": "It has not ended."}},
)
@needs(Permission.RUNS_WRITE)
def delete_run(caller: Caller, platform: ThePlatform, run_id: TheRun) -> None:
    """With its steps, values and events."""
    platform.runs.delete(caller, RunId(run_id))


def summary_fields(run: ShownRun) -> dict[str, Any]:
    """The fields of a `RunSummary`."""
    row, state = run.row, run.state
    error = run.result.get("err") or state.error
    return {
        "id": row.id,
        "flow": FlowOfRun(id=row.flow, name=row.flow_name, revision=row.revision),
        "status": row.status if row.status in TERMINAL else state.shown_status,
        "progress": state.progress,
        "current_nodes": list(state.current_nodes),
        "attempt": state.attempt,
        "started_by": run.facts.started_by,
        "labels": dict(run.facts.labels),
        "error": RunError(**{key: error.get(key) for key in RunError.model_fields}) if error else None,
        "started_at": moment(row.created_at),
        "ended_at": moment(row.ended_at),
        "duration_ms": row.ended_at - row.created_at if row.ended_at else None,
    }


def _answer(platform: Platform, caller: Actor, run: RunId) -> RunAnswer:
    reader = Actor(caller.account, caller.name, caller.permissions | {Permission.RUNS_READ})
    shown = platform.runs.get(reader, run)
    lost: list[str] = []
    return RunAnswer(
        **summary_fields(shown),
        input=unless_lost("input", lost, lambda: platform.runs.input(shown)),
        output=unless_lost("output", lost, lambda: platform.runs.output(shown)),
        lost=lost,
        parent_run=shown.facts.parent[0] if shown.facts.parent else None,
        estimated_cost_usd=platform.runs.micro_dollars(shown) / 1_000_000,
    )


def _wait(platform: Platform, text: str | None) -> float:
    """Seconds to wait. Raises `InvalidInput`."""
    if text is None:
        return 0.0
    try:
        millis = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"wait: {error}", field="wait") from None
    longest = platform.settings.api.max_wait
    if millis > longest:
        raise InvalidInput(f"wait is at most {longest // 1000}s here", field="wait")
    return millis / 1000
