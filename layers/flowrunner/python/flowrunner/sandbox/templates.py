"""Values with expressions in them: `${…}` inside the strings of a JSON tree.

A string that is exactly one expression keeps the value's type; in any other the values become text. `$${`
writes a literal `${`. A template whose expressions are all pure paths is *native*: it is rendered without
JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.sandbox.errors import TemplateSyntaxError
from flowrunner.sandbox.paths import UNDEFINED, Loader, Path, parse_path
from flowrunner.sandbox.references import Reference, references
from flowrunner.sandbox.scanner import end_of_expression
from flowrunner.sandbox.text import to_text

__all__ = ["UNDEFINED", "Expression", "Loader", "Reference", "Template", "compile_template", "references"]


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression with its place: the path to its string and the offset of its source in there."""

    source: str
    path: tuple[str | int, ...]
    offset: int
    native: Path | None


@dataclass(frozen=True, slots=True)
class _Whole:
    """A string that is exactly the expression of that number."""

    number: int


@dataclass(frozen=True, slots=True)
class _Text:
    """Text pieces and numbers of expressions between them."""

    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Object:
    fields: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Array:
    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Json


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value. `assemble` puts results in the order of `expressions` into their places."""

    expressions: tuple[Expression, ...]
    native: bool
    references: frozenset[Reference]
    _shape: Any

    @property
    def constant(self) -> bool:
        return not self.expressions

    def render(self, load: Loader) -> Json:
        """The value of a native template. Raises `ExpressionError` and whatever `load` raises."""
        return _build(self._shape, [one.native.resolve(load) for one in self.expressions if one.native is not None])

    def assemble(self, results: Sequence[Any]) -> Json:
        """The value with these results of its expressions."""
        return _build(self._shape, results)


def compile_template(value: Json) -> Template:
    """Find the expressions in a value. Raises `TemplateSyntaxError` for one that does not end or is empty."""
    found: list[Expression] = []
    shape = _compile(value, (), found)
    mentioned = frozenset(reference for one in found for reference in references(one.source))
    return Template(tuple(found), all(one.native is not None for one in found), mentioned, shape)


def _compile(value: Json, path: tuple[str | int, ...], found: list[Expression]) -> Any:
    if isinstance(value, str):
        return _compile_text(value, path, found)
    before = len(found)
    if isinstance(value, dict):
        fields = tuple((key, _compile(item, (*path, key), found)) for key, item in value.items())
        return _Object(fields) if len(found) > before else _Constant(_unescaped(value, fields))
    if isinstance(value, list | tuple):
        items = tuple(_compile(item, (*path, index), found) for index, item in enumerate(value))
        return _Array(items) if len(found) > before else _Constant([_build(item, ()) for item in items])
    return _Constant(value)


def _unescaped(value: dict[str, Json], fields: tuple[tuple[str, Any], ...]) -> Json:
    return {key: _build(item, ()) for key, item in fields} if value else {}


def _compile_text(text: str, path: tuple[str | int, ...], found: list[Expression]) -> Any:
    if "${" not in text:
        return _Constant(text)
    parts: list[str | int] = []
    literal = ""
    at = 0
    while (mark := text.find("${", at)) >= 0:
        if mark > at and text[mark - 1] == "$":
            literal += text[at : mark - 1] + "${"
            at = mark + 2
            continue
        literal += text[at:mark]
        end = end_of_expression(text, mark + 2)
        if end < 0:
            raise TemplateSyntaxError(
                path, "this ${ has no closing brace; write $${ for the characters themselves", mark
            )
        source = text[mark + 2 : end]
        if not source.strip():
            raise TemplateSyntaxError(path, "the expression between ${ and } is empty", mark)
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(len(found))
        found.append(Expression(source, path, mark + 2, parse_path(source)))
        at = end + 1
    literal += text[at:]
    if literal:
        parts.append(literal)
    if len(parts) == 1:
        return _Constant(parts[0]) if isinstance(parts[0], str) else _Whole(parts[0])
    return _Text(tuple(parts))


def _build(shape: Any, results: Sequence[Any]) -> Json:
    match shape:
        case _Constant():
            return shape.value
        case _Whole():
            value = results[shape.number]
            return None if value is UNDEFINED else value
        case _Text():
            return "".join(part if isinstance(part, str) else to_text(results[part]) for part in shape.parts)
        case _Object():
            return {key: _build(item, results) for key, item in shape.fields}
        case _:
            return [_build(item, results) for item in shape.items]
