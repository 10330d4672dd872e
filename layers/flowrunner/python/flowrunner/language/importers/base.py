"""The contract of importers, and how they report what they cannot bring along.

An importer is a class with a name and two methods, found under that name in the entry point group
`flowrunner.importers`:

    class StatesLanguage:
        name = "states"

        def recognizes(self, document: Json) -> bool:
            return isinstance(document, dict) and "StartAt" in document

        def convert(self, document: Json, problems: Problems) -> Converted:
            ...

What cannot be expressed is refused by its place (`problems.add`), never left out, and all of it at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flowrunner.core.flow import Json
from flowrunner.core.problems import Problem
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.reader import Path, path_text
from flowrunner.language.suggest import MAX_PROBLEMS, nearest

SHOWN = 80
"""Characters of a name or value that a message shows."""


class CannotImport(InvalidFlow):
    """The document cannot be brought along. `problems` have places in that document."""


@dataclass(slots=True)
class Problems:
    """What is wrong with the document to import, by place."""

    found: list[Problem] = field(default_factory=list)

    def add(self, path: Path, message: str, suggestion: str | None = None) -> None:
        if len(self.found) == MAX_PROBLEMS:
            self.found.append(Problem("", "there are more problems"))
        elif len(self.found) < MAX_PROBLEMS:
            self.found.append(Problem(path_text(path), message, suggestion=suggestion))


@dataclass(frozen=True, slots=True)
class Converted:
    """A flow as text in our language, and where each of its nodes comes from in the imported document."""

    text: str
    nodes: Mapping[str, Path] = field(default_factory=dict)


class Importer(Protocol):
    """See the module."""

    name: str

    def recognizes(self, document: Json) -> bool:
        """Whether the document looks like this format; told so, `convert` may still refuse it."""
        ...

    def convert(self, document: Json, problems: Problems) -> Converted:
        """The flow. When there are problems it is not looked at. The document is strict JSON from a stranger."""
        ...


@dataclass(frozen=True, slots=True)
class At:
    """A value of the document with its place. Every reader answers None after it has refused the value."""

    value: Json
    path: Path
    problems: Problems

    def refuse(self, message: str, suggestion: str | None = None) -> None:
        self.problems.add(self.path, message, suggestion)

    def fields(self, known: Collection[str] | None = None) -> dict[str, At]:
        """The fields of an object without those that are null; each that is not `known` is refused by name."""
        if not isinstance(self.value, dict):
            self.refuse("must be an object")
            return {}
        inside = {name: At(value, (*self.path, name), self.problems) for name, value in self.value.items()}
        for name, at in inside.items():
            if known is not None and name not in known:
                at.refuse(f"{name[:SHOWN]!r} is nothing that can be imported", nearest(name, known))
        return {name: at for name, at in inside.items() if at.value is not None}

    def items(self) -> list[At]:
        if not isinstance(self.value, list):
            self.refuse("must be a list")
            return []
        return [At(value, (*self.path, number), self.problems) for number, value in enumerate(self.value)]

    def text(self) -> str | None:
        if isinstance(self.value, str):
            return self.value
        self.refuse("must be a text")
        return None

    def boolean(self) -> bool | None:
        if isinstance(self.value, bool):
            return self.value
        self.refuse("must be true or false")
        return None

    def number(self, low: float, high: float) -> float | None:
        if isinstance(self.value, int | float) and not isinstance(self.value, bool) and low <= self.value <= high:
            return self.value
        self.refuse(f"must be a number from {low:,} to {high:,}")
        return None

    def whole(self, low: int, high: int) -> int | None:
        if isinstance(self.value, int) and not isinstance(self.value, bool) and low <= self.value <= high:
            return self.value
        self.refuse(f"must be a whole number from {low:,} to {high:,}")
        return None
