"""The edges of a document: do they lead somewhere, and can every node be reached?"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from flowrunner.core.flow import ERROR
from flowrunner.core.ids import NodeId
from flowrunner.core.problems import Problem
from flowrunner.language.compile import connections_of, needs_of, next_of, start_nodes
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import FlowDocument, NeedsDocument, NodeDocument


def check_graph(model: FlowDocument, document: Document) -> list[Problem]:
    """Every problem of the edges. Reachability is looked at when all edges lead somewhere."""
    problems = [*_unknown(model, document), *_clashes(model, document)]
    if not problems:
        problems = [*_needs_cycles(model, document), *_unreachable(model, document)]
    return problems


def _unknown(model: FlowDocument, document: Document) -> Iterator[Problem]:
    for path, target in _mentions(model):
        if target not in model.nodes:
            near = difflib.get_close_matches(target, model.nodes, n=1, cutoff=0.5)
            message = f"no node is called {target!r}"
            yield Problem(path_text(path), message, *document.place(path), suggestion=near[0] if near else None)
    for number, connection in connections_of(model):
        if connection is None:
            path: Path = ("connections", number)
            message = "must be like `fetch.body -> parse.text` (node.port -> node.port)"
            yield Problem(path_text(path), message, *document.place(path))


def _mentions(model: FlowDocument) -> Iterator[tuple[Path, str]]:
    """Every place that names a node, with the name."""
    if isinstance(model.start, str):
        yield ("start",), model.start
    else:
        yield from ((("start", index), name) for index, name in enumerate(model.start or ()))
    for name, node in model.nodes.items():
        yield from _next_mentions(("nodes", name, "next"), node)
        needs, path = _needs_list(("nodes", name, "needs"), node)
        yield from (((*path, index), need) for index, need in enumerate(needs))
    for number, connection in connections_of(model):
        if connection is not None:
            yield ("connections", number), connection.from_node
            yield ("connections", number), connection.to_node
    for number, webhook in enumerate(model.webhooks):
        yield from ((("webhooks", number, "nodes", index), node) for index, node in enumerate(webhook.nodes))


def _next_mentions(path: Path, node: NodeDocument) -> Iterator[tuple[Path, str]]:
    if isinstance(node.next, dict):
        forms = [((*path, action), targets) for action, targets in node.next.items()]
    else:
        forms = [(path, node.next)] if node.next is not None else []
    for where, targets in forms:
        if isinstance(targets, str):
            yield where, targets
        else:
            yield from (((*where, index), target) for index, target in enumerate(targets))


def _needs_list(path: Path, node: NodeDocument) -> tuple[list[str], Path]:
    if isinstance(node.needs, NeedsDocument):
        return list(node.needs.nodes), (*path, "nodes")
    if isinstance(node.needs, str):
        return [node.needs], path
    return list(node.needs or ()), path


def _clashes(model: FlowDocument, document: Document) -> Iterator[Problem]:
    """A node with `needs` waits; one that `next` leads to runs at once. It cannot do both."""
    joins = {name: needs_of(name, node, model) for name, node in model.nodes.items()}
    for name, node in model.nodes.items():
        for path, target in _next_mentions(("nodes", name, "next"), node):
            if joins.get(target) is not None:
                where = document.place(("nodes", target, "needs"), key=True)[0]
                message = (
                    f"{target!r} has `needs` (line {where}), so it starts when those are done and cannot be a target "
                    f"of `next` as well; remove it here, or add {name!r} to its needs"
                )
                yield Problem(path_text(path), message, *document.place(path))
        join = joins[name]
        if join is not None and name in join.needs:
            path = ("nodes", name, "needs")
            yield Problem(path_text(path), "a node cannot need itself", *document.place(path))
    for start in start_nodes(model) if model.start is not None else ():
        if joins.get(start) is not None:
            yield Problem("start", f"{start!r} has `needs`, so it cannot start the flow", *document.place(("start",)))


def _needs_cycles(model: FlowDocument, document: Document) -> Iterator[Problem]:
    """Nodes that need each other never run. One problem a cycle, naming the way round."""
    needs = {name: tuple(join.needs) if (join := needs_of(name, node, model)) else () for name, node in model.nodes.items()}
    done: set[str] = set()
    for root in needs:
        way: list[str] = []
        stack: list[tuple[str, Iterator[NodeId]]] = [(root, iter(needs[root]))] if root not in done else []
        if stack:
            way.append(root)
        while stack:
            name, rest = stack[-1]
            following = next((need for need in rest if need not in done), None)
            if following is None:
                done.add(name)
                stack.pop()
                way.pop()
            elif following in way:
                cycle = [*way[way.index(following) :], following]
                done.update(cycle)
                path: Path = ("nodes", name, "needs")
                yield Problem(path_text(path), f"needs cycle: {' -> '.join(cycle)}", *document.place(path, key=True))
            else:
                way.append(following)
                stack.append((following, iter(needs[following])))


def _unreachable(model: FlowDocument, document: Document) -> Iterator[Problem]:
    edges = edges_of(model)
    reached: set[str] = set()
    waiting: list[str] = list(start_nodes(model))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += edges[name]
    for name in model.nodes:
        if name not in reached:
            path = ("nodes", name)
            message = "nothing leads to this node; add it to a `next`, to `start`, or give it `needs`"
            yield Problem(path_text(path), message, *document.place(path, key=True))


def edges_of(model: FlowDocument) -> Mapping[str, list[str]]:
    """Node → the nodes that its end may lead to, by either kind of edge."""
    edges: dict[str, list[str]] = {name: [] for name in model.nodes}
    for name, node in model.nodes.items():
        edges[name] += [target for group in next_of(node).values() for target in group]
        join = needs_of(name, node, model)
        for need in join.needs if join else ():
            edges[need].append(name)
    return edges


def has_error_edge(node: NodeDocument) -> bool:
    return ERROR in next_of(node)
