"""From a request to a run's input, and from a run's output to an answer. Pure functions.

A body is read by its content type, and never becomes anything but a JSON value (CVE-2026-21858).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.engine.values import BYTES
from flowrunner.errors import InvalidInput

MAX_FIELDS = 1_000
"""Fields of a form or a query."""

WITHHELD = frozenset({
    "authorization", "cookie", "proxy-authorization", "stripe-signature", "webhook-signature", "x-hub-signature",
    "x-hub-signature-256", "x-slack-signature",
})  # fmt: skip
"""Headers that a flow does not see: who has them could send as the sender."""

ANSWER_FIELDS = frozenset({"status", "headers", "body"})
ANSWER_HEADERS = frozenset({
    "access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin",
    "access-control-expose-headers", "access-control-max-age", "allow", "cache-control", "content-disposition",
    "content-language", "content-type", "etag", "expires", "last-modified", "link", "location", "retry-after", "vary",
})  # fmt: skip
"""Headers that a flow may set, beside `X-...`; the others act on the whole origin, the connection or a proxy."""

_OWN_HEADER = re.compile(
    r"x-(?!accel-|content-type-options|correlation-id|flowrunner-|forwarded|frame-options|lighttpd-|litespeed-|reproxy-"
    r"|sendfile|xss-)[a-z0-9-]{1,60}",
    re.ASCII,
)
_HEADER_VALUE = re.compile(r"[\t -~]{0,2000}", re.ASCII)

SAFE_HEADERS: Mapping[str, str] = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
"""A page that a flow answers with has no origin, so it is a stranger to the console's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_body(content_type: str, body: bytes) -> Json:
    """The value of a body: JSON, a form's fields, a text, else bytes; None for none. Raises `InvalidInput`."""
    if not body:
        return None
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return parse_json(body)
        except BadJson as error:
            raise InvalidInput(str(error), field="body") from None
    if kind == "application/x-www-form-urlencoded":
        return fields_of(_text(body, "utf-8"), "body")
    if kind.startswith("text/"):
        charset = re.search(r"charset=\"?([a-z0-9-]{1,20})", parameters)
        name = charset[1] if charset else "utf-8"
        if name in ("utf-8", "utf8", "us-ascii", "iso-8859-1"):
            return _text(body, name)
    return {BYTES: base64.b64encode(body).decode("ascii")}


def fields_of(text: str, where: str) -> dict[str, Json]:
    """The fields of a form or a query; one that is there several times has a list. Raises `InvalidInput`."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidInput(f"the {where} has more than {MAX_FIELDS} fields", field=where) from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def seen_headers(headers: Mapping[str, str], secret_header: str | None) -> dict[str, str]:
    """The headers that the flow sees: without credentials and signatures."""
    withheld = WITHHELD | ({secret_header.lower()} if secret_header else set())
    return {name: value for name, value in headers.items() if name not in withheld}


def answer_of(output: Json) -> Answer:
    """The answer that a run's output describes: `{status, headers, body}`, or 200 with any other value as JSON."""
    if not _is_answer(output):
        return _answer(200, output, {})
    given = output.get("headers") or {}
    headers = {
        str(name).lower(): str(value)
        for name, value in given.items()
        if isinstance(value, str | int) and not isinstance(value, bool)
    }
    kept = {name: value for name, value in headers.items() if _may_send(name, value)}
    return _answer(output["status"], output.get("body"), kept)


def _is_answer(output: Json) -> bool:
    if not isinstance(output, dict) or not output.keys() <= ANSWER_FIELDS:
        return False
    status = output.get("status")
    right = isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599
    return right and isinstance(output.get("headers") or {}, dict)


def _may_send(name: str, value: str) -> bool:
    known = name in ANSWER_HEADERS or _OWN_HEADER.fullmatch(name) is not None
    return known and _HEADER_VALUE.fullmatch(value) is not None


def _answer(status: int, body: Json, headers: dict[str, str]) -> Answer:
    content, kind = _content(body)
    if status in (204, 304):
        content, kind = b"", None
    if kind is not None:
        headers = {"content-type": kind, **headers}
    return Answer(status, content, {**headers, **SAFE_HEADERS})


def _content(body: Json) -> tuple[bytes, str | None]:
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode("utf-8", "replace"), "text/plain; charset=utf-8"
    if isinstance(body, dict) and body.keys() == {BYTES} and isinstance(body[BYTES], str):
        try:
            return base64.b64decode(body[BYTES], validate=True), "application/octet-stream"
        except (binascii.Error, ValueError):
            pass  # then it is just an object that looks like bytes
    return orjson.dumps(body), "application/json"


def _text(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not {charset} (byte {error.start})", field="body") from None
