"""Sorting, grouping and merging JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from flowrunner.core.flow import Json

ITSELF = "."
"""As a field to sort or group by: the item itself, for lists of numbers or texts."""


def field(path: str) -> Callable[[Json], Json]:
    """A function that gives the field `a.b` of a value; None where something on the way is missing."""
    names = [] if path == ITSELF else path.split(".")

    def dig(value: Json) -> Json:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return dig


def sort_items(items: Sequence[Json], fields: Sequence[str]) -> list[Json]:
    """Sorted by the fields, the first one first; `-field` sorts downwards. Stable.

    Booleans come before numbers, numbers before texts, and those before lists and objects (which are
    compared as JSON text); null, and an item without the field, comes last either way.
    """
    result = list(items)
    for name in reversed(fields):
        dig = field(name.removeprefix("-"))
        keyed = [(dig(item), item) for item in result]
        present = [(_rank(key), item) for key, item in keyed if key is not None]
        present.sort(key=lambda pair: pair[0], reverse=name.startswith("-"))
        result = [item for _, item in present] + [item for key, item in keyed if key is None]
    return result


def group(items: Sequence[Json], path: str) -> dict[str, list[Json]]:
    """Lists of items by the value of a field, in the order in which the values first occur."""
    dig = field(path)
    groups: dict[str, list[Json]] = {}
    for item in items:
        groups.setdefault(key_text(dig(item)), []).append(item)
    return groups


def key_text(value: Json) -> str:
    """A value as an object's key: a text as it is, all else as JSON; 2.0 is 2, as in JavaScript."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def merged(parts: Sequence[dict[str, Json]], *, deep: bool) -> dict[str, Json]:
    """One object of several, the later ones winning; `deep` goes into objects that both have."""
    result: dict[str, Json] = {}
    for part in parts:
        for name, value in part.items():
            before = result.get(name)
            if deep and isinstance(before, dict) and isinstance(value, dict):
                result[name] = merged([before, value], deep=True)
            else:
                result[name] = value
    return result


def same(left: Json, right: Json) -> bool:
    """Equal as JSON: numbers by value, and true is no number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _rank(value: Json) -> tuple[int, float, str]:
    if isinstance(value, bool):
        return (0, float(value), "")
    if isinstance(value, int | float):
        return (1, value, "")
    return (2, 0.0, value) if isinstance(value, str) else (3, 0.0, key_text(value))
