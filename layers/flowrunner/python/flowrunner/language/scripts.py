"""The expressions and hooks of a document: are they well formed, and do they read what exists?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.problems import Problem
from flowrunner.language.catalog import Environment, ScriptKind
from flowrunner.language.compile import hook_place
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import FlowDocument
from flowrunner.language.suggest import MAX_PROBLEMS, nearest


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of JavaScript in the document. `node` is the node it belongs to, None for the flow's own."""

    kind: ScriptKind
    source: str
    path: Path
    place: tuple[int, int]
    node: str | None


def check_scripts(
    model: FlowDocument, document: Document, env: Environment
) -> tuple[list[Found], list[Problem]]:
    """All scripts of a document, and what is wrong with them."""
    found: list[Found] = []
    problems: list[Problem] = []
    for path, value, node in _templated(model):
        try:
            template = env.compile_template(value)
        except env.template_error as error:
            problems.append(_template_problem(path, error, document))
            continue
        for expression in template.expressions:
            where = (*path, *expression.path)
            found.append(Found("expression", expression.source, where, document.place(where), node))
    for name, declared in model.nodes.items():
        for hook, source in (declared.hooks.model_dump(exclude_none=True) if declared.hooks else {}).items():
            path = ("nodes", name, "hooks", hook)
            found.append(Found("hook", source, path, hook_place(name, hook, document), name))
    faults = env.check_scripts([(one.kind, one.source) for one in found])
    for one, fault in zip(found, faults, strict=True):
        if fault is not None:
            problems.append(_fault_problem(one, fault))
    problems += islice(
        (problem for one in found for problem in _unknown_nodes(one, document, env)), MAX_PROBLEMS + 1
    )
    return found, problems


def has_expression(value: Json) -> bool:
    """Whether there is an expression anywhere in a value."""
    if isinstance(value, str):
        return "${" in value.replace("$${", "")
    if isinstance(value, dict):
        return any(map(has_expression, value.values()))
    return isinstance(value, list) and any(map(has_expression, value))


def _templated(model: FlowDocument) -> Iterator[tuple[Path, Json, str | None]]:
    """Every value of the document that may hold expressions. Inline flows have their own."""
    if model.outputs is not None:
        yield ("outputs",), model.outputs, None
    if model.concurrency is not None:
        yield ("concurrency", "key"), model.concurrency.key, None
    for name, node in model.nodes.items():
        base: Path = ("nodes", name)
        for field, value in node.params.items():
            if not (node.type == "flow.run" and field == "inline"):
                yield (*base, "params", field), value, name
        yield (*base, "inputs"), node.inputs, name
        yield (*base, "when"), node.when, name
        yield (*base, "fallback"), node.fallback, name
        if node.foreach is not None:
            yield (*base, "foreach", "items"), node.foreach.items, name
        if node.cache is not None:
            yield (*base, "cache", "key"), node.cache.key, name


def _template_problem(path: Path, error: Any, document: Document) -> Problem:
    where = (*path, *error.path)
    return Problem(path_text(where), str(error.message), *document.place(where))


def _fault_problem(one: Found, fault: Any) -> Problem:
    line, column = one.place
    if one.kind == "hook":
        place = (line + fault.line - 1, fault.column if fault.line > 1 or column == 1 else column)
        return Problem(path_text(one.path), f"JavaScript: {fault.message}", *place)
    shown = one.source.strip()
    return Problem(
        path_text(one.path), f"the expression `{shown[:120]}` is not JavaScript: {fault.message}", *one.place
    )


def _unknown_nodes(one: Found, document: Document, env: Environment) -> Iterator[Problem]:
    known = document.value["nodes"]
    for reference in env.references(one.source):
        if reference.root == "nodes" and reference.key is not None and reference.key not in known:
            message = f"no node is called {reference.key!r}"
            near = nearest(reference.key, known)
            yield Problem(path_text(one.path), message, *one.place, suggestion=near)
