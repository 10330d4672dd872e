"""A flow made ready to run: its graph, its node types, and its expressions compiled once per revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Flow, Foreach, Json, Node
from flowrunner.core.graph import Graph, build_graph
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.state import Entry, Phase, parent_of_item
from flowrunner.nodes.base import NodeType
from flowrunner.nodes.registry import Registry
from flowrunner.sandbox.templates import Template, compile_template

EXEC = "exec"

FAST_STEP: Millis = 50_000
"""A step that may take longer than this is slow."""

BRIEF_STEP: Millis = 10_000
"""What only evaluates, or only begins to wait, has ended by then: a script has 2.5 seconds."""
USUAL_STEP: Millis = 30_000
"""What a step without any time limit is expected to take at most."""
LONG_STEP: Millis = 600_000
"""The same of a type that is always slow."""


@dataclass(frozen=True, slots=True)
class NodeProgram:
    """One node with all that its execution needs."""

    node: Node
    type: NodeType[Any]
    params: Template
    deferred: Mapping[str, Json]
    """Parameters that reach the node as written."""
    ports: Template | None
    when: Template | None
    items: Template | None
    fallback: Template | None
    cache_key: Template | None
    inline: bool
    """Whether the worker runs it in its own thread: it never blocks and needs no JavaScript."""
    claimed: bool
    """Whether it has effects outside the run, so that an execution needs a claim."""
    slow: bool
    """Whether its work may take minutes; see `NodeType.slow`."""
    takes: Millis
    """How long its work may take, as far as anybody can tell; mostly it takes far less."""

    @property
    def foreach(self) -> Foreach | None:
        return self.node.foreach

    def does_work(self, step: StepId) -> bool:
        """Whether this step is the node's work; a foreach itself only lists items and collects what they gave."""
        return self.node.foreach is None or parent_of_item(step) is not None


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled flow revision."""

    flow: Flow
    graph: Graph
    nodes: Mapping[NodeId, NodeProgram]
    outputs: Template | None
    concurrency_key: Template | None
    end_nodes: tuple[NodeId, ...]
    """The nodes that lead nowhere: their outputs are the run's when the flow names none."""

    def slow(self, step: StepId, entry: Entry | None) -> bool:
        """Whether what the message of this step asks for may take minutes; what ends a wait is quick."""
        if entry is None or entry.phase is Phase.WAITING:
            return False
        node = self.nodes.get(entry.node)
        return node is not None and node.slow and node.does_work(step)

    def takes(self, step: StepId, entry: Entry | None) -> Millis:
        """How long what the message of this step asks for may take."""
        node = self.nodes.get(entry.node) if entry is not None and entry.phase is not Phase.WAITING else None
        return node.takes if node is not None and node.does_work(step) else BRIEF_STEP


def compile_program(flow: Flow, registry: Registry) -> Program:
    """Compile a flow that the loader found valid.

    Raises `NotFound` for a node type that this process does not have (a plugin that is gone).
    """
    graph = build_graph(flow)
    concurrency = flow.concurrency
    return Program(
        flow=flow,
        graph=graph,
        nodes={node.id: _compile_node(node, registry) for node in flow.nodes.values()},
        outputs=compile_template(dict(flow.outputs)) if flow.outputs is not None else None,
        concurrency_key=compile_template(concurrency.key) if concurrency else None,
        end_nodes=tuple(node.id for node in flow.nodes.values() if not node.next and node.id not in graph.needed_by),
    )


def _compile_node(node: Node, registry: Registry) -> NodeProgram:
    node_type = registry.get(node.type)
    params = node_type.complete(dict(node.params))
    deferred_names = registry.deferred(node.type)
    evaluated = compile_template({name: value for name, value in params.items() if name not in deferred_names})
    ports = compile_template(dict(node.inputs)) if node.inputs else None
    when = _optional(node.when)
    items = _optional(node.foreach.items) if node.foreach else None
    cache_key = _optional(node.cache.key) if node.cache else None
    deferred = {name: value for name, value in params.items() if name in deferred_names}
    templates = [evaluated, *(one for one in (ports, when, items, cache_key) if one is not None)]
    native = all(template.native for template in templates) and not deferred
    replaced = EXEC in node.hooks
    takes = _takes(node, node_type, brief=replaced or node_type.quick or node_type.slow is False)
    return NodeProgram(
        node=node,
        type=node_type,
        params=evaluated,
        deferred=deferred,
        ports=ports,
        when=when,
        items=items,
        fallback=_optional(node.fallback) if node.has_fallback else None,
        cache_key=cache_key,
        inline=node_type.quick and native and not node.hooks and node.cache is None,
        claimed=not node_type.pure and not replaced,
        slow=takes > FAST_STEP or (node_type.slow is True and not replaced),
        takes=takes,
    )


def _takes(node: Node, node_type: NodeType[Any], *, brief: bool) -> Millis:
    if brief:
        return min(node.timeout or BRIEF_STEP, BRIEF_STEP)
    limits = [limit for limit in (node.timeout, _own_timeout(node, node_type)) if limit is not None]
    return min(limits, default=LONG_STEP if node_type.slow else USUAL_STEP)


def _own_timeout(node: Node, node_type: NodeType[Any]) -> Millis | None:
    """The parameter `timeout` as far as one can tell without evaluating it."""
    field = node_type.params.model_fields.get("timeout")
    if field is None:
        return None
    try:
        return parse_duration(node.params["timeout"]) if "timeout" in node.params else int(field.default)
    except (TypeError, ValueError):
        return None


def _optional(value: Json) -> Template | None:
    return None if value is None else compile_template(value)
