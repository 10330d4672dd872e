"""The edges of a document: do they lead somewhere, and can every node be reached?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from flowrunner.core.flow import ERROR
from flowrunner.core.ids import NodeId
from flowrunner.core.problems import Problem
from flowrunner.language.compile import connections_of, joins_of, next_of, start_nodes
from flowrunner.language.reader import Document, Path, path_text
from flowrunner.language.schema import FlowDocument, NeedsDocument, NodeDocument
from flowrunner.language.structure import CONNECTION_FORM
from flowrunner.language.suggest import MAX_PROBLEMS, nearest


def check_graph(model: FlowDocument, document: Document, *, whole: bool = True) -> list[Problem]:
    """Every problem of the edges. What can be reached is looked at when all edges are there and lead somewhere."""
    problems = _some(_unknown(model, document), _clashes(model, document), _repeats(model, document))
    if whole and not problems:
        problems = _some(_needs_cycles(model, document)) or _some(_no_start(model, document))
        problems = problems or _some(_unreachable(model, document))
    return problems


def _some(*found: Iterator[Problem]) -> list[Problem]:
    """As many problems as are shown: a hostile document has thousands, each with a suggestion to look for."""
    return [problem for each in found for problem in islice(each, MAX_PROBLEMS + 1)]


def _unknown(model: FlowDocument, document: Document) -> Iterator[Problem]:
    known = document.value["nodes"]  # not the model's: a node that is left out for a mistake of its own is still there
    for path, target in _mentions(model):
        if target not in known:
            message = f"no node is called {target!r}"
            near = nearest(target, known)
            yield Problem(path_text(path), message, *document.place(path), suggestion=near)
    for number, connection in connections_of(model):
        if connection is None:
            where: Path = ("connections", number)
            yield Problem(path_text(where), CONNECTION_FORM, *document.place(where))


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
    joins = joins_of(model)
    wired = {wire.to_node: ("connections", number) for number, wire in reversed(connections_of(model)) if wire}
    for name, node in model.nodes.items():
        for path, target in _next_mentions(("nodes", name, "next"), node):
            if target in joins:
                own = model.nodes[target].needs is not None
                line = document.place(("nodes", target, "needs") if own else wired[target], key=own)[0]
                message = (
                    f"{target!r} has {'`needs`' if own else 'a connection'} (line {line}), so it starts when "
                    f"{'those are' if own else 'what it needs is'} done and cannot be a target of `next` as well; "
                    f"remove it here, or add {name!r} to its needs"
                )
                yield Problem(path_text(path), message, *document.place(path))
        if name in joins and name in joins[name].needs:
            path = ("nodes", name, "needs")
            yield Problem(path_text(path), "a node cannot need itself", *document.place(path))
    for start in start_nodes(model) if model.start is not None else ():
        if start in joins:
            message = f"{start!r} has `needs`, so it cannot start the flow"
            yield Problem("start", message, *document.place(("start",)))


def _repeats(model: FlowDocument, document: Document) -> Iterator[Problem]:
    """A node that is started twice by one edge, and a port that is given two values."""
    lists: list[tuple[Path, Sequence[str]]] = [(("start",), model.start or ())]
    for name, node in model.nodes.items():
        by_action = node.next if isinstance(node.next, dict) else {}
        lists += [(("nodes", name, "next", action), targets) for action, targets in by_action.items()]
        lists += [(("nodes", name, "next"), node.next)] if isinstance(node.next, list) else []
    for path, names in lists:
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if name in names[:index]:
                yield Problem(path_text((*path, index)), f"{name!r} is here twice", *document.place((*path, index)))
    taken = {(name, port) for name, node in model.nodes.items() for port in node.inputs}
    for number, wire in connections_of(model):
        if wire is not None and (wire.to_node, wire.to_port) in taken:
            where: Path = ("connections", number)
            message = f"the port {wire.to_port!r} of {wire.to_node!r} has a value already"
            yield Problem(path_text(where), message, *document.place(where))
        elif wire is not None:
            taken.add((wire.to_node, wire.to_port))


def _no_start(model: FlowDocument, document: Document) -> Iterator[Problem]:
    first = start_nodes(model)[0]
    if model.start is None and first in joins_of(model):
        message = (
            f"every node has an edge that leads to it, and the first, {first!r}, has `needs`; "
            "name the first node in `start`"
        )
        yield Problem("start", message, *document.place(()))


def _needs_cycles(model: FlowDocument, document: Document) -> Iterator[Problem]:
    """Nodes that need each other never run. One problem a cycle, naming the way round."""
    joins = joins_of(model)
    needs = {name: joins[name].needs if name in joins else () for name in model.nodes}
    done: set[str] = set()
    on_way: set[str] = set()
    for root, first in needs.items():
        way: list[str] = []
        stack: list[tuple[str, Iterator[NodeId]]] = [(root, iter(first))] if root not in done else []
        if stack:
            way.append(root)
            on_way.add(root)
        while stack:
            name, rest = stack[-1]
            following = next((need for need in rest if need not in done), None)
            if following is None:
                done.add(name)
                stack.pop()
                on_way.discard(way.pop())
            elif following in on_way:
                cycle = [*way[way.index(following) :], following]
                done.update(cycle)
                path: Path = ("nodes", name, "needs")
                yield Problem(path_text(path), f"needs cycle: {' -> '.join(cycle)}", *document.place(path, key=True))
            else:
                way.append(following)
                on_way.add(following)
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
    for name, join in joins_of(model).items():
        for need in join.needs:
            edges[need].append(name)
    return edges


def has_error_edge(node: NodeDocument) -> bool:
    return ERROR in next_of(node)
