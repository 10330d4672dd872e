"""What the loader needs to know of node types, expressions and scripts, which live elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from flowrunner.core.flow import Json


class NodeTypes(Protocol):
    """The node types of this process."""

    def known(self, name: str) -> bool: ...

    def names(self) -> Collection[str]: ...

    def nearest(self, name: str) -> str | None: ...

    def actions_for(self, name: str, params: Mapping[str, Json]) -> tuple[str, ...] | None: ...

    def check_params(
        self, name: str, params: Mapping[str, Json], has_expression: Callable[[Json], bool]
    ) -> list[tuple[tuple[str | int, ...], str]]: ...

    def deferred(self, name: str) -> frozenset[str]: ...


class Fault(Protocol):
    """A script that does not compile. The place counts from 1 within the script."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...

    @property
    def message(self) -> str: ...


ScriptKind = Literal["expression", "hook"]
CheckScripts = Callable[[Sequence[tuple[ScriptKind, str]]], Sequence[Fault | None]]
CompileTemplate = Callable[[Json], Any]
"""`sandbox.templates.compile_template`: gives `.expressions` (source, path, offset), raises `TemplateError`."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a document is loaded. `secrets` are the names that exist, None when that is not known."""

    node_types: NodeTypes
    compile_template: CompileTemplate
    references: Callable[[str], Collection[Any]]
    check_scripts: CheckScripts
    template_error: type[Exception]
    secrets: Collection[str] | None = None
