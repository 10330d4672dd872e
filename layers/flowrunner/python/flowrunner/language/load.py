"""Loading a flow: text in, compiled flow and warnings out, or every problem at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from flowrunner.core.flow import Flow
from flowrunner.core.problems import Problem
from flowrunner.language.catalog import Environment
from flowrunner.language.compile import compile_flow
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.graph import check_graph
from flowrunner.language.inputs import check_schema
from flowrunner.language.lint import lint
from flowrunner.language.reader import Document, Path, path_text, read_document
from flowrunner.language.salvage import salvage
from flowrunner.language.schema import FlowDocument, NodeDocument
from flowrunner.language.scripts import Found, check_scripts, has_expression
from flowrunner.language.structure import check_structure
from flowrunner.language.suggest import MAX_PROBLEMS
from flowrunner.language.triggers import check_triggers

RESERVED_NAMES = frozenset(
    [
        "input",
        "nodes",
        "prev",
        "ports",
        "params",
        "vars",
        "index",
        "error",
        "secrets",
        "run",
        "flow",
        "account",
        "output",
        "context",
        "now",
        "uuid",
        "base64",
        "hash",
        "hmac",
        "jsonpath",
        "duration",
        "log",
        "emit",
        "console",
        "break",
        "case",
        "catch",
        "class",
        "const",
        "continue",
        "debugger",
        "default",
        "delete",
        "do",
        "else",
        "enum",
        "export",
        "extends",
        "false",
        "finally",
        "for",
        "function",
        "if",
        "import",
        "in",
        "instanceof",
        "let",
        "new",
        "null",
        "return",
        "static",
        "super",
        "switch",
        "this",
        "throw",
        "true",
        "try",
        "typeof",
        "undefined",
        "var",
        "void",
        "while",
        "with",
        "yield",
        "await",
        "arguments",
        "eval",
    ]
)
"""Names that mean something in expressions: what is in scope there, and the words of JavaScript."""

INLINE_TYPE, INLINE_FIELD = "flow.run", "inline"
"""Where a flow is written inside a flow."""


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """A valid flow with what is worth a second look."""

    flow: Flow
    warnings: tuple[Problem, ...]


def load_flow(text: str | bytes, env: Environment) -> LoadedFlow:
    """Load a document. Nothing in it is run.

    Raises `InvalidFlow` with all problems, in the order of the document.
    """
    return _load(read_document(text), env)


def _load(document: Document, env: Environment) -> LoadedFlow:
    model, problems = check_structure(document)
    if model is None:
        raise _invalid([*problems, *_others(document, env)])
    found, scripts = _check(model, document, env, frozenset(), whole=True)
    if found:
        raise _invalid(found)
    flow = compile_flow(model, document)
    return LoadedFlow(flow, tuple(lint(model, flow, document, scripts, env)))


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
    found = sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0))
    if len(found) > MAX_PROBLEMS:
        first = found[MAX_PROBLEMS]
        found[MAX_PROBLEMS:] = [Problem("", "there are more problems from here on", first.line, first.column)]
    return InvalidFlow(found)


def _others(document: Document, env: Environment) -> list[Problem]:
    """The problems of what is sound in a document whose structure is not, so that one mistake hides no other."""
    rest = salvage(document)
    return _check(rest.model, document, env, rest.cut, whole=rest.whole)[0] if rest else []


def _check(
    model: FlowDocument, document: Document, env: Environment, cut: Collection[Path], *, whole: bool
) -> tuple[list[Problem], list[Found]]:
    """Everything but the structure, and the scripts that were found on the way."""
    problems = check_graph(model, document, whole=whole)
    problems += islice(_check_nodes(model, document, env, cut), MAX_PROBLEMS + 1)
    inputs = list(_check_inputs(model, document))
    problems += inputs
    problems += check_triggers(model, document, inputs_sound=not inputs)
    scripts, faults = check_scripts(model, document, env)
    return [*problems, *faults, *_inline_flows(model, document, env)], scripts


def _inline_flows(model: FlowDocument, document: Document, env: Environment) -> Iterator[Problem]:
    """The problems of flows inside this one. How deep they can be is bounded by the reader."""
    for name, node in model.nodes.items():
        if node.type == INLINE_TYPE and isinstance(node.params.get(INLINE_FIELD), dict):
            path: Path = ("nodes", name, "params", INLINE_FIELD)
            try:
                _load(document.inside(path), env)
            except InvalidFlow as error:
                where = path_text(path)
                for problem in error.problems:
                    yield replace(problem, field=f"{where}.{problem.field}" if problem.field else where)


def _check_nodes(model: FlowDocument, document: Document, env: Environment, cut: Collection[Path]) -> Iterator[Problem]:
    for name, node in model.nodes.items():
        if ("nodes", name, "type") not in cut and ("nodes", name, "params") not in cut:
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
    if node.foreach is not None and node.foreach.as_ in RESERVED_NAMES:
        path: Path = ("nodes", name, "foreach", "as")
        yield Problem(
            path_text(path),
            f"{node.foreach.as_!r} has a meaning of its own in expressions",
            *document.place(path),
        )
    if node.at_most_once and node.retry is not None and node.retry.max_attempts > 1:
        path = ("nodes", name, "retry", "max_attempts")
        yield Problem(path_text(path), "a node that runs at most once is not retried", *document.place(path))


def _check_inputs(model: FlowDocument, document: Document) -> Iterator[Problem]:
    if model.inputs is None:
        return
    for inner, message in check_schema(model.inputs):
        path = ("inputs", *inner)
        yield Problem(path_text(path), message, *document.place(path))
