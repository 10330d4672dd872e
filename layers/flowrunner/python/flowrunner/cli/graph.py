"""`flowrunner graph`: a flow as a drawing, in text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from flowrunner.cli.engines import engine_for, settings_for
from flowrunner.cli.exits import UsageError, read_flow_file
from flowrunner.core.flow import DEFAULT, ERROR, Flow, JoinMode, Node
from flowrunner.core.ids import NodeId

Edge = tuple[NodeId, NodeId, str, str]
"""From, to, label, kind (`next`, `error` or `needs`)."""


def show_graph(file: Path, wanted: str) -> None:
    """Print the drawing. Raises `InvalidFlow`, or `UsageError` for an unknown format."""
    drawings = {"mermaid": mermaid, "dot": dot}
    if wanted not in drawings:
        raise UsageError(f"--format {wanted}: choose mermaid or dot")
    with engine_for(settings_for(store="memory:")) as engine:
        flow = engine.load(read_flow_file(file)).flow
    sys.stdout.write(drawings[wanted](flow))


def mermaid(flow: Flow) -> str:
    """The flow for Mermaid (https://mermaid.js.org/syntax/flowchart.html)."""
    numbers = {node: f"n{index}" for index, node in enumerate(flow.nodes)}
    lines = ["flowchart TD"]
    for node in flow.nodes.values():
        opening, closing = _shape(node)
        lines.append(f'  {numbers[node.id]}{opening}"{_text(node)}"{closing}')
    for source, target, label, kind in _edges(flow):
        arrow = "-.->" if kind == "error" else "==>" if kind == "needs" else "-->"
        shown = f'|"{label}"|' if label else ""
        lines.append(f"  {numbers[source]} {arrow}{shown} {numbers[target]}")
    return "\n".join(lines) + "\n"


def dot(flow: Flow) -> str:
    """The flow for Graphviz (https://graphviz.org/doc/info/lang.html)."""
    lines = ["digraph flow {", "  rankdir=TB;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for node in flow.nodes.values():
        shape = ", shape=diamond" if node.type in ("condition", "switch") else ", peripheries=2" if node.foreach else ""
        text = _text(node).replace("<br/>", "\\n")
        lines.append(f'  "{node.id}" [label="{text}"{shape}];')
    for source, target, label, kind in _edges(flow):
        style = {"error": "dashed", "needs": "bold", "next": "solid"}[kind]
        color = ", color=red" if kind == "error" else ""
        lines.append(f'  "{source}" -> "{target}" [label="{label}", style={style}{color}];')
    return "\n".join([*lines, "}"]) + "\n"


def _edges(flow: Flow) -> Iterator[Edge]:
    for node in flow.nodes.values():
        for action, targets in node.next.items():
            for target in targets:
                yield node.id, target, "" if action == DEFAULT else action, "error" if action == ERROR else "next"
        if node.join is not None:
            for need in node.join.needs:
                yield need, node.id, "" if node.join.mode is JoinMode.ALL else node.join.mode.value, "needs"


def _shape(node: Node) -> tuple[str, str]:
    if node.type in ("condition", "switch"):
        return "{", "}"
    return ("[[", "]]") if node.foreach else ("(", ")")


def _text(node: Node) -> str:
    # Ids and types hold no character that either language gives a meaning to.
    return f"{node.id}<br/>{node.type}"
