"""JSONPath (RFC 9535) for node types: compiled once, and bounded in depth, work and time.

A path to one place (`$.a.b[0]`) is followed natively. Everything else is python-jsonpath's work, metered:
every node that it visits and every comparison that it makes counts, and the count is bounded by the size of
the value, so that no path (`$..*..*..*`, a filter in a filter in a filter) keeps a worker busy. Regular
expressions have a time limit of their own, since a single one can take for ever (`(a+)+$`).

A text is a JSONPath only where the author of a flow wrote it: `mark` turns such texts into `JsonPath`s before
anything is evaluated, so that data which happens to look like one (`$.50`) stays data.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.errors import StepError

MAX_LENGTH = 4096
MAX_SEGMENTS = 64
MAX_PATTERN = 512
REGEX_SECONDS = 0.4
"""For all `match` and `search` calls of one selection together."""

FREE_VISITS = 100_000
VISITS_PER_NODE = 16
"""A selection may visit this many places, or this many for each place in the value."""


class JsonPath(str):
    """A JSONPath as written in a flow. Being a text, it passes through templates and models."""

    __slots__ = ()


def mark(value: Json) -> Json:
    """The value with every text in it that is a JSONPath marked as one."""
    if isinstance(value, str):
        return JsonPath(value) if value == "$" or value.startswith(("$.", "$[")) else value
    if isinstance(value, dict):
        return {name: mark(part) for name, part in value.items()}
    return [mark(part) for part in value] if isinstance(value, list) else value


def apply(mapping: Json, value: Json) -> Json:
    """The mapping with every JSONPath in it replaced by what it selects from `value`. Raises as `select`."""
    if isinstance(mapping, JsonPath):
        return select(mapping, value)
    if isinstance(mapping, dict):
        return {name: apply(part, value) for name, part in mapping.items()}
    return [apply(part, value) for part in mapping] if isinstance(mapping, list) else mapping


def faults(value: Json, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Place and message of every JSONPath in `value` that is none."""
    if isinstance(value, JsonPath):
        if "${" in value:
            yield (
                place,
                "a JSONPath holds no expressions; write `${jsonpath(input, …)}` and build the path in there",
            )
            return
        try:
            _compiled(value)
        except StepError as error:
            yield place, error.message
    elif isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from faults(part, (*place, name))


def select(path: str, value: Json) -> Json:
    """What `path` selects: the value itself (or null) for a path to one place, else the list of all matches.

    Raises `StepError` with code `JSONPATH_ERROR` naming the path.
    """
    query = _compiled(path)
    if query.keys is not None:
        return _follow(query.keys, value)
    _state.meter = _Meter(value)
    try:
        return _library().run(query.query, value)
    except _TooMuchError as error:
        raise _failed(path, str(error)) from None
    except RecursionError:
        raise _failed(path, "the value, or a pattern, is nested too deeply") from None
    except Exception as error:  # whatever the library stumbles over in hostile data
        raise _failed(path, _first_line(error)) from error


@dataclass(frozen=True, slots=True)
class _Compiled:
    """`keys` for a path to one place; else the library's query."""

    keys: tuple[str | int, ...] | None
    query: Any


class _TooMuchError(Exception):
    """A selection took more work than its value allows."""


class _Meter:
    """How much work the running selection of this thread may still do."""

    __slots__ = ("extended", "regex_seconds", "value", "visits")

    def __init__(self, value: Json) -> None:
        self.value = value
        self.visits = FREE_VISITS
        self.regex_seconds = REGEX_SECONDS
        self.extended = False

    def count(self, places: int = 1) -> None:
        self.visits -= places
        if self.visits < 0:
            if self.extended:
                raise _TooMuchError("it visits too many places; make it more exact")
            self.extended = True
            self.visits += _size(self.value) * VISITS_PER_NODE
            self.count(0)


class _State(threading.local):
    meter: _Meter


_state = _State()


@lru_cache(maxsize=1024)
def _compiled(path: str) -> _Compiled:
    if len(path) > MAX_LENGTH:
        raise _failed(path, f"a path has at most {MAX_LENGTH:,} characters")
    try:
        return _Compiled(*_library().compile(str(path)))
    except RecursionError:
        raise _failed(path, "it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - any failure to parse a hostile path is the path's failure
        raise _failed(path, _first_line(error)) from None


@lru_cache(maxsize=1)
def _library() -> Any:
    """The adapter of python-jsonpath, imported when the first path is used."""
    from flowrunner.nodes import jsonpath_library

    return jsonpath_library.Library(MAX_SEGMENTS, _count, _matches)


def _count(places: int) -> None:
    _state.meter.count(places)


def _follow(keys: tuple[str | int, ...], value: Json) -> Json:
    for key in keys:
        if isinstance(key, str):
            if not isinstance(value, dict) or key not in value:
                return None
        elif not isinstance(value, list) or not -len(value) <= key < len(value):
            return None
        value = value[key]
    return value


def _matches(how: str, value: object, pattern: object) -> bool:
    """`match` and `search` (RFC 9535, 2.4.6 and 2.4.7): false for what is no text and for a bad pattern."""
    if not isinstance(value, str) or not isinstance(pattern, str):
        return False
    meter = _state.meter
    meter.count()
    compiled = _pattern(pattern)
    if compiled is None:
        return False
    started = time.monotonic()
    try:
        return bool(getattr(compiled, how)(value, timeout=max(meter.regex_seconds, 0.001)))
    except TimeoutError:
        raise _TooMuchError("a regular expression takes too long") from None
    finally:
        meter.regex_seconds -= time.monotonic() - started


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> Any:
    """A compiled I-Regexp (RFC 9485), None for a text that is none."""
    import regex  # type: ignore[import-untyped]  # has no stubs among the dependencies
    from iregexp_check import check
    from jsonpath.function_extensions._pattern import map_re

    if len(pattern) > MAX_PATTERN:
        raise _TooMuchError(f"a regular expression has at most {MAX_PATTERN} characters")
    try:
        return regex.compile(map_re(pattern)) if check(pattern) else None
    except regex.error:
        return None


def _size(value: Json) -> int:
    """How many places a value has."""
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict | list):
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return count


def _first_line(error: Exception) -> str:
    """A message of python-jsonpath without the drawing below it, which fails at the end of an empty path."""
    return BaseException.__str__(error).partition("\n")[0] or type(error).__name__


def _failed(path: str, why: str) -> StepError:
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    return StepError(f"JSONPath {shown!r}: {why}", code="JSONPATH_ERROR", path=path[:2000])


__all__ = ["JsonPath", "apply", "faults", "mark", "select"]
