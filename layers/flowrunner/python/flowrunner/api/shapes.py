"""Small things that many answers are made of."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from flowrunner.api.paging import Cursors
from flowrunner.core.ids import Millis
from flowrunner.core.times import iso_time, parse_time
from flowrunner.errors import InvalidInput, PreconditionFailed, UnsupportedMediaType


class Wish(BaseModel):
    """A request body: what is not known in it is refused."""

    # Built at once: FastAPI silences a warning of pydantic's while it makes a route, and only then.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=False)


class Shown(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, defer_build=True)


Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-21T08:49:07.123Z"])]
"""RFC 3339 in UTC with milliseconds."""


def moment(value: Millis | None) -> str | None:
    """A moment as answers show it; None for none (0 is none, too)."""
    return iso_time(value) if value else None


def moment_from(text: str | None, field: str) -> Millis | None:
    """A moment from a query. Raises `InvalidInput` naming `field`."""
    if text is None:
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{field} must be a moment like 2026-11-21T08:49:07Z", field=field) from None


def etag(revision: int) -> str:
    """The entity tag of a revision (RFC 9110, 8.8.3)."""
    return f'"{revision}"'


def expected_revision(if_match: str | None) -> int | None:
    """The revision that `If-Match` asks for; None without the header or for `*`. Raises `PreconditionFailed`.

    A tag that is none of ours matches nothing (RFC 9110, 13.1.1).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip().removeprefix('"').removesuffix('"')
    if not tag.isascii() or not tag.isdigit() or len(tag) > 9:
        raise PreconditionFailed(f"If-Match {if_match[:40]!r} is no revision of this flow", hint="send its ETag")
    return int(tag)


DOCUMENT_TYPES = (
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
    "application/json",
)
DOCUMENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A flow, in YAML or JSON.",
        "content": {
            "application/yaml": {
                "schema": {"type": "string"},
                "example": 'metadata: {name: hello}\nnodes:\n  greet: {type: transform, params: {value: "hi"}}\n',
            },
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


async def _document(request: Request) -> str:
    kind = request.headers.get("content-type", "application/yaml").partition(";")[0].strip().lower()
    if kind not in DOCUMENT_TYPES:
        raise UnsupportedMediaType(f"a flow is sent as application/yaml or application/json, not {kind[:60]!r}")
    body = await request.body()
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the flow is not UTF-8 (byte {error.start})") from None


async def _cursors(request: Request) -> Cursors:
    cursors: Cursors = request.app.state.cursors
    return cursors


FlowText = Annotated[str, Depends(_document)]
"""The body of the request: a document as its author wrote it."""

TheCursors = Annotated[Cursors, Depends(_cursors)]
IfMatch = Annotated[str | None, Header(description="The ETag of the revision that you saw; another one: 412.")]
