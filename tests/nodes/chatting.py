"""A way from the node llm.chat to a model server of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import StepError
from flowrunner.nodes.base import Result
from flowrunner.nodes.llm_chat import LlmChatNode

from tests.model_server import ModelServer
from tests.nodes.context import FakeContext, context

NODE = LlmChatNode()
KEY = "sk-test-1234567890"
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


@dataclass
class Chat:
    """A node's way to a model server."""

    client: GuardedClient
    base: dict[str, Any] = field(default_factory=lambda: {"model": "m", "prompt": "Hi", "api_key": KEY})

    def context(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> FakeContext[Any]:
        base = {
            name: value for name, value in self.base.items() if name != "prompt" or "messages" not in (params or {})
        }
        merged = {**base, "base_url": server.base_url, **(params or {})}
        return context(NODE, merged, **{"http": self.client, **given})

    def result(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> Result:
        found = NODE.execute(self.context(server, params, **given))
        assert isinstance(found, Result)
        return found

    def output(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> Any:
        return self.result(server, params, **given).output

    def error(self, server: ModelServer, params: dict[str, Any] | None = None, **given: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            self.result(server, params, **given)
        return caught.value


def flow(server: ModelServer | None, more: str = "", url: str | None = None, prompt: str = "Hi") -> str:
    base = url or (server.base_url if server is not None else "")
    return f"""
metadata: {{name: asks}}
nodes:
  ask:
    type: llm.chat
    params: {{model: m, prompt: {json.dumps(prompt)}, base_url: "{base}", stream: true}}
    next: after
{more}
  after:
    type: transform
    params: {{mapping: {{said: "${{nodes.ask.output.text}}"}}}}
"""
