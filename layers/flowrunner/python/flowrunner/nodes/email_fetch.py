"""Fetching mail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.fields import Duration
from flowrunner.nodes.mail_server import ImapServer, Line

if TYPE_CHECKING:
    from flowrunner.nodes.mail_imap import Mailbox

MAX_TOTAL = 25 * 1024 * 1024
"""Of all messages of one execution, as they come over the wire."""
OVERHEAD = 8 * 1024 * 1024
"""What a server may say beside messages: uids, flags, sizes."""

Uid = Annotated[int, Field(ge=1, le=4_294_967_295)]


class EmailFetchParams(Params):
    """Parameters of `email.fetch`."""

    server: ImapServer = Field(description="{host, port, tls, username, password}; tls is tls, starttls or none.")
    folder: Line = Field("INBOX", min_length=1, max_length=500, description="Where to look.")
    from_: Line | None = Field(None, alias="from", min_length=1, max_length=500, description="Part of the sender.")
    to: Line | None = Field(None, min_length=1, max_length=500, description="Part of the recipient.")
    subject: Line | None = Field(None, min_length=1, max_length=500, description="Part of the subject.")
    text: Line | None = Field(None, min_length=1, max_length=500, description="Part of the message.")
    since: date | None = Field(None, description="Received on this day or later, like 2026-11-21.")
    before: date | None = Field(None, description="Received before this day.")
    seen: bool | None = Field(None, description="Only those that were read (true) or not (false).")
    flagged: bool | None = Field(None, description="Only those with the flag (true) or without it (false).")
    answered: bool | None = Field(None, description="Only those that were answered (true) or not (false).")
    uids: list[Uid] | None = Field(None, min_length=1, max_length=1_000, description="Only these.")
    limit: int = Field(20, ge=1, le=100, description="How many messages at most.")
    order: Literal["oldest", "newest"] = Field("oldest", description="Which come first.")
    attachments: bool = Field(True, description="false: without their content.")
    max_bytes: int = Field(
        10 * 1024 * 1024, ge=1, le=MAX_TOTAL, description="Larger messages are not loaded, but named in `skipped`."
    )
    mark_seen: bool | None = Field(None, description="Afterwards mark as read (true) or not (false).")
    flag: bool | None = Field(None, description="Afterwards set (true) or take away (false) the flag.")
    move_to: Line | None = Field(None, min_length=1, max_length=500, description="Afterwards move to this folder.")
    delete: bool = Field(False, description="Afterwards delete.")
    timeout: Duration = Field(
        60_000, gt=0, description="For all of it; like 500ms or 1m, or in seconds.", json_schema_extra={"default": "1m"}
    )

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.delete and self.move_to is not None:
            raise ValueError("give one of `move_to` and `delete`")
        return self

    @property
    def changes(self) -> bool:
        return self.delete or self.move_to is not None or self.mark_seen is not None or self.flag is not None

    def criteria(self) -> dict[str, Any]:
        """The search in the words of imap-tools."""
        wanted: dict[str, Any] = {
            "from_": self.from_,
            "to": self.to,
            "subject": self.subject,
            "text": self.text,
            "date_gte": self.since,
            "date_lt": self.before,
            "seen": self.seen,
            "flagged": self.flagged,
            "answered": self.answered,
            "uid": None if self.uids is None else ",".join(map(str, self.uids)),
        }
        return {name: value for name, value in wanted.items() if value is not None}


class EmailFetchOutput(Output):
    """What was found."""

    messages: list[Json] = Field(
        description="{uid, message_id, from, to, cc, reply_to, subject, date, in_reply_to, references, text, html, "
        "flags, size, attachments} each; addresses are {name, address}, attachments {filename, content_type, size, "
        "cid, content}, the content {$bytes: base64}."
    )
    skipped: list[Json] = Field(
        description="Messages that were not read: {uid, size, reason} each. Nothing is done to them."
    )
    more: bool = Field(description="Whether others matched, too.")


class EmailFetchNode(NodeType[EmailFetchParams]):
    """Fetches messages from a mailbox by IMAP.

    All conditions have to hold; without any, all messages of the folder match. Reading does not mark a message:
    `mark_seen`, `flag`, `move_to` and `delete` say what is done to those that were read. Along the edge goes the list
    of messages; at most 25 MiB are loaded at once, and `more` says whether others are left.

    What a message says is not to be trusted, its sender included. One that cannot be parsed, or is larger than
    `max_bytes`, is named in `skipped` and stays as it is.

    A run that dies after messages were moved or deleted and before the step ended does not see them again. Where that
    matters, fetch without it, work on the messages, and then use a second `email.fetch` with their `uids` to mark or
    move them.

    The connection is secured by TLS, or STARTTLS on port 143, and goes through the egress guard (`EGRESS_DENIED`). A
    wrong password fails the step with `ImapAuth`, a folder that does not exist or another refusal with `ImapRejected`,
    no connection, or a broken one, with `ConnectFailed` (retryable, unless TLS is the reason) or `NodeTimeout`
    (retryable), and a server that sends without end with `VALUE_TOO_LARGE`.
    """

    name = "email.fetch"
    params = EmailFetchParams
    output = EmailFetchOutput
    category = "people"
    icon = "inbox"
    slow = True
    payload = "messages"
    example = """\
