"""Flows: documents by revision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import Field

from flowrunner.api.body_limits import takes_large
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import (
    DOCUMENT_BODY,
    FlowText,
    IfMatch,
    Moment,
    Shown,
    TheCursors,
    etag,
    expected_revision,
    moment,
)
from flowrunner.core.ids import FlowId
from flowrunner.core.problems import Problem
from flowrunner.language.errors import InvalidFlow
from flowrunner.services.flow_diff import FlowDiff, diff
from flowrunner.services.flow_records import FlowQuery, FlowRecord, FlowStatus, SavedFlow, parse_label, sort_key
from flowrunner.services.identity import Permission

api = router("flows")

TheFlow = Annotated[str, Path(max_length=64, description="The flow's id.")]
Sort = Literal["name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"]


class FlowSummary(Shown):
    """A flow without its document."""

    id: str
    name: str
    status: FlowStatus
    revision: int = Field(description="The newest one.")
    description: str | None
    version: str | None = Field(description="The author's own label.")
    labels: dict[str, str]
    triggers: list[str] = Field(description="The kinds of triggers that it has.", examples=[["schedule", "webhook"]])
    created_at: Moment | None
    created_by: str
    updated_at: Moment | None
    updated_by: str


class Warned(Shown):
    """Something in a document that is allowed and probably not meant."""

    field: str
    message: str
    line: int | None
    column: int | None
    suggestion: str | None


class FlowAnswer(FlowSummary):
    """A flow with one of its revisions."""

    document: str = Field(description="The document as its author wrote it.")
    shown_revision: int = Field(description="The revision that `document` is.")
    hash: str = Field(description="SHA-256 of the document, hex.")
    warnings: list[Warned]


class RevisionSummary(Shown):
    """One revision of a flow."""

    revision: int
    hash: str
    created_at: Moment | None


class DiffAnswer(Shown):
    """What is different between two revisions."""

    from_revision: int
    to_revision: int
    text: str = Field(description="A unified diff of the documents.")
    nodes_added: list[str]
    nodes_removed: list[str]
    nodes_changed: list[str]
    sections_changed: list[str] = Field(description="Top-level fields other than `nodes` that differ.")


class Verdict(Shown):
    """What is wrong with a document, and what looks wrong."""

    valid: bool
    errors: list[Warned]
    warnings: list[Warned]


@api.post(
    "/v1/flows",
    operation_id="create_flow",
    summary="Store a new flow",
    status_code=201,
    openapi_extra=DOCUMENT_BODY,
    responses={409: {"description": "The name is taken, or a trigger's path belongs to another flow."}},
)
@needs(Permission.FLOWS_WRITE)
@takes_large
def create_flow(
    caller: Caller,
    platform: ThePlatform,
    text: FlowText,
    response: Response,
    status: Annotated[
        Literal[FlowStatus.ACTIVE, FlowStatus.DRAFT], Query(description="The triggers of a draft do nothing.")
    ] = FlowStatus.ACTIVE,
) -> FlowAnswer:
    """The document's `metadata.name` names the flow; it is unique in the account."""
    saved = platform.flows.create(caller, text, status)
    response.headers["Location"] = f"/v1/flows/{saved.record.id}"
    return _with_document(saved, response)


