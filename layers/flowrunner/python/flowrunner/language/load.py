"""Loading a flow: text in, compiled flow and warnings out, or every problem at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowrunner.core.flow import Flow
from flowrunner.core.problems import Problem
from flowrunner.language.catalog import Environment
from flowrunner.language.compile import compile_flow
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.graph import check_graph
from flowrunner.language.inputs import check_schema
from flowrunner.language.lint import lint
from flowrunner.language.reader import Document, Path, path_text, read_document
from flowrunner.language.schema import FlowDocument, NodeDocument
from flowrunner.language.scripts import check_scripts, has_expression
from flowrunner.language.structure import check_structure
from flowrunner.language.triggers import check_triggers

ROOT_NAMES = frozenset(
    {"input", "nodes", "prev", "ports", "params", "vars", "index", "error", "secrets", "run", "flow", "account"}
)


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """A valid flow with what is worth a second look."""

    flow: Flow
    warnings: tuple[Problem, ...]


def load_flow(text: str | bytes, env: Environment) -> LoadedFlow:
    """Load a document. Nothing in it is run.

    Raises `InvalidFlow` with all problems, in the order of the document.
    """
    document = read_document(text)
    model, problems = check_structure(document)
    if model is None:
        # What can be said of the nodes that are sound is said as well, so that one mistake hides no other.
        problems += _partial(document, env)
        raise _invalid(problems)
    problems += check_graph(model, document)
    problems += _check_nodes(model, document, env)
    problems += _check_inputs(model, document)
    problems += check_triggers(model, document)
    scripts, faults = check_scripts(model, document, env)
    problems += faults
    if problems:
        raise _invalid(problems)
    return LoadedFlow(compile_flow(model, document), tuple(lint(model, document, scripts, env)))


def load_valid_flow(text: str | bytes) -> Flow:
    """Compile a document that was found valid before, without looking at node types and scripts again.

    Raises `InvalidFlow` when its structure is not (or no longer) sound.
    """
    document = read_document(text)
    model, problems = check_structure(document)
    if model is None:
        raise _invalid(problems)
    problems = check_graph(model, document)
    if problems:
        raise _invalid(problems)
    return compile_flow(model, document)


def _invalid(problems: list[Problem]) -> InvalidFlow:
    unique = dict.fromkeys(problems)
    return InvalidFlow(sorted(unique, key=lambda problem: (problem.line or 0, problem.column or 0)))


def _partial(document: Document, env: Environment) -> list[Problem]:
    """Problems of node types in a document whose structure is not sound."""
    nodes = document.value.get("nodes") if isinstance(document.value, dict) else None
    problems: list[Problem] = []
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        if isinstance(node, dict) and isinstance(node.get("type"), str):
            params = node.get("params")
            problems += _check_node(name, node["type"], params if isinstance(params, dict) else {}, document, env)
    return problems


def _check_nodes(model: FlowDocument, document: Document, env: Environment) -> Iterator[Problem]:
    for name, node in model.nodes.items():
        yield from _check_node(name, node.type, node.params, document, env)
        yield from _check_rules(name, node, document)


def _check_node(
    name: str, node_type: str, params: dict[str, object], document: Document, env: Environment
) -> Iterator[Problem]:
    if not env.node_types.known(node_type):
        path: Path = ("nodes", name, "type")
        near = env.node_types.nearest(node_type)
        message = f"unknown node type {node_type[:80]!r}"
        yield Problem(path_text(path), message, *document.place(path), suggestion=near)
        return
    for inner, message in env.node_types.check_params(node_type, params, has_expression):
        path = ("nodes", name, "params", *inner)
        yield Problem(path_text(path), message, *document.place(path))


def _check_rules(name: str, node: NodeDocument, document: Document) -> Iterator[Problem]:
    """Rules between fields of one node."""
    if node.foreach is not None and node.foreach.as_ in ROOT_NAMES:
        path: Path = ("nodes", name, "foreach", "as")
        yield Problem(path_text(path), f"{node.foreach.as_!r} has a meaning of its own in expressions", *document.place(path))
    if node.at_most_once and node.retry is not None and node.retry.max_attempts > 1:
        path = ("nodes", name, "retry", "max_attempts")
        yield Problem(path_text(path), "a node that runs at most once is not retried", *document.place(path))


def _check_inputs(model: FlowDocument, document: Document) -> Iterator[Problem]:
    if model.inputs is None:
        return
    for inner, message in check_schema(model.inputs):
        path = ("inputs", *inner)
        yield Problem(path_text(path), message, *document.place(path))
