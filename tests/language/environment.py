"""What a document is loaded with in these tests: a few node types, the real templates, and a syntax check to order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from flowrunner.core.flow import Json
from flowrunner.language.catalog import Environment, Fault, ScriptKind
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import LoadedFlow, load_flow
from flowrunner.sandbox.errors import TemplateSyntaxError
from flowrunner.sandbox.templates import compile_template, references

ACTIONS: Mapping[str, tuple[str, ...] | None] = {
    "log": ("default",),
    "condition": ("true", "false"),
    "script": ("default",),
    "any": None,
    "flow.run": ("default",),
}


class FakeTypes:
    """Five node types. `log` takes only `message`, a text, and `data`; the others take anything."""

    def known(self, name: str) -> bool:
        return name in ACTIONS

    def names(self) -> Collection[str]:
        return list(ACTIONS)

    def nearest(self, name: str) -> str | None:
        return "log" if name == "lgo" else None

    def actions_for(self, name: str, params: Mapping[str, Json]) -> tuple[str, ...] | None:
        return ACTIONS[name]

    def check_params(
        self, name: str, params: Mapping[str, Json], has_expression: Callable[[Json], bool]
    ) -> list[tuple[tuple[str | int, ...], str]]:
        if name != "log":
            return []
        wrong: list[tuple[tuple[str | int, ...], str]] = [
            ((key,), "there is no such parameter") for key in params if key not in {"message", "data"}
        ]
        message = params.get("message", "")
        if not isinstance(message, str) and not has_expression(message):
            wrong.append((("message",), "must be a text"))
        return wrong

    def deferred(self, name: str) -> frozenset[str]:
        return frozenset()


@dataclass(frozen=True, slots=True)
class FakeFault:
    line: int
    column: int
    message: str


def check_scripts(scripts: Sequence[tuple[ScriptKind, str]]) -> Sequence[Fault | None]:
    """A fault at each `@@`, which JavaScript has no use for."""
    return [_fault(source) for _, source in scripts]


def _fault(source: str) -> FakeFault | None:
    at = source.find("@@")
    if at < 0:
        return None
    return FakeFault(source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at), "unexpected '@'")


def environment(secrets: Collection[str] | None = None) -> Environment:
    return Environment(FakeTypes(), compile_template, references, check_scripts, TemplateSyntaxError, secrets)


def load(text: str | bytes, secrets: Collection[str] | None = None) -> LoadedFlow:
    """Load a document that is valid."""
    return load_flow(text, environment(secrets))


def problems(text: str | bytes) -> list[str]:
    """The problems of a document as people read them; none for a valid one."""
    try:
        load(text)
    except InvalidFlow as error:
        return [str(problem) for problem in error.problems]
    return []


def warnings(text: str, secrets: Collection[str] | None = None) -> list[str]:
    """The warnings of a valid document."""
    return [str(warning) for warning in load(text, secrets).warnings]


HEAD = "metadata: {name: x}\n"
"""Line 1 of the documents of `test_rules`."""

A = "nodes: {a: {type: log}}"


def a_node(fields: str) -> str:
    """A node `a` whose fields begin at line 4, column 5 behind `HEAD`, and a node `b` that follows it or starts."""
    return f"start: [a, b]\nnodes:\n  a:\n    {fields}\n    type: log\n  b: {{type: log}}\n"
