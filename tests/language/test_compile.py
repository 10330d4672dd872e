"""From a valid document to the flow that the engine runs."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.core.flow import (
    Cache,
    Flow,
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
from flowrunner.language.load import load_valid_flow

from tests.language.environment import load

HEAD = "metadata: {name: x}\n"
AB = "{a: {type: log}, b: {type: log}}"


def flow(text: str) -> Flow:
    return load(HEAD + text).flow


def node(fields: str, head: str = "") -> Node:
    """The node `a` of a flow that has `b` and `c` as well."""
    text = f"{head}\nstart: [a, b, c]\nnodes:\n  a: {{type: log, {fields}}}\n  b: {{type: log}}\n  c: {{type: log}}\n"
    return flow(text).nodes[NodeId("a")]


NODE_FIELDS: list[tuple[str, str, Any]] = [
    ("next: b", "next", {"default": ("b",)}),
    ("next: [b, c]", "next", {"default": ("b", "c")}),
    ("next: {default: [b, c], error: b}", "next", {"default": ("b", "c"), "error": ("b",)}),
    ("when: '${input.x}'", "when", "${input.x}"),
    ("foreach: {items: '${input}'}", "foreach", Foreach("${input}")),
    (
        "foreach: {items: [1], as: row, max_concurrency: 1, tolerate_failures: 3}",
        "foreach",
        Foreach([1], "row", 1, 3),
    ),
    (
        "foreach: {items: [1], tolerate_failures: 5%}",
        "foreach",
        Foreach([1], tolerate=5, tolerate_percent=True),
    ),
    ("retry: {max_attempts: 3}", "retry", RetryPolicy(3)),
    (
        "retry: {max_attempts: 4, delay: 500ms, backoff: 3, max_delay: 30s, jitter: none, on: [NodeTimeout, HttpStatus:5xx]}",
        "retry",
        RetryPolicy(4, 500, 3.0, 30_000, "none", ("NodeTimeout", "HttpStatus:5xx")),
    ),
    ("at_most_once: true", "at_most_once", True),
    ("timeout: 20s", "timeout", 20_000),
    ("timeout: 1.5", "timeout", 1_500),
    ("on_error: continue", "on_error", OnError.CONTINUE),
    ("cache: {key: '${input}', ttl: 1h}", "cache", Cache("${input}", 3_600_000)),
    ("egress: {allow: [a.example]}", "egress", ("a.example",)),
    ("inputs: {text: '${input.x}'}", "inputs", {"text": "${input.x}"}),
    ("name: N, description: D", "name", "N"),
    ("ui: {x: 1, y: 2.5}", "ui", {"x": 1, "y": 2.5}),
    ("hooks: {post: 'return 1'}", "hooks", {"post": Hook("return 1", 5, 32)}),
]


@pytest.mark.parametrize(("fields", "name", "value"), NODE_FIELDS)
def test_node_fields(fields: str, name: str, value: Any) -> None:
    """Each field of a node reaches the compiled node in its one form."""
    assert getattr(node(fields), name) == value


@pytest.mark.parametrize(
    ("fields", "has", "value"),
    [("", False, None), ("fallback: null", True, None), ("fallback: {a: 1}", True, {"a": 1})],
)
def test_fallback_null_is_a_fallback(fields: str, has: bool, value: Any) -> None:
    """A fallback of null is told from none."""
    found = node(fields)
    assert (found.has_fallback, found.fallback) == (has, value)


DEFAULTS: list[tuple[str, str, str, Any]] = [
    ("{timeout: 30s}", "", "timeout", 30_000),
    ("{timeout: 30s}", "timeout: 5s", "timeout", 5_000),
    ("{retry: {max_attempts: 3, delay: 2s}}", "", "retry", RetryPolicy(3, 2_000)),
    ("{retry: {max_attempts: 3, delay: 2s}}", "retry: {delay: 1m}", "retry", RetryPolicy(3, 60_000)),
    ("{retry: {max_attempts: 3, on: [A]}}", "retry: {max_attempts: 1}", "retry", RetryPolicy(1, on=("A",))),
    ("{on_error: continue}", "", "on_error", OnError.CONTINUE),
    ("{on_error: continue}", "on_error: fail", "on_error", OnError.FAIL),
    ("{at_most_once: true}", "", "at_most_once", True),
    ("{at_most_once: true}", "at_most_once: false", "at_most_once", False),
    ("{egress: {allow: [a.example]}}", "", "egress", ("a.example",)),
]


@pytest.mark.parametrize(("defaults", "fields", "name", "value"), DEFAULTS)
def test_defaults(defaults: str, fields: str, name: str, value: Any) -> None:
    """`defaults` are merged under every node; a retry field by field."""
    assert getattr(node(fields, f"defaults: {defaults}"), name) == value


FLOW_FIELDS: list[tuple[str, str, Any]] = [
    ("on_error: continue", "on_error", OnError.CONTINUE),
    ("on_error: {retry_run: {max_attempts: 2, delay: 10s}}", "on_error", OnError.RETRY_RUN),
    ("on_error: {retry_run: {max_attempts: 2, delay: 10s}}", "retry_run", RetryPolicy(2, 10_000)),
    ("timeout: 1h", "timeout", 3_600_000),
    ("priority: high", "priority", "high"),
    ("mode: express", "mode", "express"),
    ("egress: {allow: ['*.slack.com']}", "egress", ("*.slack.com",)),
    ("outputs: {score: '${nodes.a.output}'}", "outputs", {"score": "${nodes.a.output}"}),
    ("inputs: {type: object}", "inputs", {"type": "object"}),
    (
        "concurrency: {max_runs: 5, key: '${input.c}', on_limit: reject}",
        "concurrency",
        RunConcurrency(5, "${input.c}", "reject"),
    ),
]


@pytest.mark.parametrize(("fields", "name", "value"), FLOW_FIELDS)
def test_flow_fields(fields: str, name: str, value: Any) -> None:
    """Each field of the flow reaches the compiled flow."""
    assert getattr(flow(f"{fields}\nnodes: {AB}"), name) == value


def test_limits_and_metadata() -> None:
    """Limits and metadata keep their names."""
    text = "metadata: {name: n, description: d, version: 1.2.0, labels: {team: growth}}\n"
    found = load(f"{text}limits: {{max_parallel: 3, max_steps: 7}}\nnodes: {AB}").flow
    assert (found.limits.max_parallel, found.limits.max_steps) == (3, 7)
    assert (found.name, found.description, found.version, found.labels) == (
        "n",
        "d",
        "1.2.0",
        {"team": "growth"},
    )


STARTS: list[tuple[str, tuple[str, ...]]] = [
    (f"nodes: {AB}", ("a", "b")),
    (f"start: b\nnodes: {AB.replace('b: {type: log}', 'b: {type: log, next: a}')}", ("b",)),
    (f"start: [b, a]\nnodes: {AB}", ("b", "a")),
    ("nodes: {a: {type: log, next: b}, b: {type: log, next: a}}", ("a",)),
    ("nodes: {a: {type: log, needs: [b]}, b: {type: log}}", ("b",)),
    ("connections: [b -> a.x]\nnodes: {a: {type: log}, b: {type: log}}", ("b",)),
]


@pytest.mark.parametrize(("text", "starts"), STARTS)
def test_start(text: str, starts: tuple[str, ...]) -> None:
    """What is named starts, else all without an incoming edge, else the first one written."""
    assert flow(text).start == starts


JOINS: list[tuple[str, Join]] = [
    ("needs: b", Join((NodeId("b"),))),
    ("needs: [b, c]", Join((NodeId("b"), NodeId("c")))),
    ("needs: [b, b]", Join((NodeId("b"),))),
    ("needs: {nodes: [b, c], mode: any}", Join((NodeId("b"), NodeId("c")), JoinMode.ANY)),
    ("needs: {nodes: [b], mode: settled}", Join((NodeId("b"),), JoinMode.SETTLED)),
]


@pytest.mark.parametrize(("fields", "join"), JOINS)
def test_needs(fields: str, join: Join) -> None:
    """`needs` has a short and a long form."""
    assert (
        flow(f"nodes: {{a: {{type: log, {fields}}}, b: {{type: log}}, c: {{type: log}}}}").nodes[NodeId("a")].join
        == join
    )


CONNECTIONS: list[tuple[str, str, str]] = [
    ("fetch.body -> parse.text", "text", "${nodes.fetch.output.body}"),
    ("fetch -> parse.text", "text", "${nodes.fetch.output}"),
    ("'  fetch.body.items[0]->parse.text '", "text", "${nodes.fetch.output.body.items[0]}"),
    (
        "{from_node: fetch, from_port: body, to_node: parse, to_port: text}",
        "text",
        "${nodes.fetch.output.body}",
    ),
    ("{from_node: fetch, to_node: parse, to_port: text}", "text", "${nodes.fetch.output}"),
]


@pytest.mark.parametrize(("connection", "port", "expression"), CONNECTIONS)
def test_connections_are_needs_and_inputs(connection: str, port: str, expression: str) -> None:
    """A connection makes the one node need the other and gives it a port."""
    parse = flow(f"connections: [{connection}]\nnodes: {{fetch: {{type: log}}, parse: {{type: log}}}}").nodes[
        NodeId("parse")
    ]
    assert parse.join == Join((NodeId("fetch"),))
    assert parse.inputs == {port: expression}


def test_connections_join_what_is_written_at_the_node() -> None:
    """Needs and inputs of the node itself stay, and so does the mode."""
    text = "connections: [b.x -> a.p, c -> a.q]\nnodes: {a: {type: log, needs: {nodes: [b], mode: any}, inputs: {r: 1}}, b: {type: log}, c: {type: log}}"
    found = flow(text).nodes[NodeId("a")]
    assert found.join == Join((NodeId("b"), NodeId("c")), JoinMode.ANY)
    assert found.inputs == {"r": 1, "p": "${nodes.b.output.x}", "q": "${nodes.c.output}"}


def test_a_connection_from_a_node_with_a_dash() -> None:
    """An id that is no JavaScript name is read by its text."""
    found = flow("connections: [my-node.x -> a.p]\nnodes: {a: {type: log}, my-node: {type: log}}").nodes[NodeId("a")]
    assert found.inputs == {"p": '${nodes["my-node"].output.x}'}


HOOKS: list[tuple[str, int]] = [
    ("exec: |\n          return 1;\n", 6),
    ("exec: return 1;\n", 5),
    ('exec: "return 1;"\n', 5),
    ("exec: >\n          return 1;\n", 6),
]


@pytest.mark.parametrize(("hook", "line"), HOOKS)
def test_hooks_know_their_line(hook: str, line: int) -> None:
    """A hook knows the line of the document that its own first line is."""
    found = flow(f"nodes:\n  a:\n    hooks:\n        {hook}    type: script\n").nodes[NodeId("a")].hooks["exec"]
    assert (found.source.strip(), found.line) == ("return 1;", line)


def test_nodes_know_their_line() -> None:
    """A node knows where it was written."""
    assert [one.line for one in flow("nodes:\n  a: {type: log}\n  b:\n    type: log\n").nodes.values()] == [
        3,
        4,
    ]


def test_a_stored_flow_is_compiled_alike() -> None:
    """What was found valid when it was saved compiles to the same without node types and scripts."""
    text = HEAD + "nodes: {a: {type: gone, next: b}, b: {type: log, params: {message: '${nodes.a.output}'}}}"
    assert load_valid_flow(text).nodes[NodeId("a")].type == "gone"
    known = text.replace("gone", "any")
    assert load_valid_flow(known) == load(known).flow
