"""Deferred expressions for the fake context: real JavaScript, without an engine around it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import quickjs  # type: ignore[import-untyped]  # has no stubs
from flowrunner.core.flow import Json


def javascript(expression: Json, items: Sequence[Json], alias: str = "item") -> list[Json]:
    """What `evaluate_each` gives for a text that is exactly one expression, and for a constant."""
    if not isinstance(expression, str) or not expression.startswith("${"):
        return [expression] * len(items)
    machine = quickjs.Context()
    source = expression.removeprefix("${").removesuffix("}")
    machine.eval(f"var test = ({alias}, index) => JSON.stringify({{value: ({source})}})")
    return [
        json.loads(machine.eval(f"test({json.dumps(item)}, {index})")).get("value") for index, item in enumerate(items)
    ]
