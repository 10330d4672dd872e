"""What HTTP answers mean to nodes: which are failures, when to try again, and how a body is read."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.errors import StepError
from flowrunner.ports.http import HttpResponse

RETRYABLE = frozenset({408, 425, 429})
"""4xx answers that may be different later (RFC 9110, RFC 8470, RFC 6585)."""

SHOWN_BYTES = 4096
MAX_RETRY_AFTER = 86_400.0


def status_error(response: HttpResponse, now: Millis) -> StepError:
    """The error of an unexpected status: `HttpStatus:<n>` with headers and the first 4 KiB of the body."""
    text = response.content[:SHOWN_BYTES].decode("utf-8", "replace")
    return StepError(
        f"{response.url} answered {response.status}" + (f": {text[:200]}" if text.strip() else ""),
        code=f"HttpStatus:{response.status}",
        retryable=response.status in RETRYABLE or response.status >= 500,
        retry_after=retry_after(response.headers, now),
        status=response.status,
        headers=dict(response.headers),
        body=text,
    )


def retry_after(headers: Mapping[str, str], now: Millis) -> float | None:
    """The wait in seconds that the server asked for (RFC 9110, 10.2.3), at most a day."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        return min(float(value[:12]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError):
        return None
    return min(max(moment - now / 1000, 0.0), MAX_RETRY_AFTER)


def read_body(response: HttpResponse, how: Literal["auto", "json", "text", "bytes"]) -> Json:
    """The body as a value. `auto` goes by the content type; what is not text becomes bytes.

    Raises `StepError` with code `InvalidResponse` when JSON is wanted and it is none.
    """
    kind, _, parameters = response.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if how == "bytes":
        return {"$bytes": base64.b64encode(response.content).decode("ascii")}
    if how == "json" or (how == "auto" and is_json):
        return _json(response, strict=how == "json")
    if how == "text" or not response.content or kind.startswith("text/") or kind in _TEXT_TYPES or not kind:
        return _text(response.content, parameters, strict=how == "auto" and not kind)
    return {"$bytes": base64.b64encode(response.content).decode("ascii")}


_TEXT_TYPES = frozenset(
    {"application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/yaml"}
)


def _json(response: HttpResponse, *, strict: bool) -> Json:
    if not response.content.strip():
        return None
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError) as error:
        if not strict:
            return _text(response.content, "", strict=False)
        raise StepError(f"{response.url} did not answer with JSON: {error}", code="InvalidResponse") from None


def _text(content: bytes, parameters: str, *, strict: bool) -> Json:
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"')
    try:
        return content.decode(charset, "strict" if strict else "replace")
    except LookupError:
        return content.decode("utf-8", "replace")
    except UnicodeDecodeError:
        return {"$bytes": base64.b64encode(content).decode("ascii")}
