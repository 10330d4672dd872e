"""`inputs`: the JSON Schema of a run's input."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from flowrunner.core.flow import Flow, Json
from flowrunner.core.problems import Problem

MAX_PROBLEMS = 50


def check_schema(schema: Json) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a schema: the path inside it and a message. References may only lead into the schema."""
    import jsonschema

    problems: list[tuple[tuple[str | int, ...], str]] = []
    for error in jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA).iter_errors(schema):
        leaf = jsonschema.exceptions.best_match([error]) or error
        problems.append((tuple(leaf.absolute_path), f"is not valid JSON Schema: {_short(leaf.message)}"))
    problems += [(path, "a $ref may only lead to a place in this schema (#/…)") for path in _remote_refs(schema, ())]
    return problems


def check_input(flow: Flow, value: Json) -> list[Problem]:
    """All problems of a run's input, each with its field (`input.order_id`)."""
    if flow.inputs is None:
        return []
    validator = _validator(orjson.dumps(flow.inputs))
    problems: list[Problem] = []
    for error in validator.iter_errors(value):
        field = "input" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        problems.append(Problem(field, f"{field}: {_short(error.message)}"))
        if len(problems) >= MAX_PROBLEMS:
            break
    return problems


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(orjson.loads(schema))


def _remote_refs(schema: Json, path: tuple[str | int, ...]) -> Iterable[tuple[str | int, ...]]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                yield (*path, key)
            yield from _remote_refs(value, (*path, key))
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from _remote_refs(value, (*path, index))


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:300]}…"
