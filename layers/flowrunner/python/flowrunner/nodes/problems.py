"""What is wrong with a node's parameters, in words for the author of the flow.

Pydantic says where its own model went wrong; an author knows only the document. So the names of union
branches are taken out of the places, of a union only the branch that was meant is shown, and the messages
name kinds of JSON.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from flowrunner.core.flow import Json
from flowrunner.nodes.fields import PRESENCE, kind

Place = tuple[str | int, ...]
Problem = tuple[Place, str]

_WANTED: Mapping[str, str] = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
}
"""Errors about the kind of a value: definite, whatever the expressions inside the value give."""

_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "bool_parsing": "should be true or false",
    "finite_number": "should be a finite number",
    "greater_than": "should be more than {gt}",
    "greater_than_equal": "should be at least {ge}",
    "less_than": "should be less than {lt}",
    "less_than_equal": "should be at most {le}",
    "string_too_short": "should have at least {min_length} characters",
    "string_too_long": "should have at most {max_length} characters",
    "too_short": "should have at least {min_length} entries",
    "too_long": "should have at most {max_length} entries",
    "string_pattern_mismatch": "should match {pattern}",
    "string_unicode": "should be Unicode text without lone surrogates",
    "literal_error": "should be {expected}",
}


@dataclass(frozen=True, slots=True)
class _Fault:
    """One error of Pydantic. `union` is the place of the union that it is a branch of, if it is."""

    place: Place
    union: Place | None
    error: Mapping[str, Any]


def problems(
    failure: ValidationError,
    model: type[BaseModel],
    params: Mapping[str, Json],
    has_expression: Callable[[Json], bool] | None = None,
) -> list[Problem]:
    """Place and message of each problem.

    Arguments: `params`, what was validated; `has_expression`, given for params that are not evaluated yet:
    what an expression may still put right is left out.
    """
    faults = _branches_meant([_fault(error, params) for error in failure.errors(include_url=False)])
    return [
        (fault.place, _words(fault.error, fault.place, model))
        for fault in faults
        if has_expression is None or _definite(fault, params, has_expression)
    ]


def text_of(found: Iterable[Problem]) -> str:
    """The problems in one line."""
    return "; ".join(f"{'.'.join(map(str, place))}: {message}" if place else message for place, message in found)


def unknown(name: str, names: Iterable[str]) -> str:
    """That a parameter does not exist, and which one may have been meant."""
    names = sorted(names)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    return f"there is no such parameter; {hint}"


def _fault(error: Mapping[str, Any], params: Json) -> _Fault:
    """Follow Pydantic's location through the value; what is no key or index there names a union's branch."""
    place: list[str | int] = []
    union: Place | None = None
    value: Json = params
    for number, part in enumerate(error["loc"]):
        last = number == len(error["loc"]) - 1
        if _has(value, part):
            value = value[part]
        elif not (last and error["type"] == "missing"):
            union = tuple(place) if union is None else union
            continue
        place.append(part)
    return _Fault(tuple(place), union, error)


def _has(value: Json, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _branches_meant(faults: Sequence[_Fault]) -> Iterator[_Fault]:
    """Of each union the faults of the branch that fits the value best: the one looked into deepest."""
    by_union: dict[Place, list[_Fault]] = {}
    for fault in faults:
        if fault.union is not None:
            by_union.setdefault(fault.union, []).append(fault)
    for fault in faults:
        if fault.union is None:
            yield fault
            continue
        branches = by_union.pop(fault.union, [])
        inside = [branch for branch in branches if len(branch.place) > len(fault.union)]
        yield from inside or _joined(branches)


def _joined(branches: Sequence[_Fault]) -> Iterator[_Fault]:
    """The fault of the branch whose kind the value has; one fault for all if it is of no branch's kind."""
    of_kind = [fault for fault in branches if fault.error["type"] not in _WANTED]
    if of_kind or len(branches) < 2:
        yield from (of_kind or branches)[:1]
        return
    wanted = dict.fromkeys(_WANTED[fault.error["type"]] for fault in branches)
    error = {**branches[0].error, "type": "kind", "ctx": {"wanted": " or ".join(wanted)}}
    yield _Fault(branches[0].place, branches[0].union, error)


def _definite(fault: _Fault, params: Json, has_expression: Callable[[Json], bool]) -> bool:
    """Whether the problem stays, whatever the expressions give."""
    error_type = fault.error["type"]
    value = params
    for part in fault.place:
        if isinstance(value, str):
            return False
        if part not in value if isinstance(value, dict) else False:
            return True
        value = value[part]
    if isinstance(value, str):
        return error_type == "extra_forbidden" or not has_expression(value)
    if error_type in (PRESENCE, "extra_forbidden") or (error_type in _WANTED and fault.union is None):
        return True
    return not has_expression(value)


def _words(error: Mapping[str, Any], place: Place, model: type[BaseModel]) -> str:
    error_type, context = error["type"], error.get("ctx") or {}
    if error_type == "extra_forbidden":
        return unknown(str(place[-1]), _names_at(model, place[:-1]))
    if error_type == "kind" or error_type in _WANTED:
        return f"should be {context.get('wanted') or _WANTED[error_type]}, not {kind(error['input'])}"
    if error_type == "literal_error" and isinstance(error["input"], str):
        names = [name.strip(" '") for name in context["expected"].replace(" or ", ",").split(",")]
        near = difflib.get_close_matches(error["input"], names, n=1)
        return f"should be {context['expected']}" + (f"; did you mean {near[0]!r}?" if near else "")
    if error_type in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "should not be empty"
    if error_type in _WORDS:
        return _WORDS[error_type].format(**context)
    message: str = error["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _names_at(model: type[BaseModel], place: Place) -> Iterator[str]:
    """The names of the parameters of the model at a place inside a model."""
    found: list[Any] = [model]
    for part in place:
        found = [inner for one in found for inner in _inside(one, part)]
    for one in found:
        for candidate in _alternatives(one):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                yield from (info.alias or name for name, info in candidate.model_fields.items())


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    """The types that a value of this type can have under a key or index."""
    for one in _alternatives(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            fields = {info.alias or name: info.annotation for name, info in one.model_fields.items()}
            yield from (fields[name] for name in fields if name == part)
        elif get_origin(one) in (list, dict):
            yield get_args(one)[-1]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that a union, annotated or not, stands for."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(inner for one in get_args(annotation) for inner in _alternatives(one))
    return (annotation,)
