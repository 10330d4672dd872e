"""Every rule of the flow language, one row each: a document that breaks it, and what its author reads."""

from __future__ import annotations

import pytest
from flowrunner.errors import InvalidInput
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import load_valid_flow

from tests.language.environment import HEAD, A, a_node, load, problems

STRUCTURE: list[tuple[str, str, str]] = [
    (
        "unknown top-level field",
        f"{A}\nnods: 1",
        "error: nods: there is no field 'nods' here; did you mean 'nodes'? (line 3, column 1)",
    ),
    (
        "a metadata field at the top",
        f"{A}\nname: y",
        "error: name: there is no field 'name' here; it belongs under `metadata` (line 3, column 1)",
    ),
    (
        "unknown node field",
        a_node("nxt: b"),
        "error: nodes.a.nxt: there is no field 'nxt' here; did you mean 'next'? (line 5, column 5)",
    ),
    (
        "a parameter beside params",
        a_node("seconds: 5"),
        "error: nodes.a.seconds: there is no field 'seconds' here; what a node type takes goes under `params` (line 5, column 5)",
    ),
    (
        "unknown retry field",
        a_node("retry: {max_attemps: 2}"),
        "error: nodes.a.retry.max_attemps: there is no field 'max_attemps' here; did you mean 'max_attempts'? (line 5, column 13)",
    ),
    (
        "unknown field of needs",
        a_node("needs: {nodes: [b], mod: any}"),
        "error: nodes.a.needs.mod: there is no field 'mod' here; did you mean 'mode'? (line 5, column 25)",
    ),
    (
        "unknown field of verify",
        f"triggers: [{{type: webhook, path: p, verify: {{scheme: github, secret: S, secrt: 1}}}}]\n{A}",
        "error: triggers[0].verify.secrt: there is no field 'secrt' here; did you mean 'secret'? (line 2, column 73)",
    ),
    ("no nodes", "start: a", "error: nodes: is required (line 1, column 1)"),
    ("empty nodes", "nodes: {}", "error: nodes: a flow needs at least one node (line 2, column 8)"),
    ("nodes as a list", "nodes: [a]", "error: nodes: must be an object (line 2, column 8)"),
    ("no type", "nodes: {a: {params: {}}}", "error: nodes.a.type: is required (line 2, column 12)"),
    ("node as a text", "nodes: {a: log}", "error: nodes.a: must be an object (line 2, column 12)"),
    (
        "an empty field",
        a_node("params:"),
        "error: nodes.a.params: is empty; give it a value or leave it out (line 5, column 12)",
    ),
    (
        "a number for a text",
        a_node("description: 1.0"),
        "error: nodes.a.description: must be a text; put it into quotes (line 5, column 18)",
    ),
    (
        "a text for a number",
        a_node('retry: {max_attempts: "3"}'),
        "error: nodes.a.retry.max_attempts: must be a whole number (line 5, column 27)",
    ),
    (
        "a text for a boolean",
        a_node("at_most_once: yes"),
        "error: nodes.a.at_most_once: must be true or false (line 5, column 19)",
    ),
    (
        "a list for an object",
        a_node("params: [1]"),
        "error: nodes.a.params: must be an object (line 5, column 13)",
    ),
    ("an object for a list", f"triggers: {{}}\n{A}", "error: triggers: must be a list (line 2, column 11)"),
    (
        "bad node id",
        "nodes: {1a: {type: log}}",
        "error: nodes.1a: '1a' is no node id: a letter or `_`, then up to 63 letters, digits, `_` or `-` (line 2, column 9)",
    ),
    (
        "bad id in next",
        a_node("next: 'b!'"),
        "error: nodes.a.next: 'b!' is no node id: a letter or `_`, then up to 63 letters, digits, `_` or `-` (line 5, column 11)",
    ),
    (
        "next as a number",
        a_node("next: 5"),
        "error: nodes.a.next: must be a node id, a list of node ids, or an object of action and node ids (line 5, column 11)",
    ),
    (
        "a target as a number",
        a_node("next: {error: 5}"),
        "error: nodes.a.next.error: must be a node id or a list of node ids (line 5, column 19)",
    ),
    (
        "a target in a list as a number",
        a_node("next: {error: [b, 5]}"),
        "error: nodes.a.next.error[1]: must be a node id (line 5, column 23)",
    ),
    (
        "needs as a number",
        a_node("needs: 5"),
        "error: nodes.a.needs: must be a list of node ids, or an object with `nodes` and `mode` (line 5, column 12)",
    ),
    (
        "needs without nodes",
        a_node("needs: {mode: all}"),
        "error: nodes.a.needs.nodes: is required (line 5, column 12)",
    ),
    (
        "empty needs",
        a_node("needs: []"),
        "error: nodes.a.needs: must name at least one node (line 5, column 12)",
    ),
    (
        "unknown mode",
        a_node("needs: {nodes: [b], mode: al}"),
        "error: nodes.a.needs.mode: must be 'all', 'any' or 'settled', not 'al'; did you mean 'all'? (line 5, column 31)",
    ),
    (
        "node on_error",
        a_node("on_error: contine"),
        "error: nodes.a.on_error: must be 'fail' or 'continue', not 'contine'; did you mean 'continue'? (line 5, column 15)",
    ),
    (
        "flow on_error",
        f"on_error: fail\n{A}",
        "error: on_error: must be stop, continue, or {retry_run: {max_attempts, delay}} (line 2, column 11)",
    ),
    (
        "retry_run without attempts",
        f"on_error: {{retry_run: {{}}}}\n{A}",
        "error: on_error.retry_run.max_attempts: is required (line 2, column 23)",
    ),
    (
        "too many attempts",
        a_node("retry: {max_attempts: 101}"),
        "error: nodes.a.retry.max_attempts: must be at most 100 (line 5, column 27)",
    ),
    (
        "no attempt",
        a_node("retry: {max_attempts: 0}"),
        "error: nodes.a.retry.max_attempts: must be at least 1 (line 5, column 27)",
    ),
    (
        "backoff below 1",
        a_node("retry: {backoff: 0.5}"),
        "error: nodes.a.retry.backoff: must be at least 1 (line 5, column 22)",
    ),
    (
        "bad duration",
        a_node("timeout: 5 minutes"),
        "error: nodes.a.timeout: '5 minutes' is not a duration; write one like 500ms, 20s, 5m, 2h or 1d (line 5, column 14)",
    ),
    (
        "duration 0",
        a_node("timeout: 0"),
        "error: nodes.a.timeout: a duration here must be more than 0 (line 5, column 14)",
    ),
    (
        "a long duration",
        a_node("timeout: 401d"),
        "error: nodes.a.timeout: a duration is at most 400 days (line 5, column 14)",
    ),
    (
        "a bad tolerance",
        a_node("foreach: {items: [1], tolerate_failures: 5 %}"),
        'error: nodes.a.foreach.tolerate_failures: write a number of items, or a share like "5%" (line 5, column 46)',
    ),
    (
        "a tolerance above all",
        a_node("foreach: {items: [1], tolerate_failures: 101%}"),
        "error: nodes.a.foreach.tolerate_failures: a share is at most 100% (line 5, column 46)",
    ),
    (
        "a tolerance below 0",
        a_node("foreach: {items: [1], tolerate_failures: -1}"),
        'error: nodes.a.foreach.tolerate_failures: write a number of items, or a share like "5%" (line 5, column 46)',
    ),
    (
        "foreach over a number",
        a_node("foreach: {items: 5}"),
        "error: nodes.a.foreach.items: must be a list, or an expression that gives one (line 5, column 22)",
    ),
    (
        "foreach over a plain text",
        a_node("foreach: {items: abc}"),
        "error: nodes.a.foreach.items: must be a list, or an expression that gives one (line 5, column 22)",
    ),
    (
        "a bad alias",
        a_node("foreach: {items: [1], as: a-b}"),
        "error: nodes.a.foreach.as: 'a-b' must be a name that JavaScript takes: letters, digits and `_` (line 5, column 31)",
    ),
    (
        "a name for the item with a meaning",
        a_node("foreach: {items: [1], as: input}"),
        "error: nodes.a.foreach.as: 'input' has a meaning of its own in expressions (line 5, column 31)",
    ),
    (
        "a word of JavaScript",
        a_node("foreach: {items: [1], as: class}"),
        "error: nodes.a.foreach.as: 'class' has a meaning of its own in expressions (line 5, column 31)",
    ),
    (
        "an unknown hook",
        a_node("hooks: {exce: 'return 1'}"),
        "error: nodes.a.hooks.exce: there is no field 'exce' here; did you mean 'exec'? (line 5, column 13)",
    ),
    (
        "cache without ttl",
        a_node("cache: {key: k}"),
        "error: nodes.a.cache.ttl: is required (line 5, column 12)",
    ),
    (
        "at most once and retried",
        a_node("at_most_once: true\n    retry: {max_attempts: 2}"),
        "error: nodes.a.retry.max_attempts: a node that runs at most once is not retried (line 6, column 27)",
    ),
    (
        "bad concurrency",
        f"concurrency: {{max_runs: 0}}\n{A}",
        "error: concurrency.max_runs: must be at least 1 (line 2, column 25)",
    ),
    (
        "bad limits",
        f"limits: {{max_parallel: 401}}\n{A}",
        "error: limits.max_parallel: must be at most 400 (line 2, column 24)",
    ),
    (
        "bad priority",
        f"priority: urgent\n{A}",
        "error: priority: must be 'high', 'normal' or 'low', not 'urgent' (line 2, column 11)",
    ),
    (
        "bad mode",
        f"mode: expres\n{A}",
        "error: mode: must be 'standard' or 'express', not 'expres'; did you mean 'express'? (line 2, column 7)",
    ),
    (
        "bad egress",
        f"egress: {{allow: ['a b']}}\n{A}",
        "error: egress.allow[0]: 'a b' is no host: write example.com or *.example.com (line 2, column 18)",
    ),
    (
        "bad start",
        f"start: 5\n{A}",
        "error: start: must be a node id or a list of node ids (line 2, column 8)",
    ),
    ("bad inputs", f"inputs: 5\n{A}", "error: inputs: must be a JSON Schema object (line 2, column 9)"),
    ("bad outputs", f"outputs: text\n{A}", "error: outputs: must be an object (line 2, column 10)"),
    (
        "bad connections",
        f"connections: [5]\n{A}",
        "error: connections[0]: must be like `fetch.body -> parse.text` (node.port -> node.port) (line 2, column 15)",
    ),
    (
        "an unreadable connection",
        f"connections: [a to b]\n{A}",
        "error: connections[0]: must be like `fetch.body -> parse.text` (node.port -> node.port) (line 2, column 15)",
    ),
    (
        "a connection without a port",
        f"connections: [{{from_node: a, to_node: a}}]\n{A}",
        "error: connections[0].to_port: is required (line 2, column 15)",
    ),
    (
        "a connection from code",
        f"connections: [{{from_node: a, from_port: 'x}} ${{y', to_node: a, to_port: p}}]\n{A}",
        "error: connections[0].from_port: 'x} ${y' is no port: a field like body, or a path like body.items[0] (line 2, column 41)",
    ),
]

