"""docs/flow-language.md: its flows load, its messages are what the loader says, and it names every field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowrunner.engine.validation import environment
from flowrunner.language.catalog import Environment
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.load import load_flow
from flowrunner.language.schema import EVENTS, flow_json_schema
from flowrunner.nodes.registry import Registry
from flowrunner.sandbox.evaluator import Sandbox

PAGE = Path("docs/flow-language.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(yaml|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FLOWS = {re.findall(r"name: ([\w-]+)", text)[0]: text for kind, text in BLOCKS if kind == "yaml" and "metadata" in text}

ORIGINAL = """\
metadata: {name: "Example Flow", description: "A simple example flow", version: "1.0.0"}
nodes:
  start:
    type: "http.request"
    params: {url: "https://api.example.com/data", method: "GET"}
    next: {default: "process", error: "handleError"}
    hooks:
      prep: |
        // JavaScript prep hook
        context.headers = { "Authorization": "Bearer " + secrets.API_KEY };
        return context;
  process:
    type: "transform"
    params: {mapping: {result: "$.data.items"}}
    next: {default: "end"}
    hooks:
      exec: |
        // JavaScript exec hook
        return input.map(item => ({ id: item.id, name: item.name }));
  handleError:
    type: "notification"
    params: {channel: "slack", message: "Flow failed: ${error.message}"}
    next: {default: "end"}
  end:
    type: "webhook"
    params: {url: "https://webhook.example.com/callback", method: "POST"}
"""


@pytest.fixture(scope="module")
def env() -> Iterator[Environment]:
    """The environment of a running engine."""
    sandbox = Sandbox()
    yield environment(Registry(()), sandbox)
    sandbox.close()


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "broken"])
def test_flows_of_the_page_load(name: str, env: Environment) -> None:
    """Each flow of the page is valid and gives no warning."""
    assert load_flow(FLOWS[name], env).warnings == ()


def test_messages_of_the_page(env: Environment) -> None:
    """The broken flow is told what the page says it is told."""
    with pytest.raises(InvalidFlow) as caught:
        load_flow(FLOWS["broken"], env)
    shown = next(text for kind, text in BLOCKS if kind == "text")
    assert [str(problem) for problem in caught.value.problems] == shown.splitlines()


def test_the_page_names_every_field_and_event() -> None:
    """A field that is added to the language is added to its page."""
    schema = flow_json_schema()
    names = {*schema["properties"], *EVENTS}
    for model in (
        "NodeDocument",
        "Metadata",
        "RetryDocument",
        "ForeachDocument",
        "WebhookTrigger",
        "ScheduleTrigger",
        "WebhookDocument",
    ):
        names |= set(schema["$defs"][model]["properties"])
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", PAGE)] == []


def test_the_original_example_loads(env: Environment) -> None:
    """The flow that the language was first described by loads unchanged."""
    assert list(load_flow(ORIGINAL, env).flow.nodes) == ["start", "process", "handleError", "end"]
