"""What model servers answer when they do not answer: each failure under one code, whoever's server it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowrunner.core.ids import Millis
from flowrunner.errors import StepError
from flowrunner.nodes.http_errors import retry_after

AUTH = "LLM_AUTH"
NO_MODEL = "LLM_MODEL_NOT_FOUND"
OVERFLOW = "LLM_CONTEXT_OVERFLOW"
RATE_LIMIT = "LLM_RATE_LIMIT"
SERVER = "LLM_SERVER"
REQUEST = "LLM_REQUEST"
BAD_OUTPUT = "LLM_BAD_OUTPUT"
REFUSED = "LLM_REFUSED"

SHOWN = 300

_BY_NAME: Mapping[str, str] = {
    "context_length_exceeded": OVERFLOW,
    "exceed_context_size_error": OVERFLOW,
    "content_filter": REFUSED,
    "content_policy_violation": REFUSED,
    "model_not_found": NO_MODEL,
    "invalid_api_key": AUTH,
    "rate_limit_exceeded": RATE_LIMIT,
    "insufficient_quota": RATE_LIMIT,
    "server_error": SERVER,
}
"""By the `code` or `type` of the error object."""

_OVERFLOW_TEXT = re.compile(r"context (length|window|size)", re.IGNORECASE)
"""Servers such as vLLM name no code for it."""

_WORDS: Mapping[str, str] = {
    AUTH: "does not take the API key",
    NO_MODEL: "has no such model, or base_url leads elsewhere",
    OVERFLOW: "has no room for that much text",
    RATE_LIMIT: "asks for fewer requests",
    SERVER: "failed",
    REQUEST: "does not take the request",
    REFUSED: "refuses to answer",
}


def status_failure(
    status: int, body: object, headers: Mapping[str, str], *, origin: str, key: str | None, now: Millis
) -> StepError:
    """The error of an answer that is none, by its status and the error object in its body.

    Arguments: `key`, the API key, which some servers repeat and the error does not; `now`, for a `Retry-After` that
    is a date.
    """
    name, message = _named(body, key)
    code = _BY_NAME.get(name) or _by_status(status)
    if code == REQUEST and _OVERFLOW_TEXT.search(message):
        code = OVERFLOW
    return StepError(
        f"{origin} {_WORDS[code]} (status {status})" + (f": {message}" if message else ""),
        code=code,
        retryable=code in (RATE_LIMIT, SERVER) and name != "insufficient_quota",
        retry_after=retry_after(headers, now),
        status=status,
        reason=name or None,
    )


def stream_failure(body: object, *, origin: str, key: str | None) -> StepError:
    """The error of a stream that has an error object instead of the next piece."""
    name, message = _named(body, key)
    code = _BY_NAME.get(name, SERVER)
    return StepError(
        f"{origin} {_WORDS[code]} in the middle of its answer" + (f": {message}" if message else ""),
        code=code,
        retryable=code in (RATE_LIMIT, SERVER) and name != "insufficient_quota",
        reason=name or None,
    )


def broken(origin: str, why: str) -> StepError:
    """The error of an answer that does not speak the protocol, or breaks off."""
    return StepError(f"the answer of {origin} {why}", code=SERVER, retryable=True)


def _by_status(status: int) -> str:
    if status in (401, 403):
        return AUTH
    if status == 404:
        return NO_MODEL
    if status == 429:
        return RATE_LIMIT
    return SERVER if status >= 500 or status in (408, 409, 425) else REQUEST


def _named(body: object, key: str | None) -> tuple[str, str]:
    """What the error object calls itself, and its text on one line without the key."""
    if not isinstance(body, Mapping):
        return "", ""
    found: Mapping[Any, Any] = body
    names = [found.get("code"), found.get("type")]
    name = next((one for one in names if isinstance(one, str) and one in _BY_NAME), None)
    name = name or next((one for one in names if isinstance(one, str)), "")
    text = found.get("message")
    text = text if isinstance(text, str) else ""
    if key:
        text, name = text.replace(key, "***"), name.replace(key, "***")
    line = "".join(char if char.isprintable() else " " for char in text[: SHOWN * 4])
    return name[:80], " ".join(line.split())[:SHOWN]