@api.get("/v1/flows", operation_id="list_flows", summary="Find flows")
@needs(Permission.FLOWS_READ)
def list_flows(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    q: Annotated[str, Query(max_length=200, description="Looked for in names, descriptions and labels.")] = "",
    label: Annotated[
        list[str] | None, Query(max_length=20, description="`name=value` or `name`; all of them must fit.")
    ] = None,
    status: Annotated[FlowStatus | None, Query()] = None,
    name: Annotated[str | None, Query(max_length=128, description="The exact name.")] = None,
    sort: Annotated[Sort, Query()] = "name",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[FlowSummary]:
    """Archived flows are in the list unless `status` says otherwise."""
    labels = dict(parse_label(text) for text in label or ())
    listed = f"flows:{q}:{sorted(labels.items(), key=str)}:{status}:{name}:{sort}"
    after = cursors.open(caller.account, listed, cursor) if cursor else ""
    found = platform.flows.find(caller, FlowQuery(q, labels, status, name, sort, after, limit + 1))
    page, more = found[:limit], len(found) > limit
    next_cursor = cursors.seal(caller.account, listed, sort_key(page[-1], sort)) if more else None
    return Page(items=[_summary(record) for record in page], next_cursor=next_cursor)


@api.post(
    "/v1/flows/validate",
    operation_id="validate_flow",
    summary="Check a document without storing it",
    openapi_extra=DOCUMENT_BODY,
)
@needs(Permission.FLOWS_READ)
@takes_large
def validate_flow(caller: Caller, platform: ThePlatform, text: FlowText) -> Verdict:
    """Nothing of the document is executed. The answer is 200 for an invalid document, too."""
    try:
        loaded = platform.flows.check(caller, text)
    except InvalidFlow as error:
        return Verdict(valid=False, errors=[_warned(problem) for problem in error.problems], warnings=[])
    return Verdict(valid=True, errors=[], warnings=[_warned(problem) for problem in loaded.warnings])


@api.get("/v1/flows/{flow_id}", operation_id="get_flow", summary="A flow with its newest document")
@needs(Permission.FLOWS_READ)
def get_flow(caller: Caller, platform: ThePlatform, flow_id: TheFlow, response: Response) -> FlowAnswer:
    """The `ETag` is the revision; send it back as `If-Match` when you change the flow."""
    return _with_document(platform.flows.get(caller, FlowId(flow_id)), response)


@api.put(
    "/v1/flows/{flow_id}",
    operation_id="update_flow",
    summary="Store a new revision",
    openapi_extra=DOCUMENT_BODY,
    responses={
        409: {"description": "The document has another name, or a trigger's path belongs to another flow."},
        412: {"description": "The newest revision is not the one in `If-Match`."},
    },
)
@needs(Permission.FLOWS_WRITE)
@takes_large
def update_flow(
    caller: Caller,
    platform: ThePlatform,
    flow_id: TheFlow,
    text: FlowText,
    response: Response,
    if_match: IfMatch = None,
) -> FlowAnswer:
    """Runs that are under way stay on the revision that they began with. The newest document again changes nothing."""
    return _with_document(platform.flows.update(caller, FlowId(flow_id), text, expected_revision(if_match)), response)


@api.delete(
    "/v1/flows/{flow_id}",
    operation_id="delete_flow",
    summary="Delete a flow with its revisions and runs",
    status_code=204,
    responses={409: {"description": "It has live runs, and `force` was not given."}},
)
@needs(Permission.FLOWS_WRITE)
def delete_flow(
    caller: Caller,
    platform: ThePlatform,
    flow_id: TheFlow,
    force: Annotated[bool, Query(description="Cancel its live runs.")] = False,
) -> None:
    """It is gone at once; its history is removed in the background."""
    platform.flows.delete(caller, FlowId(flow_id), force=force)
    platform.background.wake("flows")


@api.post("/v1/flows/{flow_id}/archive", operation_id="archive_flow", summary="Take a flow out of service")
@needs(Permission.FLOWS_WRITE)
def archive_flow(caller: Caller, platform: ThePlatform, flow_id: TheFlow) -> FlowSummary:
    """Nothing starts it any more; what runs goes on, and all is kept."""
    return _summary(platform.flows.set_status(caller, FlowId(flow_id), FlowStatus.ARCHIVED))


@api.post(
    "/v1/flows/{flow_id}/activate",
    operation_id="activate_flow",
    summary="Put a draft or archived flow into service",
    responses={409: {"description": "A trigger's path belongs to another flow by now."}},
)
@needs(Permission.FLOWS_WRITE)
def activate_flow(caller: Caller, platform: ThePlatform, flow_id: TheFlow) -> FlowSummary:
    """Its triggers start it from now on."""
    return _summary(platform.flows.set_status(caller, FlowId(flow_id), FlowStatus.ACTIVE))


@api.get("/v1/flows/{flow_id}/revisions", operation_id="list_revisions", summary="The revisions of a flow")
@needs(Permission.FLOWS_READ)
def list_revisions(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    flow_id: TheFlow,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RevisionSummary]:
    """Newest first; revisions are kept for ever."""
    listed = f"revisions:{flow_id}"
    before = cursors.open(caller.account, listed, cursor) if cursor else None
    rows = platform.flows.revisions(caller, FlowId(flow_id), before, limit + 1)
    items = [RevisionSummary(revision=row.revision, hash=row.hash, created_at=moment(row.created_at)) for row in rows]
    more = len(items) > limit
    next_cursor = cursors.seal(caller.account, listed, items[limit - 1].revision) if more else None
    return Page(items=items[:limit], next_cursor=next_cursor)


Revision = Annotated[int, Path(ge=1, le=2**31 - 1)]


@api.get("/v1/flows/{flow_id}/revisions/{revision}", operation_id="get_revision", summary="One revision of a flow")
@needs(Permission.FLOWS_READ)
def get_revision(
    caller: Caller, platform: ThePlatform, flow_id: TheFlow, revision: Revision, response: Response
) -> FlowAnswer:
    """The document as it was then."""
    return _with_document(platform.flows.get(caller, FlowId(flow_id), revision), response)


@api.get("/v1/flows/{flow_id}/diff", operation_id="diff_revisions", summary="Compare two revisions")
@needs(Permission.FLOWS_READ)
def diff_revisions(
    caller: Caller,
    platform: ThePlatform,
    flow_id: TheFlow,
    from_revision: Annotated[int, Query(alias="from", ge=1, le=2**31 - 1)],
    to_revision: Annotated[int, Query(alias="to", ge=1, le=2**31 - 1)],
) -> DiffAnswer:
    """As text, and by node."""
    old = platform.flows.get(caller, FlowId(flow_id), from_revision).row
    new = platform.flows.get(caller, FlowId(flow_id), to_revision).row
    return _diff(from_revision, to_revision, diff(old, new))


def _summary(record: FlowRecord) -> FlowSummary:
    return FlowSummary(**_fields(record))


def _fields(record: FlowRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "revision": record.revision,
        "description": record.description,
        "version": record.version,
        "labels": dict(record.labels),
        "triggers": list(record.triggers),
        "created_at": moment(record.created_at),
        "created_by": record.created_by,
        "updated_at": moment(record.updated_at),
        "updated_by": record.updated_by,
    }


def _with_document(saved: SavedFlow, response: Response) -> FlowAnswer:
    response.headers["ETag"] = etag(saved.row.revision)
    return FlowAnswer(
        **_fields(saved.record),
        document=saved.row.document,
        shown_revision=saved.row.revision,
        hash=saved.row.hash,
        warnings=[_warned(problem) for problem in saved.warnings],
    )


def _warned(problem: Problem) -> Warned:
    return Warned(
        field=problem.field,
        message=problem.message,
        line=problem.line,
        column=problem.column,
        suggestion=problem.suggestion,
    )


def _diff(old: int, new: int, found: FlowDiff) -> DiffAnswer:
    return DiffAnswer(
        from_revision=old,
        to_revision=new,
        text=found.text,
        nodes_added=list(found.added),
        nodes_removed=list(found.removed),
        nodes_changed=list(found.changed),
        sections_changed=list(found.sections),
    )
