"""Sorting, grouping and merging JSON values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowrunner.core.flow import Json


def dig(value: Json, path: str) -> Json:
    """The field `a.b` of a value; None where something on the way is missing."""
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def sort_items(items: Sequence[Json], fields: Sequence[str]) -> list[Json]:
    """Sorted by the fields, the first one first; stable. Numbers come before texts, null comes last either way."""
    result = list(items)
    for field in reversed(fields):
        name, down = field.removeprefix("-"), field.startswith("-")
        present = [item for item in result if dig(item, name) is not None]
        absent = [item for item in result if dig(item, name) is None]
        present.sort(key=lambda item, name=name: _rank(dig(item, name)), reverse=down)  # type: ignore[misc]  # a default binds the loop's name
        result = present + absent
    return result


def _rank(value: Json) -> tuple[int, float, str]:
    if isinstance(value, bool):
        return (0, float(value), "")
    if isinstance(value, int | float):
        return (1, value, "")
    return (2, 0.0, value) if isinstance(value, str) else (3, 0.0, str(value))


def group(items: Sequence[Json], key: Callable[[Json], Json]) -> dict[str, list[Json]]:
    """Lists of items by key, in the order in which the keys first occur. Keys become text, as in JSON objects."""
    groups: dict[str, list[Json]] = {}
    for item in items:
        value = key(item)
        name = value if isinstance(value, str) else "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        groups.setdefault(name, []).append(item)
    return groups


def merged(parts: Sequence[dict[str, Json]], *, deep: bool) -> dict[str, Json]:
    """One object of several, the later ones winning."""
    result: dict[str, Json] = {}
    for part in parts:
        for name, value in part.items():
            before = result.get(name)
            inside = deep and isinstance(before, dict) and isinstance(value, dict)
            result[name] = merged([before, value], deep=True) if inside else value
    return result
