"""Warnings: what is allowed, and most likely a mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from flowrunner.core.flow import DEFAULT, ERROR, SKIPPED
from flowrunner.core.problems import Problem
from flowrunner.language.catalog import Environment
from flowrunner.language.compile import next_of
from flowrunner.language.graph import edges_of, has_error_edge
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import FlowDocument, NodeDocument
from flowrunner.language.scripts import Found


def lint(model: FlowDocument, document: Document, scripts: Sequence[Found], env: Environment) -> list[Problem]:
    """All warnings about a valid document."""
    return [
        *_early_reads(model, scripts, env),
        *_unused_error_edges(model, document),
        *_missing_secrets(scripts, env),
        *_impossible_actions(model, document, env),
    ]


def _early_reads(model: FlowDocument, scripts: Sequence[Found], env: Environment) -> Iterator[Problem]:
    """An expression that reads a node which cannot have run before."""
    ancestors = _ancestors(model)
    for one in scripts:
        for reference in env.references(one.source):
            known = reference.root == "nodes" and reference.key in model.nodes
            if one.node is None or not known or reference.key in ancestors[one.node]:
                continue
            message = f"reads node {reference.key!r}, which cannot have run before {one.node!r}"
            yield Problem(path_text(one.path), message, *one.place, severity="warning")


def _ancestors(model: FlowDocument) -> dict[str, set[str]]:
    edges = edges_of(model)
    before: dict[str, set[str]] = {name: set() for name in model.nodes}
    for name in model.nodes:
        waiting = list(edges[name])
        while waiting:
            target = waiting.pop()
            if name not in before[target]:
                before[target].add(name)
                waiting += edges[target]
    # Reading itself is fine for a post hook, and for a node in a loop.
    return {name: {*found, name} for name, found in before.items()}


def _unused_error_edges(model: FlowDocument, document: Document) -> Iterator[Problem]:
    for name, node in model.nodes.items():
        path: Path = ("nodes", name, "next", ERROR)
        if not has_error_edge(node):
            continue
        reason = (
            "on_error: continue goes on along `default`"
            if (node.on_error or model.defaults.on_error) == "continue"
            else "a fallback makes the step succeed"
            if "fallback" in node.model_fields_set
            else None
        )
        if reason:
            message = f"this edge is never taken: {reason}"
            yield Problem(path_text(path), message, *document.place(path, key=True), severity="warning")


def _missing_secrets(scripts: Sequence[Found], env: Environment) -> Iterator[Problem]:
    if env.secrets is None:
        return
    for one in scripts:
        for reference in env.references(one.source):
            if reference.root == "secrets" and reference.key is not None and reference.key not in env.secrets:
                near = difflib.get_close_matches(reference.key, env.secrets, n=1)
                message = f"there is no secret {reference.key!r}"
                suggestion = near[0] if near else None
                yield Problem(path_text(one.path), message, *one.place, severity="warning", suggestion=suggestion)


def _impossible_actions(model: FlowDocument, document: Document, env: Environment) -> Iterator[Problem]:
    for name, node in model.nodes.items():
        possible = _actions(node, env)
        for action in next_of(node) if possible is not None else ():
            if action not in (possible or ()):
                path: Path = ("nodes", name, "next", action)
                near = difflib.get_close_matches(action, possible or (), n=1)
                message = f"a {node.type} node never gives the action {action!r}; it gives {', '.join(possible or ())}"
                suggestion = near[0] if near else None
                yield Problem(
                    path_text(path), message, *document.place(path, key=True), severity="warning", suggestion=suggestion
                )


def _actions(node: NodeDocument, env: Environment) -> tuple[str, ...] | None:
    """The actions that a node can end with; None when any may come."""
    if node.hooks is not None and node.hooks.post is not None:
        return None
    if node.foreach is not None or (node.hooks is not None and node.hooks.exec is not None):
        given: tuple[str, ...] | None = (DEFAULT,)
    else:
        given = env.node_types.actions_for(node.type, node.params)
    if given is None:
        return None
    extra = [ERROR] + ([SKIPPED] if node.when is not None or node.needs is not None else [])
    continues = [DEFAULT] if node.on_error == "continue" else []
    return tuple(dict.fromkeys([*given, *extra, *continues]))