GRAPH: list[tuple[str, str, str]] = [
    (
        "unknown target",
        a_node("next: {error: bb}").replace("  b:", "  bcd:").replace("[a, b]", "[a, bcd]"),
        "error: nodes.a.next.error: no node is called 'bb' (line 5, column 19)",
    ),
    (
        "a target with a near match",
        "nodes: {a: {type: log, next: alrt}, alert: {type: log}}",
        "error: nodes.a.next: no node is called 'alrt'; did you mean 'alert'? (line 2, column 30)",
    ),
    (
        "unknown need",
        "nodes: {a: {type: log, needs: [z]}}",
        "error: nodes.a.needs[0]: no node is called 'z' (line 2, column 32)",
    ),
    (
        "unknown need in the long form",
        "nodes: {a: {type: log, needs: {nodes: [z]}}}",
        "error: nodes.a.needs.nodes[0]: no node is called 'z' (line 2, column 40)",
    ),
    ("unknown start", f"start: [a, z]\n{A}", "error: start[1]: no node is called 'z' (line 2, column 12)"),
    (
        "unknown end of a connection",
        f"connections: [a -> z.p]\n{A}",
        "error: connections[0]: no node is called 'z' (line 2, column 15)",
    ),
    (
        "unknown node of a webhook",
        f"webhooks: [{{url: 'https://x', events: [run.failed], nodes: [z]}}]\n{A}",
        "error: webhooks[0].nodes[0]: no node is called 'z' (line 2, column 61)",
    ),
    (
        "needs itself",
        "nodes: {b: {type: log}, a: {type: log, needs: [a]}}",
        "error: nodes.a.needs: a node cannot need itself (line 2, column 47)",
    ),
    (
        "a cycle of needs",
        "nodes: {s: {type: log}, a: {type: log, needs: [b]}, b: {type: log, needs: [c]}, c: {type: log, needs: [a]}}",
        "error: nodes.c.needs: needs cycle: a -> b -> c -> a (line 2, column 96)",
    ),
    (
        "needs and next",
        "nodes:\n  a: {type: log, next: c}\n  b: {type: log}\n  c: {type: log, needs: [b]}",
        "error: nodes.a.next: 'c' has `needs` (line 5), so it starts when those are done and cannot be a target of `next` as well; remove it here, or add 'a' to its needs (line 3, column 24)",
    ),
    (
        "connections and next",
        "connections:\n  - b -> c.p\nnodes:\n  a: {type: log, next: c}\n  b: {type: log}\n  c: {type: log}",
        "error: nodes.a.next: 'c' has a connection (line 3), so it starts when what it needs is done and cannot be a target of `next` as well; remove it here, or add 'a' to its needs (line 5, column 24)",
    ),
    (
        "a target twice",
        "nodes: {a: {type: log, next: [b, b]}, b: {type: log}}",
        "error: nodes.a.next[1]: 'b' is here twice (line 2, column 34)",
    ),
    ("a start twice", f"start: [a, a]\n{A}", "error: start[1]: 'a' is here twice (line 2, column 12)"),
    (
        "two connections to a port",
        f"connections: [a.x -> b.p, a.y -> b.p]\n{A[:-1]}, b: {{type: log}}}}",
        "error: connections[1]: the port 'p' of 'b' has a value already (line 2, column 27)",
    ),
    (
        "a connection to an input",
        f"connections: [a.x -> b.p]\n{A[:-1]}, b: {{type: log, inputs: {{p: 1}}}}}}",
        "error: connections[0]: the port 'p' of 'b' has a value already (line 2, column 15)",
    ),
    (
        "a start with needs",
        "start: a\nnodes: {a: {type: log, needs: [b]}, b: {type: log}}",
        "error: start: 'a' has `needs`, so it cannot start the flow (line 2, column 8)",
    ),
    (
        "nothing can start",
        "nodes: {a: {type: log, needs: [b]}, b: {type: log, next: c}, c: {type: log, next: b}}",
        "error: start: every node has an edge that leads to it, and the first, 'a', has `needs`; name the first node in `start` (line 1, column 1)",
    ),
    (
        "unreachable",
        f"start: a\n{A[:-1]}, b: {{type: log}}}}",
        "error: nodes.b: nothing leads to this node; add it to a `next`, to `start`, or give it `needs` (line 3, column 25)",
    ),
]


