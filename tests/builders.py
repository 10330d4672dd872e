"""Small builders of compiled flows, for tests of everything above the loader.

    flow("a -> b, c; a -error-> d; j needs b, c any", nodes={"b": {"at_most_once": True}}, max_parallel=2)

One clause per line or semicolon: `x -> y, z` are targets of `default`, `x -action-> y` of another action,
`j needs x, y [all|any|settled]` makes a join, and a name alone is a node without edges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from flowrunner.core.flow import DEFAULT, Flow, FlowLimits, Join, JoinMode, Node, OnError, RetryPolicy
from flowrunner.core.ids import Millis, NodeId

_EDGE = re.compile(r"([\w.]+)\s+-(?:(\w+)-)?>\s+(.+)")
_JOIN = re.compile(r"([\w.]+)\s+needs\s+(.+?)(?:\s+(all|any|settled))?")


def retry(attempts: int, delay: Millis = 1_000, **options: Any) -> RetryPolicy:
    """A retry policy without jitter, so that moments can be told beforehand."""
    return RetryPolicy(max_attempts=attempts, delay=delay, **{"jitter": "none", **options})


def flow(
    clauses: str,
    *,
    nodes: Mapping[str, Mapping[str, Any]] | None = None,
    start: tuple[str, ...] | None = None,
    on_error: OnError = OnError.STOP,
    retry_run: RetryPolicy | None = None,
    timeout: Millis | None = None,
    max_parallel: int = 10,
    max_steps: int = 10_000,
) -> Flow:
    """The flow that `clauses` describe; `nodes` sets further fields of nodes by id.

    Without `start` the first nodes are those without an incoming edge or, if there are none, the first one written.
    Raises `ValueError` for a clause that cannot be read.
    """
    built: dict[NodeId, Node] = {}
    for clause in (part.strip() for part in re.split(r"[;\n]", clauses)):
        if clause:
            _read(clause, built)
    for name, fields in (nodes or {}).items():
        built[NodeId(name)] = replace(_node(built, name), **fields)
    return Flow(
        name="test",
        nodes=built,
        start=tuple(NodeId(name) for name in start) if start is not None else first_nodes(built),
        on_error=on_error,
        retry_run=retry_run or RetryPolicy(),
        timeout=timeout,
        limits=FlowLimits(max_parallel=max_parallel, max_steps=max_steps),
    )


def chain(length: int, **options: Any) -> Flow:
    """A linear flow of `length` nodes `n0 -> n1 -> ...`."""
    names = [f"n{index}" for index in range(length)]
    edges = [f"{here} -> {there}" for here, there in pairwise(names)]
    return flow("; ".join(edges or names), **options)


def describe(subject: Flow) -> str:
    """The clauses of a flow with what differs from the defaults, for the messages of failing tests."""
    lines = []
    for node in subject.nodes.values():
        plain = Node(id=node.id, type=node.type, join=node.join, next=node.next)
        extra = [
            f"{name}={getattr(node, name)}"
            for name in ("foreach", "retry", "at_most_once", "on_error")
            if getattr(node, name) != getattr(plain, name)
        ]
        lines.append(f"{node.id} {' '.join(extra)}".rstrip())
        if node.join:
            lines.append(f"  {node.id} needs {', '.join(node.join.needs)} {node.join.mode.value}")
        lines += [f"  {node.id} -{action}-> {', '.join(targets)}" for action, targets in node.next.items()]
    lines.append(f"start={subject.start} on_error={subject.on_error.value} {subject.limits} timeout={subject.timeout}")
    if subject.on_error is OnError.RETRY_RUN:
        lines.append(str(subject.retry_run))
    return "\n".join(lines)


def first_nodes(nodes: Mapping[NodeId, Node]) -> tuple[NodeId, ...]:
    """Where a flow without `start` begins (flow language, "Nodes")."""
    reached = {target for node in nodes.values() for targets in node.next.values() for target in targets}
    free = tuple(node.id for node in nodes.values() if node.join is None and node.id not in reached)
    return free or tuple(nodes)[:1]


def _read(clause: str, built: dict[NodeId, Node]) -> None:
    if match := _JOIN.fullmatch(clause):
        join = Join(_names(match[2], built), JoinMode(match[3] or "all"))
        built[NodeId(match[1])] = replace(_node(built, match[1]), join=join)
    elif match := _EDGE.fullmatch(clause):
        source = _node(built, match[1])
        action = match[2] or DEFAULT
        targets = (*source.next.get(action, ()), *_names(match[3], built))
        built[source.id] = replace(source, next={**source.next, action: targets})
    elif re.fullmatch(r"[\w.]+", clause):
        _node(built, clause)
    else:
        raise ValueError(f"cannot read the clause {clause!r}")


def _names(text: str, built: dict[NodeId, Node]) -> tuple[NodeId, ...]:
    return tuple(_node(built, name.strip()).id for name in text.split(","))


def _node(built: dict[NodeId, Node], name: str) -> Node:
    return built.setdefault(NodeId(name), Node(id=NodeId(name), type="noop"))
