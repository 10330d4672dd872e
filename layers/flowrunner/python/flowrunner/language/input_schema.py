"""Is a JSON Schema one that inputs can be checked against? (draft 2020-12)"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from flowrunner.core.flow import Json

Path = tuple[str | int, ...]

TYPES = "array, boolean, integer, null, number, object, string"

# Where a schema holds schemas; everything else in it (`const`, `enum`, `default`, `examples`) is data.
_ONE = frozenset(
    [
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
_LIST = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_NAMED = frozenset(["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"])


def schema_problems(schema: Json) -> list[tuple[Path, str]]:
    """What is wrong with a schema by itself: the path inside it and a message."""
    problems = [_meta_problem(error) for error in _meta_validator().iter_errors(schema)]
    if problems:
        return problems
    inner = list(_schemas(schema, ()))
    anchors = {one["$anchor"] for _, one in inner if "$anchor" in one}
    return [problem for path, one in inner for problem in _rules(one, path, schema, anchors)]


@cache
def _meta_validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(Draft202012Validator.META_SCHEMA)


def _meta_problem(error: Any) -> tuple[Path, str]:
    from jsonschema.exceptions import best_match

    leaf = best_match([error]) or error
    path = tuple(leaf.absolute_path)
    if path and path[-1] == "type" and leaf.validator == "anyOf":
        return path, f"{leaf.instance!r:.80} is no type of JSON Schema; there are {TYPES}"
    message = leaf.message if len(leaf.message) <= 300 else f"{leaf.message[:300]}…"
    return path, f"is not valid JSON Schema: {message}"


def _schemas(schema: Json, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A schema and all schemas in it, except those that are just true or false."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield from _schemas(value, (*path, keyword))
        elif keyword in _LIST:
            for index, one in enumerate(value):
                yield from _schemas(one, (*path, keyword, index))
        elif keyword in _NAMED:
            for name, one in value.items():
                yield from _schemas(one, (*path, keyword, name))


def _rules(schema: dict[str, Any], path: Path, root: Json, anchors: set[str]) -> Iterator[tuple[Path, str]]:
    """What a valid schema may still not be here."""
    for keyword in ("$ref", "$dynamicRef"):
        target = schema.get(keyword)
        if isinstance(target, str) and not target.startswith("#"):
            yield (*path, keyword), "a $ref may only lead to a place in this schema (#/…)"
        elif isinstance(target, str) and not _leads_somewhere(target[1:], root, anchors):
            yield (*path, keyword), f"{target[:80]!r} leads nowhere in this schema"
    if path and "$id" in schema:
        yield (*path, "$id"), "a schema inside the schema has no $id here; refer to it by its place (#/…)"
    if "pattern" in schema:
        yield from _pattern(schema["pattern"], (*path, "pattern"))
    for pattern in schema.get("patternProperties", ()):
        yield from _pattern(pattern, (*path, "patternProperties", pattern))
        if "unevaluatedProperties" in schema:
            yield (
                (*path, "unevaluatedProperties"),
                "cannot stand beside patternProperties; use additionalProperties",
            )


def _pattern(pattern: str, path: Path) -> Iterator[tuple[Path, str]]:
    import regex  # type: ignore[import-untyped]  # it has no stubs

    try:
        regex.compile(pattern)
    except regex.error as error:
        yield path, f"{pattern[:80]!r} is no regular expression: {error}"
    except RecursionError:
        yield path, f"{pattern[:80]!r} is nested too deeply"


def _leads_somewhere(pointer: str, root: Json, anchors: set[str]) -> bool:
    """Whether a JSON Pointer (RFC 6901) or an anchor is there."""
    from urllib.parse import unquote

    if pointer and not pointer.startswith("/"):
        return pointer in anchors
    value = root
    for part in unquote(pointer).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return isinstance(value, dict | bool)