OTHERS: list[tuple[str, str, str]] = [
    (
        "a webhook twice",
        f"triggers: [{{type: webhook, path: p}}, {{type: webhook, path: p}}]\n{A}",
        "error: triggers[1].path: POST p is here twice (line 2, column 60)",
    ),
    (
        "a schedule whose input is refused",
        f"inputs: {{required: [id]}}\ntriggers: [{{type: schedule, cron: '0 9 * * *', input: {{x: 1}}}}]\n{A}",
        "error: triggers[0].input.id: does not fit the flow's `inputs`: is required (line 3, column 55)",
    ),
    (
        "a url",
        f"webhooks: [{{url: 'ftp://x', events: [run.failed]}}]\n{A}",
        "error: webhooks[0].url: 'ftp://x' must begin with http:// or https:// (line 2, column 18)",
    ),
    (
        "an event",
        f"webhooks: [{{url: 'https://x', events: [run.complete]}}]\n{A}",
        "did you mean 'run.completed'? (line 2, column 40)",
    ),
    (
        "no events",
        f"webhooks: [{{url: 'https://x', events: []}}]\n{A}",
        "error: webhooks[0].events: must have at least 1 item (line 2, column 39)",
    ),
    (
        "a header with a line break",
        f'webhooks: [{{url: "https://x", events: [run.failed], headers: {{"X": "a\\nb"}}}}]\n{A}',
        "error: webhooks[0].headers.X: must be one line of text",
    ),
    (
        "a header name",
        f"webhooks: [{{url: 'https://x', events: [run.failed], headers: {{'a b': c}}}}]\n{A}",
        "error: webhooks[0].headers.a b: 'a b' must be a header name",
    ),
]

