"""The checked document as a compiled flow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowrunner.core.flow import (
    DEFAULT,
    Cache,
    Flow,
    FlowLimits,
    Foreach,
    Hook,
    Join,
    JoinMode,
    Node,
    OnError,
    RetryPolicy,
    RunConcurrency,
)
from flowrunner.core.ids import NodeId
from flowrunner.language.reader import Document
from flowrunner.language.schema import (
    EVENT_ALIASES,
    ID,
    KEY,
    PORT,
    ConnectionDocument,
    FlowDocument,
    ForeachDocument,
    NeedsDocument,
    NodeDocument,
    RetryDocument,
    RetryRun,
    RetryRunDocument,
    WebhookDocument,
)

CONNECTION = re.compile(
    rf"\s*(?P<source>{ID[1:-1]})(?:\.(?P<port>{PORT[1:-1]}))?\s*->\s*(?P<target>{ID[1:-1]})\.(?P<input>{KEY[1:-1]})\s*"
)


def connections_of(model: FlowDocument) -> list[tuple[int, ConnectionDocument | None]]:
    """Each connection by its number; None for a text that is none."""
    result: list[tuple[int, ConnectionDocument | None]] = []
    for number, connection in enumerate(model.connections):
        if isinstance(connection, ConnectionDocument):
            result.append((number, connection))
            continue
        match = CONNECTION.fullmatch(connection)
        parsed = match and ConnectionDocument(
            from_node=match["source"],
            from_port=match["port"],
            to_node=match["target"],
            to_port=match["input"],
        )
        result.append((number, parsed))
    return result


def compile_flow(model: FlowDocument, document: Document) -> Flow:
    """The flow of a document whose structure and graph are sound."""
    wires = wires_of(model)
    joins = joins_of(model)
    nodes = {
        NodeId(name): _node(name, node, model, document, wires.get(name, []), joins.get(name))
        for name, node in model.nodes.items()
    }
    retry = model.on_error.retry_run if isinstance(model.on_error, RetryRun) else None
    concurrency = model.concurrency
    return Flow(
        name=model.metadata.name,
        nodes=nodes,
        start=start_nodes(model),
        description=model.metadata.description,
        version=model.metadata.version,
        labels=model.metadata.labels,
        inputs=model.inputs,
        outputs=model.outputs,
        on_error=OnError.RETRY_RUN if retry else OnError(str(model.on_error)),
        retry_run=_retry(retry) if retry else RetryPolicy(),
        timeout=model.timeout,
        limits=FlowLimits(model.limits.max_parallel, model.limits.max_steps),
        concurrency=RunConcurrency(concurrency.max_runs, concurrency.key, concurrency.on_limit)
        if concurrency
        else None,
        priority=model.priority,
        egress=tuple(model.egress.allow) if model.egress else None,
        mode=model.mode,
        triggers=tuple(trigger.model_dump(mode="json") for trigger in model.triggers),
        webhooks=tuple(_webhook(webhook) for webhook in model.webhooks),
    )


def _webhook(webhook: WebhookDocument) -> Mapping[str, Any]:
    """A callback with its events by the names that they are sent under."""
    events = list(dict.fromkeys(EVENT_ALIASES.get(event, event) for event in webhook.events))
    return {**webhook.model_dump(mode="json"), "events": events}


def next_of(node: NodeDocument) -> dict[str, tuple[NodeId, ...]]:
    """`next` in its full form: action → targets."""
    if node.next is None:
        return {}
    by_action = node.next if isinstance(node.next, dict) else {DEFAULT: node.next}
    return {
        action: tuple(NodeId(target) for target in ([targets] if isinstance(targets, str) else targets))
        for action, targets in by_action.items()
    }


def wires_of(model: FlowDocument) -> dict[str, list[ConnectionDocument]]:
    """Node → the connections that lead to it. One pass: a document may have thousands of both."""
    wires: dict[str, list[ConnectionDocument]] = {}
    for _, connection in connections_of(model):
        if connection is not None:
            wires.setdefault(connection.to_node, []).append(connection)
    return wires


def joins_of(model: FlowDocument) -> dict[str, Join]:
    """The nodes that are joins: what each needs by itself and by connections."""
    wires = wires_of(model)
    joins = {name: _join(node, wires.get(name, [])) for name, node in model.nodes.items()}
    return {name: join for name, join in joins.items() if join is not None}


def _join(node: NodeDocument, wires: list[ConnectionDocument]) -> Join | None:
    needs, mode = [], JoinMode.ALL
    if isinstance(node.needs, NeedsDocument):
        needs, mode = list(node.needs.nodes), JoinMode(node.needs.mode)
    elif node.needs is not None:
        needs = [node.needs] if isinstance(node.needs, str) else list(node.needs)
    needs += [wire.from_node for wire in wires]
    unique = tuple(dict.fromkeys(NodeId(need) for need in needs))
    return Join(unique, mode) if unique else None


def start_nodes(model: FlowDocument) -> tuple[NodeId, ...]:
    """The nodes that start: those named, else all without an incoming edge, else the first one written."""
    if model.start is not None:
        return tuple(NodeId(name) for name in ([model.start] if isinstance(model.start, str) else model.start))
    targets = {target for node in model.nodes.values() for group in next_of(node).values() for target in group}
    joins = joins_of(model)
    free = [NodeId(name) for name in model.nodes if name not in targets and name not in joins]
    return tuple(free) if free else (NodeId(next(iter(model.nodes))),)


def _node(
    name: str,
    node: NodeDocument,
    model: FlowDocument,
    document: Document,
    wires: list[ConnectionDocument],
    join: Join | None,
) -> Node:
    defaults = model.defaults
    retry = node.retry or defaults.retry
    if node.retry and defaults.retry:
        merged = {
            **defaults.retry.model_dump(exclude_unset=True),
            **node.retry.model_dump(exclude_unset=True),
        }
        retry = RetryDocument.model_construct(**{**RetryDocument().model_dump(), **merged})
    egress = node.egress or defaults.egress
    return Node(
        id=NodeId(name),
        type=node.type,
        params=node.params,
        next=next_of(node),
        join=join,
        inputs={**node.inputs, **{wire.to_port: wire_expression(wire) for wire in wires}},
        when=node.when,
        foreach=_foreach(node.foreach) if node.foreach else None,
        retry=_retry(retry) if retry else RetryPolicy(),
        at_most_once=_first(node.at_most_once, defaults.at_most_once, False),
        timeout=_first(node.timeout, defaults.timeout, None),
        on_error=OnError(_first(node.on_error, defaults.on_error, "fail")),
        has_fallback="fallback" in node.model_fields_set,
        fallback=node.fallback,
        hooks=_hooks(name, node, document),
        cache=Cache(node.cache.key, node.cache.ttl) if node.cache else None,
        egress=tuple(egress.allow) if egress else None,
        name=node.name,
        description=node.description,
        ui={"x": node.ui.x, "y": node.ui.y} if node.ui else None,
        line=document.place(("nodes", name), key=True)[0],
    )


def wire_expression(wire: ConnectionDocument) -> str:
    """The expression that a connection stands for. Names with a dash are no JavaScript names, so they are quoted."""
    steps = re.findall(r"[A-Za-z_][A-Za-z0-9_-]*|\[\d+\]", wire.from_port or "")
    return f"${{nodes{_step(wire.from_node)}.output{''.join(map(_step, steps))}}}"


def _step(name: str) -> str:
    if name.startswith("["):
        return name
    return f'["{name}"]' if "-" in name else f".{name}"


def hook_place(name: str, hook: str, document: Document) -> tuple[int, int]:
    """Line and column of a hook's first line. A block scalar begins on the line after its `|`."""
    path = ("nodes", name, "hooks", hook)
    line, column = document.place(path)
    return (line + 1, 1) if document.styles.get((*document.prefix, *path)) in {"|", ">"} else (line, column)


def _hooks(name: str, node: NodeDocument, document: Document) -> Mapping[str, Hook]:
    sources = node.hooks.model_dump(exclude_none=True) if node.hooks else {}
    return {hook: Hook(source, *hook_place(name, hook, document)) for hook, source in sources.items()}


def _retry(retry: RetryDocument | RetryRunDocument) -> RetryPolicy:
    codes = tuple(retry.on) if isinstance(retry, RetryDocument) else ()
    return RetryPolicy(retry.max_attempts, retry.delay, retry.backoff, retry.max_delay, retry.jitter, codes)


def _foreach(foreach: ForeachDocument) -> Foreach:
    tolerance = foreach.tolerate_failures
    if isinstance(tolerance, str):
        return Foreach(foreach.items, foreach.as_, foreach.max_concurrency, float(tolerance[:-1]), True)
    return Foreach(foreach.items, foreach.as_, foreach.max_concurrency, tolerance)


def _first(*values: Any) -> Any:
    """The first value that is given."""
    return next((value for value in values if value is not None), values[-1])
