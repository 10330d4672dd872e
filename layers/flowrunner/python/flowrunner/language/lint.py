"""Warnings: what is allowed, and most likely a mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from flowrunner.core.flow import DEFAULT, ERROR, SKIPPED, Flow
from flowrunner.core.graph import build_graph
from flowrunner.core.ids import NodeId
from flowrunner.core.problems import Problem
from flowrunner.language.catalog import Environment
from flowrunner.language.compile import next_of
from flowrunner.language.graph import has_error_edge
from flowrunner.language.reader import Document, Path, Place, path_text
from flowrunner.language.schema import FlowDocument, NodeDocument, WebhookTrigger
from flowrunner.language.scripts import Found
from flowrunner.language.suggest import MAX_PROBLEMS, nearest


def lint(
    model: FlowDocument, flow: Flow, document: Document, scripts: Sequence[Found], env: Environment
) -> list[Problem]:
    """The warnings about a valid document, in its order: as many as are shown."""
    kinds = (
        _early_reads(flow, document, scripts, env),
        _unused_error_edges(model, document),
        _missing_secrets(model, document, scripts, env),
        _impossible_actions(model, document, env),
    )
    found = [warning for kind in kinds for warning in islice(kind, MAX_PROBLEMS)]
    return sorted(dict.fromkeys(found), key=lambda one: (one.line or 0, one.column or 0))[:MAX_PROBLEMS]


def _early_reads(flow: Flow, document: Document, scripts: Sequence[Found], env: Environment) -> Iterator[Problem]:
    """An expression that reads a node which cannot have run before."""
    graph = build_graph(flow)
    for one in scripts:
        if one.node is None:
            continue
        reader = graph.index[NodeId(one.node)]
        for reference in env.references(one.source):
            read = graph.index.get(reference.key) if reference.root == "nodes" else None
            # A node reaches itself: reading itself is fine for a post hook, and for a node in a loop.
            if read is not None and not graph.reach[read] >> reader & 1:
                message = f"reads node {reference.key!r}, which cannot have run before {one.node!r}"
                yield Problem(path_text(one.path), message, *one.place(document), severity="warning")


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


def _missing_secrets(
    model: FlowDocument, document: Document, scripts: Sequence[Found], env: Environment
) -> Iterator[Problem]:
    if env.secrets is None:
        return
    for path, place, name in _secrets(model, document, scripts, env):
        if name not in env.secrets:
            near = nearest(name, env.secrets)
            message = f"there is no secret {name!r}"
            yield Problem(path_text(path), message, *place, severity="warning", suggestion=near)


def _secrets(
    model: FlowDocument, document: Document, scripts: Sequence[Found], env: Environment
) -> Iterator[tuple[Path, Place, str]]:
    """Every secret that is named somewhere."""
    for one in scripts:
        for reference in env.references(one.source):
            if reference.root == "secrets" and reference.key is not None:
                yield one.path, one.place(document), reference.key
    named: list[tuple[Path, str | None]] = [
        (("triggers", number, "verify", "secret"), trigger.verify.secret)
        for number, trigger in enumerate(model.triggers)
        if isinstance(trigger, WebhookTrigger) and trigger.verify is not None
    ]
    named += [(("webhooks", number, "secret"), webhook.secret) for number, webhook in enumerate(model.webhooks)]
    yield from ((path, document.place(path), name) for path, name in named if name is not None)


def _impossible_actions(model: FlowDocument, document: Document, env: Environment) -> Iterator[Problem]:
    for name, node in model.nodes.items():
        possible = _actions(node, model, env)
        for action in next_of(node) if possible is not None else ():
            if action not in (possible or ()):
                path: Path = ("nodes", name, "next", action)
                given = ", ".join(list(possible or ())[:12])
                message = f"a {node.type} node never gives the action {action!r}; it gives {given}"
                near = nearest(action, possible or ())
                place = document.place(path, key=True)
                yield Problem(path_text(path), message, *place, severity="warning", suggestion=near)


def _actions(node: NodeDocument, model: FlowDocument, env: Environment) -> Collection[str] | None:
    """The actions that a node can end with; None when any may come."""
    if node.hooks is not None and node.hooks.post is not None:
        return None
    if node.foreach is not None or (node.hooks is not None and node.hooks.exec is not None):
        given: tuple[str, ...] | None = (DEFAULT,)
    else:
        given = env.node_types.actions_for(node.type, node.params)
    if given is None:
        return None
    skips = [SKIPPED] if node.when is not None or node.needs is not None else []
    continues = [DEFAULT] if (node.on_error or model.defaults.on_error) == "continue" else []
    return dict.fromkeys([*given, ERROR, *skips, *continues])
