"""python-jsonpath, made fit for hostile paths and values. Only `nodes.jsonpath` uses it.

The library builds a text and a tuple for every node it visits, reads texts as JSON documents, slices texts
like lists and cannot be told to stop. The classes here are its own with exactly that changed; a compiled
query is switched over to them in place, since its parser names its classes and takes no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jsonpath import JSONPath, JSONPathEnvironment
from jsonpath.filter import BaseExpression, FilterQuery
from jsonpath.function_extensions import Match, Search
from jsonpath.match import JSONPathMatch
from jsonpath.segments import JSONPathRecursiveDescentSegment
from jsonpath.selectors import Filter, IndexSelector, NameSelector, SliceSelector

from flowrunner.core.flow import Json

Count = Callable[[int], None]
Regex = Callable[[str, object, object], bool]


class Library:
    """Compiles and runs queries.

    Arguments: `count` is told how many places were visited or comparisons made, and may raise; `regex`
    decides `match` (as `fullmatch`) and `search`.
    """

    def __init__(self, max_segments: int, count: Count, regex: Regex) -> None:
        self._max_segments = max_segments
        self._environment = _Environment(strict=True)
        self._environment.count = count
        self._environment.function_extensions["match"] = _TimedMatch(regex)
        self._environment.function_extensions["search"] = _TimedSearch(regex)

    def compile(self, path: str) -> tuple[tuple[str | int, ...] | None, Any]:
        """The keys of a path to one place, or None, and the query. Raises `ValueError`, `JSONPathError`."""
        query = self._environment.compile(path)
        if not isinstance(query, JSONPath):
            raise ValueError("a JSONPath is one path")  # noqa: TRY004 - a wrong value of the right type
        if _prepare(query) > self._max_segments:
            raise ValueError(f"a path has at most {self._max_segments} segments")
        return _keys(query), query

    def run(self, query: Any, value: Json) -> list[Json]:
        """All that `query` selects, in its order."""
        return [node.obj for node in query.finditer(value)]


class _Environment(JSONPathEnvironment):
    count: Count

    def compare(self, left: object, operator: str, right: object) -> bool:
        self.count(1)
        return super().compare(left, operator, right)


class _TimedMatch(Match):
    def __init__(self, regex: Regex) -> None:
        super().__init__()
        self._regex = regex

    def __call__(self, value: object, pattern: object) -> bool:
        return self._regex("fullmatch", value, pattern)


class _TimedSearch(Search):
    def __init__(self, regex: Regex) -> None:
        super().__init__()
        self._regex = regex

    def __call__(self, value: object, pattern: object) -> bool:
        return self._regex("search", value, pattern)


class _Node(JSONPathMatch):
    """A visited place that knows its value only, not how to get there."""

    __slots__ = ("_count",)

    def __init__(self, obj: object, root: Any, count: Count) -> None:
        count(1)
        self.obj = obj
        self.root = root
        self._count = count

    def new_child(self, obj: object, key: int | str) -> _Node:
        return _Node(obj, self.root, self._count)

    def add_child(self, *children: JSONPathMatch) -> None:
        pass

    def filter_context(self) -> Mapping[str, Any]:
        return {}


class _Query(JSONPath):
    __slots__ = ()

    def finditer(self, data: Any, *, filter_context: Mapping[str, Any] | None = None) -> Iterable[JSONPathMatch]:
        assert isinstance(self.env, _Environment)
        found: Iterable[JSONPathMatch] = [_Node(data, data, self.env.count)]
        for segment in self.segments:
            found = segment.resolve(found)
        return found


class _Slice(SliceSelector):
    __slots__ = ()

    def resolve(self, node: JSONPathMatch) -> Iterable[JSONPathMatch]:
        return () if isinstance(node.obj, str) else super().resolve(node)


class _Filter(Filter):
    __slots__ = ()

    def resolve(self, node: JSONPathMatch) -> Iterable[JSONPathMatch]:
        assert isinstance(self.env, _Environment)
        if isinstance(node.obj, dict | list):
            self.env.count(len(node.obj))  # a cached expression that holds for nothing would go uncounted
        return super().resolve(node)


def _prepare(query: Any) -> int:
    """Switch a query, and those inside its filters, to the classes above; returns the number of segments."""
    query.__class__ = _Query
    segments = len(query.segments)
    for segment in query.segments:
        for selector in segment.selectors:
            if isinstance(selector, SliceSelector):
                selector.__class__ = _Slice
            elif isinstance(selector, Filter):
                selector.__class__ = _Filter
                segments += _prepare_expression(selector.expression)
    return segments


def _prepare_expression(expression: BaseExpression) -> int:
    if isinstance(expression, FilterQuery):
        return _prepare(expression.path)
    return sum(map(_prepare_expression, expression.children()))


def _keys(query: Any) -> tuple[str | int, ...] | None:
    keys: list[str | int] = []
    for segment in query.segments:
        if isinstance(segment, JSONPathRecursiveDescentSegment) or len(segment.selectors) != 1:
            return None
        match segment.selectors[0]:
            case NameSelector(name=name):
                keys.append(name)
            case IndexSelector(index=index):
                keys.append(index)
            case _:
                return None
    return tuple(keys)
