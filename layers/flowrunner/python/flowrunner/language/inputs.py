"""`inputs`: the JSON Schema of a run's input, and inputs checked against it.

Schemas come from the authors of flows and inputs from whoever may start a run, so a check is bounded: nothing is
fetched, regular expressions end after a moment (`regex` instead of `re`), and a check ends after a number of rules,
since references can multiply without end (a short schema may mean 2¹⁰⁰ of them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice
from threading import local
from time import monotonic
from typing import Any

import orjson

from flowrunner.core.flow import Flow, Json
from flowrunner.core.problems import Problem
from flowrunner.language.input_schema import schema_problems

MAX_PROBLEMS = 50
FREE_RULES = 50_000
RULES_PER_BYTE = 10
MAX_RULES = 2_000_000
"""How many rules one check may look at: the more the larger the value is, and some seconds' worth at most."""
REGEX_SECONDS = 0.1
ALL_REGEX_SECONDS = 1.0
"""For one text, and for all texts of a check: a list of ten thousand bad ones would keep everybody waiting."""

Path = tuple[str | int, ...]
_meter = local()


class _TooCostlyError(Exception):
    """The check was given up."""


def check_schema(schema: Json) -> list[tuple[Path, str]]:
    """What is wrong with a schema: the path inside it and a message. References may only lead into the schema."""
    problems = schema_problems(schema)
    if not problems:
        # A reference that leads back to its own place asks the same for ever, whatever the value is.
        probes: tuple[Json, ...] = (None, {}, [], "", 0)
        for probe in probes:
            try:
                list(islice(_found(schema, probe), MAX_PROBLEMS))
            except RecursionError:
                return [((), "refers to itself without end")]
            except _TooCostlyError:
                return [((), "is too costly to check: its references multiply")]
    return problems


def check_input(flow: Flow, value: Json) -> list[Problem]:
    """All problems of a run's input, each with its field (`input.order_id`)."""
    if flow.inputs is None:
        return []
    problems = []
    for path, message in input_problems(flow.inputs, value):
        field = _field(path)
        problems.append(Problem(field, message))
    return problems


def input_problems(schema: Json, value: Json) -> list[tuple[Path, str]]:
    """What a value has wrong by a schema that was checked: the path inside the value and a message."""
    try:
        return list(islice(_found(schema, value), MAX_PROBLEMS))
    except RecursionError:
        return [((), "is nested too deeply to be checked")]
    except _TooCostlyError as error:
        return [((), f"cannot be checked: {error}")]


def _field(path: Path) -> str:
    return "input" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _found(schema: Json, value: Json) -> Iterator[tuple[Path, str]]:
    from referencing.exceptions import Unresolvable

    try:
        _meter.left = min(FREE_RULES + RULES_PER_BYTE * len(orjson.dumps(value)), MAX_RULES)
        _meter.regex_seconds = ALL_REGEX_SECONDS
    except TypeError:  # more than 254 levels
        raise RecursionError from None
    try:
        for error in _validator(orjson.dumps(schema)).iter_errors(value):
            yield tuple(error.absolute_path), _short(error.message)
    except Unresolvable as error:
        yield (), f"cannot be checked: a $ref leads nowhere ({_short(str(error))})"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    from referencing.jsonschema import EMPTY_REGISTRY

    # Named explicitly: the default registry fetches references from the network.
    return _bounded()(orjson.loads(schema), registry=EMPTY_REGISTRY)


@cache
def _bounded() -> Any:
    """The validator of draft 2020-12 with each rule counted, and regular expressions that end."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    extended: Any = extend  # jsonschema leaves it untyped
    rules: dict[str, Any] = {
        **Draft202012Validator.VALIDATORS,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "required": _required,
        "uniqueItems": _unique_items,
    }
    return extended(Draft202012Validator, {name: _counted(rule) for name, rule in rules.items()})


def _counted(rule: Any) -> Any:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        _meter.left -= 1
        if _meter.left < 0:
            raise _TooCostlyError("the schema asks too much of this value")
        return rule(validator, value, instance, schema)

    return counted


def _matches(pattern: str, text: str) -> bool:
    import regex  # type: ignore[import-untyped]  # it has no stubs

    began = monotonic()
    try:
        found = bool(regex.search(pattern, text, timeout=REGEX_SECONDS))
    except TimeoutError:
        raise _TooCostlyError(f"the pattern {pattern[:80]!r} takes too long on a text") from None
    _meter.regex_seconds -= monotonic() - began
    if _meter.regex_seconds < 0:
        raise _TooCostlyError(f"its patterns, such as {pattern[:80]!r}, take too long on all its texts together")
    return found


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001  # jsonschema's form of a rule
    from jsonschema import ValidationError

    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any,
    patterns: Mapping[str, Any],
    instance: Any,
    schema: Any,  # noqa: ARG001  # as above
) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, rules in patterns.items():
            for name, value in instance.items():
                if _matches(pattern, name):
                    yield from validator.descend(value, rules, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rules: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in known or any(_matches(pattern, name) for pattern in patterns):
            continue
        if rules is False:
            yield ValidationError("is not a field that the flow knows", path=[name])
        else:
            yield from validator.descend(value, rules, path=name)


def _required(validator: Any, names: list[str], instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001  # as above
    """Each missing field at the place where it is missed."""
    from jsonschema import ValidationError

    if isinstance(instance, dict):
        yield from (ValidationError("is required", path=[name]) for name in names if name not in instance)


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001  # as above
    """In one pass; jsonschema compares each object of a list with each other."""
    from jsonschema import ValidationError

    if unique and isinstance(instance, list):
        seen = {orjson.dumps(_canonical(item), option=orjson.OPT_SORT_KEYS) for item in instance}
        if len(seen) != len(instance):
            yield ValidationError("has an item twice")


def _canonical(value: Json) -> Json:
    """A value with its numbers in one form: to JSON Schema 1.0 and 1 are the same."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def _short(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:300]}…"
