"""What a worker process answered. It runs hostile code, so nothing in its answer is taken on trust."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from flowrunner.sandbox.script import LogEntry

LEVELS = frozenset({"debug", "info", "warning", "error"})


class Garbled(Exception):
    """The answer is not what the prelude gives; a script got between, or the process was taken over."""


class TooDeep(Exception):
    """The answer holds a value that is nested too deeply to be passed on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` by status: the result (ok), what failed (error), what to load (missing), the engine's words
    (thrown), the size (large); nothing for logged, which is: too much.
    """

    status: Literal["ok", "error", "missing", "large", "logged", "thrown"]
    body: Any = None
    logs: tuple[LogEntry, ...] = ()
    events: tuple[tuple[str, Any], ...] = ()
    size: int = 0
    """Bytes of the result."""


def read_answer(data: bytes) -> Answer:
    """Parse an answer. Raises `Garbled` or `TooDeep`."""
    if data[:1] == b"T":
        return Answer("thrown", data[1:].decode("utf-8", "replace"))
    status, *parts = data[1:].split(b"\n")
    if data[:1] != b"A" or len(parts) != 2:
        raise Garbled
    body = _loads(parts[1])
    match status:
        case b"missing" if _is_list_of_pairs(body):
            return Answer("missing", body)
        case b"logged":
            return Answer("logged")
        case b"large" if isinstance(body, int):
            return Answer("large", body)
        case b"error" if _is_failure(body):
            return Answer("error", body, *_effects(parts[0]))
        case b"ok" if isinstance(body, dict) and "value" in body:
            return Answer("ok", _checked(body), *_effects(parts[0]), size=len(parts[1]))
        case _:
            raise Garbled


def is_limit(text: str) -> str | None:
    """The limit that the engine's words (or `name: message` of an error) say was reached."""
    if text.startswith("InternalError: interrupted"):
        return "cpu"
    if text.startswith("InternalError: out of memory") or text == "":
        return "memory"  # MemoryError has no words
    return "stack" if text.startswith("RangeError: Maximum call stack size exceeded") else None


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    gone = body.get("gone", [])
    if not isinstance(body.get("vars", {}), dict) or not isinstance(gone, list):
        raise Garbled
    if not all(isinstance(key, str) for key in gone):
        raise Garbled
    return body


def _effects(text: bytes) -> tuple[tuple[LogEntry, ...], tuple[tuple[str, Any], ...]]:
    effects = _loads(text)
    if not isinstance(effects, list) or len(effects) != 2 or not all(_is_list_of_pairs(part) for part in effects):
        raise Garbled
    logs, events = effects
    if not all(level in LEVELS and isinstance(message, str) for level, message in logs):
        raise Garbled
    return tuple(LogEntry(*entry) for entry in logs), tuple((name, data) for name, data in events)


def _is_failure(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("name", "message", "stack"))


def _is_list_of_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def _loads(text: bytes) -> Any:
    """JSON as a value that can be written again. A lone surrogate, which is no Unicode text, becomes
    U+FFFD.
    """
    if not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _loads_slowly(text)
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise TooDeep from error
    return value


def _loads_slowly(text: bytes) -> Any:
    try:
        value = json.loads(text.decode("utf-8", "replace"))
        clean = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.loads(clean)
    except RecursionError as error:
        raise TooDeep from error
    except ValueError as error:
        raise Garbled from error
