"""How the nodes of a `flowengine` workflow hang together, as our edges and expressions.

There a node runs when all nodes that are connected to it have ended, and gets what they gave by port. Of a branch one
port gives and the other does not, and what only hangs on the other does not run. So here:

- a node with one source is behind it by `next` (`true` or `false` behind a branch), one with several is a join;
- a join behind a branch runs if at least one of its connections gives a value (`when` says so where `needs` does not);
- what a port got is an expression at the place where it is read; a port that nothing came to is null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from flowrunner.core.flow import Json
from flowrunner.language.importers.base import Problems
from flowrunner.language.importers.flowengine_reading import ANY, KINDS, Connection, Node, Workflow

Shape = Literal["text", "json", "unknown"]
BRANCH, DELAY, LOG = "flow.branch", "time.delay", "debug.log"
CAN_FAIL = frozenset({"http.request", "transform.json_parse", "transform.json_stringify"})
ACTIONS = {"true_out": "true", "false_out": "false"}
"""The action that goes on from a port of a branch. A port that it does not have has been refused before."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELDS = {"status": ".status", "body": ".body", "headers": ".headers", "message": ".message"}


@dataclass(frozen=True, slots=True)
class Term:
    """What a port gets, as JavaScript.

    `given` is the condition on which it gets anything, None for always. `leaks`: the text has a value even without
    that.
    """

    text: str
    shape: Shape
    given: str | None = None
    leaks: bool = False

    @property
    def whole(self) -> str:
        """The value; null or undefined when nothing is given."""
        return f"({self.given} ? {self.text} : null)" if self.leaks else self.text


