"""Values checked by the JSON Schema of a node's parameters, within the bounds that hold for inputs of runs."""

from __future__ import annotations

from collections.abc import Callable

from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.language.inputs import check_schema, input_problems


def validator(schema: Json) -> Callable[[Json], list[str]]:
    """See `nodes.base.Context.validator`."""
    wrong = check_schema(schema)
    if wrong:
        raise ParamsInvalid("the schema: " + "; ".join(_line(path, message) for path, message in wrong[:5]))
    return lambda value: [_line(path, message) for path, message in input_problems(schema, value)]


def _line(path: tuple[str | int, ...], message: str) -> str:
    return f"at {'.'.join(map(str, path))}: {message}" if path else message
