"""The `flowengine` format, read: every field by name and kind, nothing left out unsaid."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Literal

from flowrunner.core.durations import MAX_DURATION
from flowrunner.core.flow import Json
from flowrunner.language.importers.base import SHOWN, At
from flowrunner.language.reader import Path
from flowrunner.language.suggest import nearest

ANY = "*"
"""Any name is a port."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A node type: its ports, those that must get a value, and what else its `config` may say."""

    reads: tuple[str, ...]
    gives: tuple[str, ...]
    must: tuple[str, ...] = ()
    config: tuple[str, ...] = ()


KINDS = {
    "http.request": Kind(("url", "body"), ("status", "body", "headers"), ("url",), ("method", "headers")),
    "transform.json_parse": Kind(("json",), ("parsed",), ("json",)),
    "transform.json_stringify": Kind(("value",), ("json",), ("value",)),
    "time.delay": Kind((ANY,), (ANY,), (), ("delay_ms",)),
    "debug.log": Kind((ANY,), ("message",)),
    "flow.branch": Kind(("condition", "payload"), ("true_out", "false_out")),
    "flow.merge": Kind((ANY,), ("merged",)),
}
METHODS = ("GET", "POST", "PUT", "DELETE")
DELAY = 1_000
TAGS = ("Null", "Bool", "Number", "String", "Bytes", "Json", "Array", "Object")


@dataclass(frozen=True, slots=True)
class Retry:
    max_attempts: int = 3
    delay: int = 1_000
    backoff: float = 2.0
    max_delay: int = 60_000
    on_timeout: bool = True


@dataclass(slots=True)
class Node:
    """A node. `config` has plain values; `name` is ours, given later."""

    id: str
    type: str
    path: Path
    label: str | None = None
    config: dict[str, Json] = field(default_factory=dict)
    position: tuple[float, float] | None = None
    retry: Retry | None = None
    name: str = ""
    sound: bool = True
    """Whether nothing in it was refused."""


@dataclass(frozen=True, slots=True)
class Connection:
    source: str
    out: str
    target: str
    port: str
    at: At


@dataclass(slots=True)
class Workflow:
    id: str | None = None
    name: str = ""
    description: str | None = None
    nodes: dict[str, Node] = field(default_factory=dict)
    connections: list[Connection] = field(default_factory=list)
    triggers: list[dict[str, Json]] = field(default_factory=list)
    max_parallel: int | None = None
    timeout: int | None = None
    on_error: Literal["stop", "continue"] | int = "stop"
    """A number: how often the run is started at most."""


def read_workflow(root: At) -> Workflow:
    """What can be read of the document; what cannot is among the problems."""
    fields = root.fields(("id", "name", "description", "nodes", "connections", "triggers", "settings"))
    flow = Workflow()
    flow.id = fields["id"].text() if "id" in fields else None
    flow.description = fields["description"].text() if "description" in fields else None
    if "name" in fields:
        flow.name = fields["name"].text() or ""
    if not flow.name and isinstance(root.value, dict) and not isinstance(root.value.get("name"), int | float | list):
        root.refuse("the workflow needs a `name`")
    nodes = fields["nodes"].items() if "nodes" in fields else []
    if not nodes:
        root.refuse("the workflow has no `nodes`")
    for at in nodes:
        _node(at, flow)
    for at in fields["connections"].items() if "connections" in fields else ():
        _connection(at, flow)
    for at in fields["triggers"].items() if "triggers" in fields else ():
        _trigger(at, flow)
    if "settings" in fields:
        _settings(fields["settings"], flow)
    return flow


def _node(at: At, flow: Workflow) -> None:
    fields = at.fields(("id", "node_type", "name", "config", "position", "retry_policy"))
    for name in ("id", "node_type"):
        if name not in fields and isinstance(at.value, dict):
            at.refuse(f"the node has no `{name}`")
    if "id" not in fields or "node_type" not in fields:
        return
    before = len(at.problems.found)
    id, kind = fields["id"].text(), fields["node_type"].text()
    if kind is not None and kind not in KINDS:
        fields["node_type"].refuse(f"the node type {kind[:SHOWN]!r} cannot be imported", nearest(kind, KINDS))
    node = Node(id or "", kind or "", at.path)
    if "name" in fields:
        node.label = fields["name"].text()
    if "config" in fields:
        node.config = _config(fields["config"], node.type)
    if "position" in fields:
        node.position = _position(fields["position"])
    if "retry_policy" in fields:
        node.retry = _retry(fields["retry_policy"])
    node.sound = len(at.problems.found) == before
    if id in flow.nodes:
        fields["id"].refuse("another node has the same `id`")
    elif id is not None:
        flow.nodes[id] = node


