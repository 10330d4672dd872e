"""What the parameter models of several node types share: kinds of fields, and rules between them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json
from flowrunner.nodes.base import Params

PRESENCE = "presence"

Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "x-flowrunner": "duration",
            "examples": ["500ms", "20s", "5m", "2h", "1d", 30],
        }
    ),
]
"""Written as `500ms`, `20s`, `5m`, `2h`, `1d` or seconds; milliseconds in the model."""

Period = Annotated[Duration, Field(gt=0)]
"""A duration that is not nothing: the time limit of a wait, the life of a value."""


def presence(message: str) -> PydanticCustomError:
    """The error of a rule that only looks at which parameters are given.

    Such a rule is already known to be broken when the flow is saved, whatever the expressions in it give.
    """
    return PydanticCustomError(PRESENCE, "{message}", {"message": message})


def refuse_useless(params: Params, op: str, useful: Collection[str], everywhere: Collection[str]) -> None:
    """Raises the error of a parameter that is given and that the operation `op` has no use for."""
    for name in sorted(params.model_fields_set.difference(everywhere, useful)):
        raise presence(f"{op} has no use for `{name}`; it takes {', '.join(sorted(useful))}")


def given(params: Params, name: str, otherwise: Json) -> Json:
    """The parameter if the flow gives it, null included; else `otherwise`, mostly the node's input."""
    return getattr(params, name) if name in params.model_fields_set else otherwise


def truthy(value: Json) -> bool:
    """JavaScript's truth: empty lists and objects are true (ECMA-262, ToBoolean)."""
    return isinstance(value, list | dict) or bool(value)


def kind(value: object) -> str:
    """What a JSON value is, in words for the author of a flow."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    names: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}
    return next((name for base, name in names.items() if isinstance(value, base)), type(value).__name__)
