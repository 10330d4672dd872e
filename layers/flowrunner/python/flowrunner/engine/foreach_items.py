"""The items of a foreach on their way into rows, and their outputs on the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.foreach import MAX_ITEMS
from flowrunner.core.state import item_index
from flowrunner.engine.records import Attempt
from flowrunner.engine.scope import ITEMS_PER_PAGE
from flowrunner.errors import ParamsInvalid
from flowrunner.ports.runs import RowStatus

Store = Callable[[Json, str, str], Json]
"""Stores a value under a key; the last argument names it in errors."""


def checked_items(items: Any) -> list[Json]:
    """What `foreach.items` gave, if it can be gone through. Raises `ParamsInvalid`."""
    if not isinstance(items, list):
        raise ParamsInvalid(
            f"foreach.items must be a list; the expression gave {_kind(items)}", hint="see what it reads"
        )
    if len(items) > MAX_ITEMS:
        raise ParamsInvalid(f"foreach.items has {len(items):,} items; a foreach may have {MAX_ITEMS:,}")
    return items


def stored_pages(items: list[Json], store: Store) -> list[Json]:
    """The items as stored values, a page of them each."""
    starts = range(0, len(items), ITEMS_PER_PAGE)
    return [
        store(items[start : start + ITEMS_PER_PAGE], f"items-{start // ITEMS_PER_PAGE}", "foreach.items")
        for start in starts
    ]


def collected(attempts: Iterable[Attempt], count: int, read: Callable[[Json], Json]) -> list[Json]:
    """The outputs in the order of the items, None where a tolerated item failed. `read` opens a stored value."""
    outputs: list[Json] = [None] * count
    for attempt in attempts:
        if attempt.status is RowStatus.SUCCEEDED:
            outputs[item_index(attempt.step)] = read(attempt.output)
    return outputs


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", dict: "an object"}
    return names.get(type(value), type(value).__name__)