def _config(at: At, type_name: str) -> dict[str, Json]:
    """The configuration as plain values. A port may have its value here, too, if nothing is connected to it."""
    kind = KINDS.get(type_name)
    ports = tuple(name for name in kind.reads if name != ANY) if kind else ()
    ports += ("message",) if type_name == "debug.log" else ()
    config = {}
    for name, inside in at.fields((*kind.config, *ports) if kind else None).items():
        before = len(at.problems.found)
        value = config[name] = plain(inside)
        if len(at.problems.found) > before:
            continue
        one = At(value, inside.path, at.problems)
        match type_name, name:
            case "http.request", "method":
                _method(one)
            case "http.request", "headers":
                for header in one.fields().values():
                    header.text()
            case ("http.request", "url") | ("transform.json_parse", "json"):
                one.text()
            case "time.delay", "delay_ms":
                one.number(0, MAX_DURATION)
            case "flow.branch", "condition":
                one.boolean()
    if "body" in config and str(config.get("method", "GET")).upper() not in {"POST", "PUT"}:
        At(None, (*at.path, "body"), at.problems).refuse("flowengine sends a body by POST and PUT only")
    return config


def _method(at: At) -> None:
    method = at.text()
    if method is not None and method.upper() not in METHODS:
        at.refuse(f"flowengine sends {', '.join(METHODS)} only, not {method[:SHOWN]!r}")


def plain(at: At) -> Json:
    """A value without its tags: `{"type": "String", "value": "x"}` is `"x"`; an untagged value is itself."""
    value = at.value
    if not isinstance(value, dict) or "type" not in value or not set(value) <= {"type", "value"}:
        return value
    tag, inside = value["type"], At(value.get("value"), (*at.path, "value"), at.problems)
    match tag:
        case "Null":
            return None
        case "Json":
            return inside.value
        case "Bool":
            return inside.boolean()
        case "String":
            return inside.text()
        case "Number":
            return inside.number(-1.8e308, 1.8e308)
        case "Array":
            return [plain(item) for item in inside.items()]
        case "Object":
            return {name: plain(At(item, (*inside.path, name), at.problems)) for name, item in _dict(inside).items()}
        case "Bytes":
            numbers = [item.whole(0, 255) for item in inside.items()]
            return {"$bytes": base64.b64encode(bytes(number or 0 for number in numbers)).decode("ascii")}
        case _:
            near = nearest(tag, TAGS) if isinstance(tag, str) else None
            at.refuse(f"{str(tag)[:SHOWN]!r} is no type of a value; there are {', '.join(TAGS)}", near)
            return None


def _dict(at: At) -> dict[str, Json]:
    if isinstance(at.value, dict):
        return at.value
    at.refuse("must be an object")
    return {}


def _position(at: At) -> tuple[float, float] | None:
    fields = at.fields(("x", "y"))
    if set(fields) != {"x", "y"}:
        at.refuse("a position has `x` and `y`")
        return None
    x, y = (fields[name].number(-1e9, 1e9) for name in ("x", "y"))
    return None if x is None or y is None else (x, y)


def _retry(at: At) -> Retry:
    fields = at.fields(("max_attempts", "delay_ms", "backoff_multiplier", "max_delay_ms", "retry_on_timeout"))
    attempts = fields["max_attempts"].whole(1, 100) if "max_attempts" in fields else None
    delay = fields["delay_ms"].whole(0, MAX_DURATION) if "delay_ms" in fields else None
    backoff = fields["backoff_multiplier"].number(1, 100) if "backoff_multiplier" in fields else None
    on_timeout = fields["retry_on_timeout"].boolean() if "retry_on_timeout" in fields else None
    usual = Retry()
    policy = Retry(
        attempts if attempts is not None else usual.max_attempts,
        delay if delay is not None else usual.delay,
        backoff if backoff is not None else usual.backoff,
        usual.max_delay,
        on_timeout is not False,
    )
    if "max_delay_ms" in fields:
        longest = fields["max_delay_ms"].whole(0, MAX_DURATION)
        return policy if longest is None else _capped(policy, longest)
    if isinstance(at.value, dict) and "max_delay_ms" in at.value:  # null: no limit
        longest_wait = policy.delay * policy.backoff ** max(policy.max_attempts - 2, 0)
        if longest_wait > MAX_DURATION:
            at.refuse("without `max_delay_ms` the last wait is longer than 400 days; give one")
            return policy
        return _capped(policy, round(longest_wait))
    return policy