@dataclass
class Wiring:
    """The graph of a workflow whose nodes and connections are sound."""

    flow: Workflow
    into: dict[str, list[Connection]] = field(default_factory=dict)
    outof: dict[str, list[Connection]] = field(default_factory=dict)
    _feeds: dict[tuple[str, str], list[Connection]] = field(default_factory=dict)
    _sources: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """Node → its sources, each with the ports that it gives by."""
    _shapes: dict[tuple[str, str], Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.flow.connections:
            self.into.setdefault(one.target, []).append(one)
            self.outof.setdefault(one.source, []).append(one)
            self._feeds.setdefault((one.target, one.port), []).append(one)
            self._sources.setdefault(one.target, {}).setdefault(one.source, set()).add(one.out)

    # -- edges ---------------------------------------------------------------------------------------------------------
    def sources(self, id: str) -> list[str]:
        return list(self._sources.get(id, ()))

    def is_join(self, id: str) -> bool:
        return len(self._sources.get(id, ())) > 1

    def next(self, id: str) -> Json:
        """The node's `next`; None for none."""
        by_action: dict[str, dict[str, None]] = {}
        for connection in self.outof.get(id, ()):
            if not self.is_join(connection.target):
                target = self.flow.nodes[connection.target].name
                by_action.setdefault(self._action(connection), {})[target] = None
        lists = {action: list(targets) for action, targets in by_action.items()}
        edges: dict[str, Json] = {action: one[0] if len(one) == 1 else one for action, one in lists.items()}
        return edges.get("default", edges or None)

    def _action(self, connection: Connection) -> str:
        return (
            ACTIONS.get(connection.out, "default") if self.flow.nodes[connection.source].type == BRANCH else "default"
        )

    def needs(self, id: str) -> Json:
        """The node's `needs`; None when it is no join."""
        if not self.is_join(id):
            return None
        names: Json = [self.flow.nodes[source].name for source in self.sources(id)]
        return {"nodes": names, "mode": "settled"} if self.flow.on_error == "continue" else names

    def when(self, id: str) -> str | None:
        """What decides whether a join runs, where `needs` alone would not say it."""
        if not self.is_join(id) or id not in self.conditional:
            return None
        branches = [source for source in self.sources(id) if self.flow.nodes[source].type == BRANCH]
        if not branches and self.flow.on_error != "continue":
            return None
        return f"${{{' || '.join(dict.fromkeys(self._reached(one) for one in self.into[id]))}}}"

    def _reached(self, connection: Connection) -> str:
        source = self.flow.nodes[connection.source]
        if source.type == BRANCH:
            return f'nodes.{source.name}.action == "{ACTIONS.get(connection.out, "default")}"'
        if self.flow.on_error == "continue" and source.type in CAN_FAIL:
            return f'["succeeded", "failed"].includes(nodes.{source.name}.status)'
        return f'nodes.{source.name}.status == "succeeded"'

    @cached_property
    def order(self) -> list[str]:
        """The nodes, each behind its sources; shorter than all of them when there is a cycle."""
        waiting = {id: len(self.into.get(id, ())) for id in self.flow.nodes}
        order = [id for id, count in waiting.items() if not count]
        for id in order:
            for connection in self.outof.get(id, ()):
                waiting[connection.target] -= 1
                if not waiting[connection.target]:
                    order.append(connection.target)
        return order

    @cached_property
    def conditional(self) -> frozenset[str]:
        """The nodes that do not run if a branch goes the other way."""
        found: set[str] = set()
        for id in self.order:
            feeds = self.into.get(id, [])
            ports = {(connection.source, connection.out) for connection in feeds}
            certain = (
                connection.source not in found
                and (
                    self.flow.nodes[connection.source].type != BRANCH
                    or {(connection.source, out) for out in ACTIONS} <= ports
                )
                for connection in feeds
            )
            if feeds and not any(certain):
                found.add(id)
        return frozenset(found)

    # -- values --------------------------------------------------------------------------------------------------------
    def is_root(self, id: str) -> bool:
        return id not in self.into

    def ports(self, node: Node) -> list[str]:
        """The ports that something is connected to, as far as the node reads them."""
        reads = KINDS[node.type].reads
        connected = dict.fromkeys(connection.port for connection in self.into.get(node.id, ()))
        return [port for port in connected if ANY in reads or port in reads]

    def unread(self, node: Node) -> Iterator[Connection]:
        """Connections to ports that the node does not read: they only say what comes first."""
        reads = KINDS[node.type].reads
        yield from (one for one in self.into.get(node.id, ()) if ANY not in reads and one.port not in reads)

    def term(self, node: Node, port: str) -> Term | None:
        """What the port gets from connections or, at the start, from the run's input; None for nothing."""
        if self.is_root(node.id):
            return Term(f"input?{step(port)}", "unknown", f"input?{step(port)} !== undefined")
        result: Term | None = None
        for connection in self._feeds.get((node.id, port), ()):
            one = self.gives(connection)
            result = one if result is None or one.given is None else _either(one, result)
        return result

    def gives(self, connection: Connection) -> Term:
        """What a connection hands over."""
        source = self.flow.nodes[connection.source]
        join = self.is_join(connection.target)
        conditions = []
        if (join and source.id in self.conditional) or (self.flow.on_error == "continue" and source.type in CAN_FAIL):
            conditions.append(f'nodes.{source.name}.status == "succeeded"')
        leaks = source.type == BRANCH and (join or len(self._sources[connection.target][source.id]) > 1)
        if leaks:
            conditions = [f'nodes.{source.name}.action == "{ACTIONS.get(connection.out, "default")}"']
        unsure = conditions or (source.type == DELAY and self.is_root(source.id))
        output, dot = f"nodes.{source.name}.output", "?" if unsure else ""
        inner = {BRANCH: ".payload", DELAY: step(connection.out)}.get(source.type, _FIELDS.get(connection.out, ""))
        text = f"{output}{dot if inner else ''}{inner}"
        return Term(text, self.shape(source, connection.out), conditions[0] if conditions else None, leaks)

    def shape(self, node: Node, port: str) -> Shape:
        """What kind of value a port gives. Nodes that hand on are followed to their one source."""
        way: list[tuple[str, str]] = []
        found: Shape | None = None
        while found is None:
            way.append((node.id, port))
            feeds = self._feeds.get((node.id, "payload" if node.type == BRANCH else port), [])
            if way[-1] in self._shapes:
                found = self._shapes[way[-1]]
            elif node.type not in (BRANCH, DELAY):
                found = "text" if (node.type, port) in _TEXTS else "json"
            elif len(feeds) != 1:
                found = "unknown"
            else:
                node, port = self.flow.nodes[feeds[0].source], feeds[0].out
        self._shapes |= dict.fromkeys(way, found)
        return found

    def find_cycle(self, problems: Problems) -> None:
        """Refuse a cycle, by the names of its nodes, at the connection that closes it."""
        rest = set(self.flow.nodes) - set(self.order)
        if not rest:
            return
        seen: dict[str, int] = {}
        way: list[Connection] = []
        id = next(node for node in self.flow.nodes if node in rest)
        while id not in seen:
            seen[id] = len(way)
            way.append(next(one for one in self.into[id] if one.source in rest))
            id = way[-1].source
        around = [one.target for one in reversed(way[seen[id] :])]
        labels = [self.flow.nodes[one].label or one for one in [*around, around[0]]]
        shown = " → ".join(label[:40] for label in (labels if len(labels) < 10 else [*labels[:8], "…", labels[-1]]))
        problems.add(way[-1].at.path, f"the connections go round in a circle: {shown}")


_TEXTS = {("http.request", "body"), ("transform.json_stringify", "json"), ("debug.log", "message")}


def _either(one: Term, otherwise: Term) -> Term:
    """The later connection wins where it gives a value."""
    given = None if otherwise.given is None else f"({one.given} || {otherwise.given})"
    shape = one.shape if one.shape == otherwise.shape else "unknown"
    return Term(f"({one.given} ? {one.text} : {otherwise.whole})", shape, given)


def step(name: str) -> str:
    """A property as JavaScript writes it."""
    return f".{name}" if _NAME.fullmatch(name) else f"[{json.dumps(name)}]"
