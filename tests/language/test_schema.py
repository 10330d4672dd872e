"""The JSON Schema of the whole document, which editors use, against the loader."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.core.ids import NodeId
from flowrunner.language.reader import read_document
from flowrunner.language.schema import EVENT_ALIASES, EVENTS, flow_json_schema
from jsonschema import Draft202012Validator

from tests.language.environment import environment, load, problems

HEAD = "metadata: {name: x}\n"


def test_it_is_a_json_schema() -> None:
    """What `flowrunner schema` prints is a schema of draft 2020-12."""
    schema = flow_json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"metadata", "nodes"} == set(schema["required"])


GOOD = [
    "nodes: {a: {type: log, next: b, timeout: 20s}, b: {type: log}}",
    "nodes: {a: {type: log, next: [b], timeout: 1.5}, b: {type: log}}",
    "nodes: {a: {type: log, next: {default: [b], error: b}}, b: {type: log}}",
    "nodes: {a: {type: log, needs: [b], foreach: {items: [1], as: row, tolerate_failures: 5%}}, b: {type: log}}",
    "on_error: {retry_run: {max_attempts: 2}}\nnodes: {a: {type: log}}",
    "connections: [a -> b.p]\nnodes: {a: {type: log}, b: {type: log}}",
    "triggers: [{type: webhook, path: p}, {type: schedule, cron: '0 9 * * *'}]\nnodes: {a: {type: log}}",
]
BAD = [
    "nodes: {}",
    "nodes: {a: {}}",
    "nodes: {a: {type: log, nxt: b}}",
    "nodes: {a: {type: log, timeout: soon}}",
    "nodes: {a: {type: log, retry: {max_attempts: 101}}}",
    "nodes: {a: {type: log, at_most_once: 'yes'}}",
    "nodes: {'a b': {type: log}}",
    "on_error: fail\nnodes: {a: {type: log}}",
    "triggers: [{type: webhook, path: ../p}]\nnodes: {a: {type: log}}",
    "webhooks: [{url: 'https://x', events: [run.done]}]\nnodes: {a: {type: log}}",
]


@pytest.mark.parametrize("text", [*GOOD, *BAD])
def test_editors_and_the_loader_agree(text: str) -> None:
    """What an editor marks by the schema the loader refuses, and the other way round."""
    document = read_document(HEAD + text).value
    valid = Draft202012Validator(flow_json_schema()).is_valid(document)
    assert (valid, problems(HEAD + text) == []) == (text in GOOD, text in GOOD)


def test_the_documents_fields_are_all_there() -> None:
    """Each field of the language's page is in the schema."""
    schema = flow_json_schema()
    top = "metadata inputs outputs defaults on_error timeout limits concurrency priority egress mode triggers webhooks start connections nodes"
    node = "type params next needs inputs when foreach retry at_most_once timeout on_error fallback hooks cache egress name description ui"
    assert set(schema["properties"]) == set(top.split())
    assert set(schema["$defs"]["NodeDocument"]["properties"]) == set(node.split())


def test_callbacks_take_the_names_of_what_is_sent() -> None:
    """`node.completed` is the author's word for the event `step.succeeded`."""
    text = f"{HEAD}webhooks: [{{url: 'https://x', events: [run.failed, node.completed, step.succeeded], headers: {{X-A: b}}}}]\nnodes: {{a: {{type: log}}}}"
    assert load(text).flow.webhooks[0]["events"] == ["run.failed", "step.succeeded"]
    assert set(EVENT_ALIASES) | set(EVENT_ALIASES.values()) <= set(EVENTS)


INLINE = f"""{HEAD}nodes:
  a:
    type: flow.run
    params:
      inline:
        metadata: {{name: inner}}
        nodes:
          b: {{type: lgo, next: c}}
          d: {{type: script, hooks: {{exec: 'return @@'}}}}
"""


def test_a_flow_inside_a_flow_is_checked_with_it() -> None:
    """Its problems are told at their places in the document, with the whole path."""
    assert problems(INLINE) == [
        "error: nodes.a.params.inline.nodes.b.type: unknown node type 'lgo'; did you mean 'log'? (line 9, column 21)",
        "error: nodes.a.params.inline.nodes.b.next: no node is called 'c' (line 9, column 32)",
        "error: nodes.a.params.inline.nodes.d.hooks.exec: JavaScript: unexpected '@' (line 10, column 51)",
    ]
    empty = INLINE[: INLINE.index("        metadata")].replace("inline:", "inline: {}")
    assert [one.partition(": ")[2].partition(": ")[0] for one in problems(empty)] == [
        "nodes.a.params.inline.metadata",
        "nodes.a.params.inline.nodes",
    ]


def test_expressions_of_a_flow_inside_a_flow_are_its_own() -> None:
    """They name its nodes, not those around it."""
    text = f"{HEAD}nodes: {{a: {{type: flow.run, params: {{inline: {{metadata: {{name: i}}, nodes: {{b: {{type: log, next: c}}, c: {{type: log, params: {{data: '${{nodes.b.output}}'}}}}}}}}}}}}}}"
    assert load(text).flow.nodes[NodeId("a")].type == "flow.run"


def test_a_sandbox_that_gives_up_is_a_problem_of_the_flow() -> None:
    """Scripts that are too much to be parsed are told of like any other problem."""
    from dataclasses import replace

    from flowrunner.language.errors import InvalidFlow
    from flowrunner.language.load import load_flow
    from flowrunner.sandbox.errors import ScriptLimitExceeded

    def give_up(scripts: Any) -> Any:
        raise ScriptLimitExceeded("too slow", limit="wall")

    with pytest.raises(InvalidFlow, match="the scripts of this flow cannot be checked: too slow"):
        load_flow(f"{HEAD}nodes: {{a: {{type: log}}}}", replace(environment(), check_scripts=give_up))
