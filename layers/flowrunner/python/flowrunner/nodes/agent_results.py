"""Results of tools: what a call gives, and what the model is shown of it."""

from __future__ import annotations

import orjson

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.base import Result

MESSAGE = 4_000


def good(value: Json) -> Result:
    """A call that went well."""
    return Result({"ok": True, "result": value})


def bad(code: str, message: str, details: Json = None) -> Result:
    """A call that did not: the model is told, and goes on."""
    error: dict[str, Json] = {"code": code, "message": message[:MESSAGE]}
    return Result({"ok": False, "error": {**error, "details": details} if details else error})


def of_error(error: StepError) -> Result:
    """A call that failed."""
    return bad(error.code, error.message)


def result_text(result: Json, most: int) -> str:
    """The content of the message that answers a call."""
    value = result if isinstance(result, dict) else {}
    shown = value.get("result") if value.get("ok") else {"error": value.get("error")}
    text = shown if isinstance(shown, str) else orjson.dumps(shown).decode()
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut off: {len(text):,} characters in all]"
