"""What HTTP answers mean to nodes: which are failures, when to try again, and how a body is read."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.errors import StepError
from flowrunner.nodes.json_parse import parse_json
from flowrunner.ports.http import HttpResponse

RETRYABLE = frozenset({408, 425, 429})
"""4xx answers that may be different later (RFC 9110, RFC 8470, RFC 6585)."""

SHOWN_BYTES = 4096
MAX_RETRY_AFTER = 86_400.0

_TEXT_TYPES = frozenset(
    {"application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/yaml"}
)
CHARSET = re.compile(
    r"utf-?8|utf-?16(le|be)?|(us-)?ascii|iso-?8859-\d{1,2}|latin-?1|(windows-|cp)125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gb(2312|k|18030)|big5"
)
"""Charsets that are read. Python knows more under such names, some of which take quadratic time (`idna`)."""


def status_error(response: HttpResponse, now: Millis, shown: int = SHOWN_BYTES) -> StepError:
    """The error of an unexpected status: `HttpStatus:<n>` with headers and the beginning of the body.

    Arguments: `now`, for a `Retry-After` that is a date; `shown`, how many bytes of the body the error keeps.
    The text names the origin only, since the path of a URL may be its credential (Slack).
    """
    text = response.content[:shown].decode("utf-8", "replace")
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:200]).split())
    headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
    return StepError(
        f"{origin(response.url)} answered {response.status}" + (f": {line}" if line else ""),
        code=f"HttpStatus:{response.status}",
        retryable=response.status in RETRYABLE or response.status >= 500,
        retry_after=retry_after(response.headers, now),
        status=response.status,
        headers=headers,
        body=text,
    )


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def retry_after(headers: Mapping[str, str], now: Millis) -> float | None:
    """The wait in seconds that the server asked for (RFC 9110, 10.2.3), at most a day."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:12]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
        # A date without a zone is in GMT, as HTTP's dates are.
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds - now / 1000, 0.0), MAX_RETRY_AFTER)


def read_body(response: HttpResponse, how: Literal["auto", "json", "text", "bytes"]) -> Json:
    """The body as a value; an empty one is null, unless text or bytes are wanted.

    `auto` goes by the content type: JSON, or text when that is no JSON after all; what is not text becomes
    bytes. Raises `StepError` with code `InvalidResponse` when JSON is wanted and it is none.
    """
    kind, _, parameters = response.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if how == "bytes":
        return as_bytes(response.content)
    if how == "text":
        return _text(response.content, parameters)
    if how == "json":
        return _json(response)
    if not response.content:
        return None
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return _json(response)
        except StepError:
            return _text(response.content, parameters)
    if kind.startswith("text/") or kind.endswith("+xml") or kind in _TEXT_TYPES:
        return _text(response.content, parameters)
    if not kind:
        try:
            return response.content.decode("utf-8")
        except UnicodeDecodeError:
            return as_bytes(response.content)
    return as_bytes(response.content)


def as_bytes(content: bytes) -> Json:
    """Bytes as a JSON value."""
    return {"$bytes": base64.b64encode(content).decode("ascii")}


def _json(response: HttpResponse) -> Json:
    """Strict JSON (RFC 8259), in UTF-8 as the RFC asks (8.1), within the limits of `json.parse`."""
    if not response.content.strip():
        return None
    try:
        return parse_json(response.content.decode("utf-8-sig"))
    except (StepError, UnicodeDecodeError) as error:
        why = error.message if isinstance(error, StepError) else "not UTF-8"
        raise StepError(f"the answer of {origin(response.url)} is {why}", code="InvalidResponse") from None


def _text(content: bytes, parameters: str) -> str:
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    if not CHARSET.fullmatch(charset):
        charset = "utf-8"
    try:
        return content.decode(charset, "replace")
    except LookupError:  # such as iso-8859-99
        return content.decode("utf-8", "replace")