def _capped(policy: Retry, longest: int) -> Retry:
    return Retry(policy.max_attempts, policy.delay, policy.backoff, longest, policy.on_timeout)


def _connection(at: At, flow: Workflow) -> None:
    names = ("from_node", "from_port", "to_node", "to_port")
    fields = at.fields(names)
    for name in names:
        if name not in fields and isinstance(at.value, dict):
            at.refuse(f"the connection has no `{name}`")
    source, out, target, port = (fields[name].text() if name in fields else None for name in names)
    for name, node in (("from_node", source), ("to_node", target)):
        if node is not None and node not in flow.nodes:
            fields[name].refuse(f"no node has the id {node[:SHOWN]!r}", nearest(node, flow.nodes))
    if source in flow.nodes and target in flow.nodes and source and target and out is not None and port is not None:
        kind = KINDS.get(flow.nodes[source].type)
        if kind is not None and ANY not in kind.gives and out not in kind.gives:
            given = ", ".join(kind.gives)
            fields["from_port"].refuse(
                f"a {flow.nodes[source].type} node has no port {out[:SHOWN]!r} to give from; it has {given}",
                nearest(out, kind.gives),
            )
        flow.connections.append(Connection(source, out, target, port, at))


def _trigger(at: At, flow: Workflow) -> None:
    fields = at.fields(("id", "trigger_type", "enabled"))
    if "id" in fields:
        fields["id"].text()
    if "trigger_type" not in fields:
        at.refuse("the trigger has no `trigger_type`")
        return
    kind, inside = _trigger_type(fields["trigger_type"])
    enabled = fields["enabled"].boolean() if "enabled" in fields else True
    match kind:
        case "Manual":
            inside.fields(("type",))
        case "Cron":
            given = inside.fields(("type", "expression"))
            cron = _needed(inside, given, "expression")
            flow.triggers.append({"type": "schedule", "cron": cron, **({} if enabled else {"enabled": False})})
        case "Webhook":
            given = inside.fields(("type", "path"))
            path = _needed(inside, given, "path")
            if not enabled:
                at.refuse("a webhook that is not enabled cannot be imported: remove it")
            flow.triggers.append({"type": "webhook", "path": (path or "").strip("/")})
        case _:
            inside.refuse(f"the trigger type {str(kind)[:SHOWN]!r} cannot be imported; Manual, Cron and Webhook can")


def _needed(at: At, fields: dict[str, At], name: str) -> str | None:
    if name in fields:
        return fields[name].text()
    at.refuse(f"the trigger has no `{name}`")
    return None


def _trigger_type(at: At) -> tuple[Json, At]:
    """The type and its fields, in any of the forms: `"Manual"`, `{"type": "Cron", …}`, `{"Cron": {…}}`."""
    if isinstance(at.value, str):
        return at.value, At({}, at.path, at.problems)
    if isinstance(at.value, dict) and "type" not in at.value and len(at.value) == 1:
        name, inside = next(iter(at.value.items()))
        return name, At(inside, (*at.path, name), at.problems)
    return (at.value.get("type"), at) if isinstance(at.value, dict) else (None, at)


def _settings(at: At, flow: Workflow) -> None:
    fields = at.fields(("max_parallel_nodes", "max_execution_time_ms", "on_error"))
    if "max_parallel_nodes" in fields:
        flow.max_parallel = fields["max_parallel_nodes"].whole(1, 400)
    if "max_execution_time_ms" in fields:
        flow.timeout = fields["max_execution_time_ms"].whole(1, MAX_DURATION)
    if "on_error" not in fields:
        return
    handling = fields["on_error"]
    match handling.value:
        case "StopWorkflow":
            flow.on_error = "stop"
        case "ContinueOnError":
            flow.on_error = "continue"
        case {"RetryWorkflow": inside, **others} if not others:
            given = At(inside, (*handling.path, "RetryWorkflow"), at.problems).fields(("max_attempts",))
            if "max_attempts" in given:
                flow.on_error = given["max_attempts"].whole(1, 100) or 1
            else:
                handling.refuse("RetryWorkflow needs `max_attempts`")
        case _:
            handling.refuse("must be StopWorkflow, ContinueOnError or {RetryWorkflow: {max_attempts}}")
