"""Each node type's own example is a flow that loads without a warning; those that need no other system also run."""

from __future__ import annotations

import textwrap

import pytest
from flowrunner.core.flow import Json
from flowrunner.nodes.registry import BUILT_IN, Registry

from tests.engine.harness import ACCOUNT, bench

INPUTS: dict[str, Json] = {
    "condition": {"total": 250},
    "switch": {"country": "SE"},
    "log": {"name": "Ada"},
}
OUTPUTS: dict[str, Json] = {
    "condition": {"total": 250},
    "delay": None,
    "filter": [8, 12],
    "flow.run": {"double": 4},
    "json.parse": {"a": [1, 2]},
    "json.stringify": '{"a":[true],"b":1}',
    "log": {"message": "Hello Ada", "level": "info", "data": None, "input": {"name": "Ada"}},
    "script": {"total": 7},
    "store": {"value": 2},
    "switch": {"country": "SE"},
    "transform": {"ids": [1, 2], "first": 40},
    "wait.callback": None,
    "wasm": {"result": {"n": 20}, "stderr": "", "fuel": 47},
    "approval": {"approved": False, "by": None, "comment": None},
}
"""What each example gives; a wait that nobody answers ends by its timeout."""


def _flow(name: str) -> str:
    example = textwrap.indent(Registry(plugins=()).describe(name).example, "    ")
    return f"metadata: {{name: example of {name}}}\nnodes:\n  example:\n{example}"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_examples_load(name: str) -> None:
    """No problem, and no warning where every secret is there."""
    with bench(
        secrets={
            "API_KEY": "a",
            "SLACK_WEBHOOK_URL": "https://hooks.example/x",
            "SMTP_PASSWORD": "b",
            "IMAP_PASSWORD": "c",
            "HOOK_KEY": "whsec_c2VjcmV0",
            "OPENAI_API_KEY": "d",
            "DB_PASSWORD": "e",
            "AWS_KEY_ID": "f",
            "AWS_SECRET_KEY": "g",
        }
    ) as one:
        assert one.engine.load(_flow(name), ACCOUNT).warnings == ()


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_examples_run(name: str) -> None:
    """The example does what its page says."""
    with bench() as one:
        run = one.start(_flow(name), INPUTS.get(name))
        one.work()
        result = one.result(run)
        assert (result.status, result.error) == ("completed", None)
        assert one.output(run, "example") == OUTPUTS[name]


def test_only_types_that_need_the_network_are_not_run() -> None:
    """A new type's example is run, unless it is of those that talk to another system."""
    assert set(BUILT_IN) - set(OUTPUTS) == {
        "ai.agent",
        "aws.eventbridge",
        "aws.lambda",
        "aws.s3",
        "aws.sns",
        "aws.sqs",
        "email.fetch",
        "email.send",
        "http.request",
        "llm.chat",
        "notification",
        "postgres.query",
        "webhook",
    }


JSONPATH_FLOW = """
metadata: {name: paths}
nodes:
  first:
    type: transform
    params: {mapping: {written: $.a, data: "${input.text}", items: "$.list[?@ > 1]"}}
    next: second
  second:
    type: transform
    params: {mapping: {result: $.items}}
    hooks: {exec: "return input.map(x => x * 10)"}
"""


def test_paths_are_paths_as_written_only() -> None:
    """Through the whole engine: a written JSONPath selects, data that looks like one does not, and an exec hook sees
    what the mapping selected.
    """
    with bench() as one:
        run = one.start(JSONPATH_FLOW, {"a": 1, "text": "$.a", "list": [1, 2, 3]})
        one.work()
        assert one.output(run, "first") == {"written": 1, "data": "$.a", "items": [2, 3]}
        assert one.output(run, "second") == [20, 30]