RULES = [*STRUCTURE, *GRAPH, *OTHERS]


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_rules(text: str, message: str) -> None:
    """A document that breaks one rule has one problem, with field, words and place."""
    found = problems(HEAD + text)
    assert [message in one for one in found] == [True], found


METADATA: list[tuple[str, str]] = [
    ("metadata: {}", "error: metadata.name: is required (line 1, column 11)"),
    (
        "metadata: {name: ''}",
        "error: metadata.name: '' must be 1 to 128 characters of letters, digits, space, `_`, `.` and `-` (line 1, column 18)",
    ),
    (
        "metadata: {name: a/b}",
        "error: metadata.name: 'a/b' must be 1 to 128 characters of letters, digits, space, `_`, `.` and `-` (line 1, column 18)",
    ),
    (
        "metadata: {name: x, version: 1.0}",
        "error: metadata.version: must be a text; put it into quotes (line 1, column 30)",
    ),
    (
        "metadata: {name: x, labels: {a: 1}}",
        "error: metadata.labels.a: must be a text; put it into quotes (line 1, column 33)",
    ),
    (
        "metadata: {name: x, author: me}",
        "error: metadata.author: there is no field 'author' here; known are description, labels, name, version (line 1, column 21)",
    ),
    ("metadata: text", "error: metadata: must be an object (line 1, column 11)"),
]


