"""The audit log of an account."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors
from flowrunner.core.times import iso_time
from flowrunner.errors import InvalidInput
from flowrunner.services.audit import Mark, Record
from flowrunner.services.identity import Permission

api = router("audit")


class AuditRecord(Shown):
    """One act."""

    seq: int = Field(description="Counts the acts of the account, from 1, without gaps.")
    at: Moment
    who: str = Field(examples=["ann"])
    user: str | None = Field(description="The user's id.")
    token: str | None = Field(description="The token's id, if one was used.")
    action: str = Field(examples=["token.created"])
    target: str
    details: dict[str, Any]
    address: str
    correlation_id: str
    prev: str = Field(description="The hash of the record before.")
    hash: str = Field(description="SHA-256 over `prev` and the record; see docs/observability.md.")


class AuditMark(Shown):
    """The end of a chain. Note it down elsewhere, and give it to a later check."""

    count: int
    hash: str


class AuditVerdict(Shown):
    """Whether the log is whole."""

    ok: bool
    records: int = Field(description="Good ones, from the first on.")
    head: AuditMark
    first_bad: int | None = Field(description="The number of the first record that was changed, removed or moved.")
    reason: str


@api.get("/v1/audit", operation_id="list_audit_records", summary="Who did what")
@needs(Permission.AUDIT_READ)
def list_audit_records(
    caller: Caller,
    platform: ThePlatform,
    cursors: TheCursors,
    action: Annotated[
        str | None, Query(max_length=64, description="`token.created`, or all of a kind: `token`.")
    ] = None,
    who: Annotated[str | None, Query(max_length=256, description="The name of who did it.")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="Which come first.")] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditRecord]:
    """With a filter a page may hold fewer records than asked for and still have a next one."""
    listed = f"audit:{action}:{who}:{order}"
    position = int(cursors.open(caller.account, listed, cursor)) if cursor else None
    if order == "oldest":
        page = platform.audit.list(caller, after=position or 0, limit=limit, action=action, who=who)
    else:
        page = platform.audit.list(caller, before=position, limit=limit, action=action, who=who)
    following = cursors.seal(caller.account, listed, page.next) if page.next is not None else None
    return Page(items=[_record(record) for record in page.records], next_cursor=following)


@api.get("/v1/audit/verify", operation_id="verify_audit", summary="Check that the log is whole")
@needs(Permission.AUDIT_READ)
def verify_audit(
    caller: Caller,
    platform: ThePlatform,
    count: Annotated[
        int | None, Query(ge=1, le=2**53, description="Of a `head` noted earlier, with its `hash`.")
    ] = None,
    hash: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="Of a `head` noted earlier.")] = None,  # noqa: A002  # the name in the URL
) -> AuditVerdict:
    """Reads all records of the account. With a head that was noted elsewhere it also finds a log made anew."""
    if (count is None) != (hash is None):
        raise InvalidInput("send `count` and `hash` of a head together", field="hash" if hash is None else "count")
    anchor = Mark(count, hash) if count is not None and hash is not None else None
    verdict = platform.audit.verify(caller, anchor)
    return AuditVerdict(
        ok=verdict.ok,
        records=verdict.records,
        head=AuditMark(count=verdict.head.count, hash=verdict.head.hash),
        first_bad=verdict.first_bad,
        reason=verdict.reason,
    )


def _record(record: Record) -> AuditRecord:
    return AuditRecord(
        seq=record.seq,
        at=iso_time(record.at),
        who=record.who,
        user=record.user,
        token=record.token,
        action=record.action,
        target=record.target,
        details=dict(record.details),
        address=record.address,
        correlation_id=record.correlation,
        prev=record.prev,
        hash=record.hash,
    )
