"""What is sent to a webhook: the payload of an event, its id, and the headers that sign it (Standard Webhooks).

Signed is `id.timestamp.body` with HMAC-SHA256. The id says which message it is, so it stays the same on every try;
the timestamp is that of the try.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowrunner.core.flow import Json
from flowrunner.core.ids import FlowId, Millis
from flowrunner.core.times import iso_time
from flowrunner.engine.run_events import RunEvent
from flowrunner.errors import InvalidInput
from flowrunner.nodes.http_sending import USER_AGENT, json_text, merged_headers
from flowrunner.ports.http import DEPTH_HEADER

MAX_PAYLOAD = 20 * 1024
"""What the Standard Webhooks specification recommends at most."""

TEST_EVENT = "webhook.test"

OURS = frozenset(
    {"connection", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"user-agent", DEPTH_HEADER.lower()}
)
OUR_PREFIXES = ("content-", "webhook-", "proxy-")
MAX_HEADERS = 20
MAX_HEADER_NAME, MAX_HEADER_VALUE = 64, 2048


@dataclass(frozen=True, slots=True)
class RunRef:
    """The run that an event is about."""

    flow: FlowId
    flow_name: str
    revision: int
    depth: int = 0
    """How many runs had started each other when it began."""


def message_id(endpoint: str, run: str, event: str) -> str:
    """The id of the message that tells `endpoint` of an event: the same whoever makes it, and however often."""
    return "msg_" + hashlib.sha256(f"{endpoint}|{run}|{event}".encode()).hexdigest()[:32]


def event_payload(event: RunEvent, run: RunRef, public_url: str | None) -> str:
    """The body for an event. One that would be too large is sent without its `data`, and with `truncated`."""
    link = f"{(public_url or '').rstrip('/')}/v1/runs/{event.run_id}"
    facts: dict[str, Json] = {
        "event": event.id,
        "run": event.run_id,
        "run_url": link,
        "flow": run.flow_name,
        "flow_id": run.flow,
        "revision": run.revision,
        "step": event.step_id,
        "node": event.node,
        "attempt": event.attempt,
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    whole = payload(event.type, event.at, {**facts, "data": event.data})
    if len(whole.encode()) <= MAX_PAYLOAD:
        return whole
    return payload(event.type, event.at, {**facts, "data": None, "truncated": True})


def payload(type: str, at: Millis, data: Json) -> str:
    """A body as the Standard Webhooks specification has it."""
    return json_text({"type": type, "timestamp": iso_time(at), "data": data})


def headers_for(
    message: str, now: Millis, body: str, keys: Sequence[bytes], extra: Mapping[str, str]
) -> dict[str, str]:
    """All headers of one try. `extra` are the endpoint's own, of which none replaces one of ours."""
    seconds = str(now // 1000)
    signed = f"{message}.{seconds}.{body}".encode()
    ours = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message,
        "webhook-timestamp": seconds,
    }
    if keys:
        ours["webhook-signature"] = " ".join(f"v1,{_sign(key, signed)}" for key in keys)
    return merged_headers({name: value for name, value in extra.items() if not _is_ours(name)}, ours)


def check_headers(headers: Mapping[str, str], field: str = "headers") -> None:
    """Raises `InvalidInput`, with its `problems`, for headers that cannot be sent or would replace one of ours."""
    problems = [
        {"field": f"{field}.{name[:64]}", "message": why}
        for name, value in headers.items()
        if (why := _wrong(name, value)) is not None
    ]
    if len(headers) > MAX_HEADERS:
        problems.append({"field": field, "message": f"at most {MAX_HEADERS} headers can be sent along"})
    if problems:
        raise InvalidInput("; ".join(f"{one['field']}: {one['message']}" for one in problems), problems=problems)


def _wrong(name: str, value: str) -> str | None:
    if not name.isascii() or not name.replace("-", "").isalnum() or len(name) > MAX_HEADER_NAME:
        return f"is no header name: letters, digits and `-`, at most {MAX_HEADER_NAME}"
    if _is_ours(name):
        return "is set by the sender; leave it out"
    if len(value) > MAX_HEADER_VALUE or not value.isascii() or not value.isprintable() or value != value.strip():
        return f"must be one line of ASCII without spaces around it, at most {MAX_HEADER_VALUE} characters"
    return None


def _is_ours(name: str) -> bool:
    lower = name.lower()
    return lower in OURS or lower.startswith(OUR_PREFIXES)


def _sign(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