type: email.fetch
params:
  server: {host: imap.example.com, username: robot@example.com, password: "${secrets.IMAP_PASSWORD}"}
  subject: invoice
  seen: false
  mark_seen: true
"""

    def execute(self, ctx: Context[EmailFetchParams]) -> Result:
        from flowrunner.nodes.mail_imap import opened

        params = ctx.params
        with opened(
            ctx.dialer,
            params.server,
            params.folder,
            seconds=min(params.timeout / 1000, ctx.time_left()),
            allow=ctx.egress,
            max_bytes=MAX_TOTAL + OVERHEAD,
            read_only=not params.changes,
        ) as box:
            return Result(_fetch(ctx, box))


def _fetch(ctx: Context[EmailFetchParams], box: Mailbox) -> Json:
    params = ctx.params
    found = box.search(params.criteria())
    if params.order == "newest":
        found.reverse()
    chosen = found[: params.limit]
    sizes = box.sizes(chosen) if chosen else {}
    messages: list[Json] = []
    skipped: list[Json] = []
    read, total = [], 0
    more = len(found) > len(chosen)
    for uid in chosen:
        size = sizes.get(uid, 0)
        if size > params.max_bytes:
            skipped.append({"uid": int(uid), "size": size, "reason": f"it is larger than {params.max_bytes:,} bytes"})
            continue
        total += size
        if total > MAX_TOTAL:
            more = True
            break
        if ctx.cancelled():
            raise StepError("the run was cancelled", code="CANCELLED")
        if (message := _load(box, uid, skipped, contents=params.attachments)) is not None:
            messages.append(message)
            read.append(uid)
    if read:
        _afterwards(params, box, read)
    return {"messages": messages, "skipped": skipped, "more": more}


def _load(box: Mailbox, uid: str, skipped: list[Json], *, contents: bool) -> Json:
    """The message; None for one that has gone meanwhile, or cannot be read."""
    from flowrunner.nodes.mail_reading import read_message

    raw = box.load(uid)
    if raw is None:
        return None
    size = len(raw.content)
    try:
        message = read_message(raw.content, contents=contents)
    except ValueError as error:
        skipped.append({"uid": int(uid), "size": size, "reason": str(error)})
        return None
    return {"uid": int(uid), **message, "flags": [*raw.flags], "size": size}


def _afterwards(params: EmailFetchParams, box: Mailbox, uids: Sequence[str]) -> None:
    box.mark(uids, seen=params.mark_seen, flagged=params.flag)
    if params.move_to is not None:
        box.put_into(uids, params.move_to)
    elif params.delete:
        box.remove(uids)
