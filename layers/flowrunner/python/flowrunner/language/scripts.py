"""The expressions and hooks of a document: are they well formed, and do they read what exists?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from flowrunner.core.flow import Json
from flowrunner.core.problems import Problem
from flowrunner.errors import StepError
from flowrunner.language.catalog import Environment, Fault, ScriptKind
from flowrunner.language.reader import Document, Path, Place, path_text
from flowrunner.language.schema import FlowDocument
from flowrunner.language.suggest import MAX_PROBLEMS, nearest

OF_THEIR_OWN = frozenset(
    {("flow.run", "inline"), ("ai.agent", "tools"), ("agent.tool", "tools"), ("agent.think", "tools")}
    | {("agent.begin", "tools")}
)
"""Parameters that become flows by themselves: their expressions and scripts see other things than the node does."""


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of JavaScript in the document. `node` is the node it belongs to, None for the flow's own."""

    kind: ScriptKind
    source: str
    path: Path
    text: str
    offset: int
    node: str | None

    def place(self, document: Document, within: int = 0) -> Place:
        """The place of a character of the script."""
        return document.place_in(self.path, self.text, self.offset + within)


def check_scripts(model: FlowDocument, document: Document, env: Environment) -> tuple[list[Found], list[Problem]]:
    """All scripts of a document, and what is wrong with them."""
    found: list[Found] = []
    problems: list[Problem] = []
    for path, value, node in _templated(model):
        try:
            template = env.compile_template(value)
        except env.template_error as error:
            problems.append(_template_problem(path, value, error, document))
            continue
        for expression in template.expressions:
            where = (*path, *expression.path)
            text = _at(value, expression.path)
            found.append(Found("expression", expression.source, where, text, expression.offset, node))
    for name, declared in model.nodes.items():
        for hook, source in (declared.hooks.model_dump(exclude_none=True) if declared.hooks else {}).items():
            path = ("nodes", name, "hooks", hook)
            found.append(Found("hook", source, path, source, 0, name))
    try:
        faults = env.check_scripts([(one.kind, one.source) for one in found])
    except StepError as error:  # a limit of the sandbox: the scripts together are too much for it
        message = f"the scripts of this flow cannot be checked: {error.message}"
        return found, [*problems, Problem("", message, *document.place(()))]
    for one, fault in zip(found, faults, strict=True):
        if fault is not None:
            problems.append(_fault_problem(one, fault, document))
    unknown = (problem for one in found for problem in _unknown_nodes(one, document, env))
    return found, [*problems, *islice(unknown, MAX_PROBLEMS + 1)]


def has_expression(value: Json) -> bool:
    """Whether there is an expression anywhere in a value."""
    if isinstance(value, str):
        return "${" in value.replace("$${", "")
    if isinstance(value, dict):
        return any(map(has_expression, value.values()))
    return isinstance(value, list) and any(map(has_expression, value))


def _templated(model: FlowDocument) -> Iterator[tuple[Path, Json, str | None]]:
    """Every value of the document that may hold expressions of its own."""
    if model.outputs is not None:
        yield ("outputs",), model.outputs, None
    if model.concurrency is not None:
        yield ("concurrency", "key"), model.concurrency.key, None
    for name, node in model.nodes.items():
        base: Path = ("nodes", name)
        for field, value in node.params.items():
            if (node.type, field) not in OF_THEIR_OWN:
                yield (*base, "params", field), value, name
        yield (*base, "inputs"), node.inputs, name
        yield (*base, "when"), node.when, name
        yield (*base, "fallback"), node.fallback, name
        if node.foreach is not None:
            yield (*base, "foreach", "items"), node.foreach.items, name
        if node.cache is not None:
            yield (*base, "cache", "key"), node.cache.key, name


def _at(value: Json, path: Path) -> str:
    for part in path:
        value = value[part]
    return str(value)


def _template_problem(path: Path, value: Json, error: Any, document: Document) -> Problem:
    where = (*path, *error.path)
    place = document.place_in(where, _at(value, error.path), error.offset)
    return Problem(path_text(where), str(error.message), *place)


def _fault_problem(one: Found, fault: Fault, document: Document) -> Problem:
    place = one.place(document, _offset(one.source, fault.line, fault.column))
    if one.kind == "hook":
        return Problem(path_text(one.path), f"JavaScript: {fault.message}", *place)
    shown = one.source.strip()[:120]
    return Problem(path_text(one.path), f"the expression `{shown}` is not JavaScript: {fault.message}", *place)


def _offset(source: str, line: int, column: int) -> int:
    """A place in a script as an offset. What is missing at the end is missed behind it: the last place is shown."""
    rows = source.split("\n")
    if line > len(rows):
        return max(len(source.rstrip()) - 1, 0)
    return sum(len(row) + 1 for row in rows[: line - 1]) + min(column - 1, len(rows[line - 1]))


_OWN_NODES = re.compile(r"\b(?:const|let|var|function)\s+nodes\b|\bnodes\s*(?:=>|=(?!=)|,)|[({,]\s*nodes\s*[,)}]")
"""Where a script has a `nodes` of its own: a variable, or a parameter of a function."""


def _unknown_nodes(one: Found, document: Document, env: Environment) -> Iterator[Problem]:
    if _OWN_NODES.search(one.source):
        return
    known = document.value["nodes"]
    for reference in env.references(one.source):
        if reference.root == "nodes" and reference.key is not None and reference.key not in known:
            key = re.escape(reference.key)
            mention = re.search(rf"nodes\s*+(?:\?\.|\.)?\s*+(?:\[\s*+['\"])?\s*+({key})", one.source)
            place = one.place(document, mention.start(1) if mention else 0)
            near = nearest(reference.key, known)
            message = f"no node is called {reference.key[:80]!r}"
            yield Problem(path_text(one.path), message, *place, suggestion=near)
