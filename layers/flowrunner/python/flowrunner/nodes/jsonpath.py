"""JSONPath (RFC 9535) for node types: compiled once, bounded in depth and time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.errors import StepError

MAX_SEGMENTS = 64
REGEX_SECONDS = 0.5
"""For one `match` or `search`; a pattern that backtracks longer is an error, not a stuck worker."""


def is_jsonpath(value: Json) -> bool:
    """Whether a text of a mapping is a JSONPath."""
    return isinstance(value, str) and (value == "$" or value.startswith(("$.", "$[")))


def select(path: str, value: Json) -> Json:
    """What `path` selects: the value itself (or null) for a path to one place, else the list of all matches.

    Raises `StepError` with code `JSONPATH_ERROR` naming the path.
    """
    query, singular = _compiled(path)
    try:
        found = [match.obj for match in query.finditer(value)]
    except TimeoutError as error:
        raise _failed(path, "a regular expression took too long") from error
    except RecursionError as error:
        raise _failed(path, "the value is nested too deeply") from error
    except Exception as error:
        raise _failed(path, str(error).partition("\n")[0]) from error
    return (found[0] if found else None) if singular else found


@lru_cache(maxsize=1024)
def _compiled(path: str) -> tuple[Any, bool]:
    from jsonpath.exceptions import JSONPathError

    if path.count("[") + path.count(".") > MAX_SEGMENTS:
        raise _failed(path, f"a path has at most {MAX_SEGMENTS} segments")
    try:
        query = _environment().compile(path)
    except (JSONPathError, RecursionError) as error:
        raise _failed(path, str(error).partition("\n")[0]) from error
    return query, query.singular_query()


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jsonpath import JSONPathEnvironment
    from jsonpath.function_extensions import Match, Search

    class TimedMatch(Match):
        def __call__(self, value: object, pattern: object) -> bool:
            return _timed(self, value, pattern, "fullmatch")

    class TimedSearch(Search):
        def __call__(self, value: object, pattern: object) -> bool:
            return _timed(self, value, pattern, "search")

    environment = JSONPathEnvironment(strict=True)
    environment.function_extensions["match"] = TimedMatch()
    environment.function_extensions["search"] = TimedSearch()
    return environment


def _timed(function: Any, value: object, pattern: object, how: str) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return False
    compiled = function.check_cache(pattern)
    return compiled is not None and bool(getattr(compiled, how)(value, timeout=REGEX_SECONDS))


def _failed(path: str, why: str) -> StepError:
    return StepError(f"JSONPath {path[:200]!r}: {why}", code="JSONPATH_ERROR", path=path[:2000])