@pytest.mark.parametrize(("metadata", "message"), METADATA)
def test_metadata(metadata: str, message: str) -> None:
    """The rules of `metadata`."""
    assert problems(f"{metadata}\n{A}") == [message]


@pytest.mark.parametrize(("text", "kind"), [("[]", "a list"), ("text", "a single value"), ("5", "a single value")])
def test_a_flow_is_an_object(text: str, kind: str) -> None:
    """A document that is no object is no flow."""
    assert problems(text) == [f"error: a flow is an object with `metadata` and `nodes`, not {kind} (line 1, column 1)"]


MANY = """\
metadata: {name: x/y}
bogus: 1
inputs: {type: strin}
triggers: [{type: schedule, cron: 1 2 3}]
nodes:
  a: {type: log, timeout: -1, next: zz, params: {message: '${nodes.q.output}'}}
  b: {type: lgo}
  c: {type: script, hooks: {exec: 'return @@'}}
  d: {needs: [a, y]}
  e: {type: log, params: [], next: {error: 5}}
  f!: {type: log}
"""


def test_one_mistake_hides_no_other() -> None:
    """Mistakes of every kind are told together, in the order of the document."""
    fields = [one.partition(": ")[2].partition(": ")[0] for one in problems(MANY)]
    expected = """
        metadata.name bogus inputs.type triggers[0].cron
        nodes.a.timeout nodes.a.next nodes.a.params.message nodes.b.type nodes.c.hooks.exec
        nodes.d.type nodes.d.needs[1] nodes.e.params nodes.e.next.error nodes.f!
    """
    assert fields == expected.split()


@pytest.mark.parametrize("nodes", ["nodes: {'1': 5}", "nodes: 5\nstart: 5", "nodes: {'!': {}}\nlimits: 5"])
def test_a_document_without_a_sounda_node(nodes: str) -> None:
    """Where nothing can be saved, what is wrong with the structure is told all the same."""
    assert problems(HEAD + nodes)


def test_a_mistake_does_not_make_others() -> None:
    """A node that is left out for a mistake of its own can be named, and what it leads to is not called unreachable."""
    text = (
        HEAD
        + "nodes:\n  a: {type: log, next: b}\n  b: {next: c, typ: log}\n  c: {type: log, params: {message: '${nodes.b.output}'}}"
    )
    found = problems(text)
    assert [one.partition(": ")[2].partition(": ")[0] for one in found] == ["nodes.b.type", "nodes.b.typ"]


def test_problems_are_input_errors() -> None:
    """The API and the CLI treat a bad flow as bad input; its text holds every problem."""
    with pytest.raises(InvalidInput, match=r"nodes: is required"):
        load(HEAD)


@pytest.mark.parametrize("text", [HEAD, HEAD + "nodes: {a: {type: log, next: z}}", ""])
def test_a_stored_flow_that_is_no_longer_valid(text: str) -> None:
    """A stored document that today's rules refuse says so when it is compiled."""
    with pytest.raises(InvalidFlow):
        load_valid_flow(text)
