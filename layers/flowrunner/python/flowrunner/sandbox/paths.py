"""Pure paths such as `input.a.b[0]`: resolved here, with JavaScript's result, so that no engine has to be
started.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flowrunner.sandbox.errors import ExpressionError


class Undefined:
    """JavaScript's `undefined`: null as a whole value, nothing inside text."""

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()

KEYED = frozenset({"nodes", "vars", "secrets"})
"""Roots whose values are loaded one key at a time."""

ROOTS = frozenset(
    {
        "input",
        "prev",
        "ports",
        "params",
        "item",
        "index",
        "error",
        "run",
        "flow",
        "account",
        "output",
        "context",
    }
    | KEYED
)

Loader = Callable[[str, str | None], Any]
"""Gives the value of a root (`("input", None)`) or of one key of a keyed root (`("nodes", "fetch")`)."""

SHOWN = 200
"""Characters of an expression that an error shows."""

_NAME = r"[A-Za-z_$][A-Za-z0-9_$]*"
_STEP = rf"\.{_NAME}|\[\s*(?:0|[1-9]\d{{0,9}})\s*\]|\[\s*\"[^\"\\\n]*\"\s*\]|\[\s*'[^'\\\n]*'\s*\]"
_PATH = re.compile(rf"\s*({_NAME})((?:{_STEP})*)\s*")
_STEPS = re.compile(_STEP)


@dataclass(frozen=True, slots=True)
class Path:
    """A root and the property names and indexes that lead on from it."""

    root: str
    steps: tuple[str | int, ...]
    source: str

    def resolve(self, load: Loader) -> Any:
        """The value, or `UNDEFINED`. Raises `ExpressionError` for a step through null or undefined."""
        steps = self.steps
        if self.root in KEYED:
            if not steps:
                return load(self.root, None)
            value = load(self.root, str(steps[0]))
            start = 1
        else:
            value = load(self.root, None)
            start = 0
        for position in range(start, len(steps)):
            step = steps[position]
            if isinstance(value, dict):
                value = value.get(step if isinstance(step, str) else str(step), UNDEFINED)
            elif value is None or value is UNDEFINED:
                raise self._dead_end(position, value)
            else:
                value = _property(value, step)
        return value

    def _dead_end(self, position: int, value: Any) -> ExpressionError:
        """The error for a step through null or undefined."""
        kind = "null" if value is None else "undefined"
        shown = self.source if len(self.source) <= SHOWN else f"{self.source[:SHOWN]}…"
        text = f"cannot read {str(self.steps[position])!r} of {kind} in {shown}"
        if self.root == "nodes" and position == 1:
            text += f": node {str(self.steps[0])!r} has not run"
        return ExpressionError(text, expression=self.source[:2000])


def parse_path(source: str) -> Path | None:
    """The path that `source` is, or None if it is more than a path."""
    match = _PATH.fullmatch(source)
    if match is None or match[1] not in ROOTS:
        return None
    steps = tuple(_step(text) for text in _STEPS.findall(match[2]))
    return Path(match[1], steps, source.strip())


def _step(text: str) -> str | int:
    if text[0] == ".":
        return text[1:]
    inner = text[1:-1].strip()
    return inner[1:-1] if inner[0] in "'\"" else int(inner)


def _property(value: Any, step: str | int) -> Any:
    """A property of a list or text; other values have none of their own."""
    if isinstance(value, str):
        value = _code_units(value)
    elif not isinstance(value, list):
        return UNDEFINED
    if step == "length":
        return len(value)
    index = step if isinstance(step, int) else _index(step)
    return value[index] if index is not None and index < len(value) else UNDEFINED


def _index(name: str) -> int | None:
    """The array index that a property name is (ECMA-262, 6.1.7): canonical decimal."""
    return int(name) if name.isdecimal() and name.isascii() and str(int(name[:12])) == name else None


def _code_units(text: str) -> Any:
    """A string counts in UTF-16 code units."""
    if text.isascii() or max(text) < "\U00010000":
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[at : at + 2].decode("utf-16-le", "replace") for at in range(0, len(raw), 2)]
