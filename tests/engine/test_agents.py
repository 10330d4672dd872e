"""Agents through the whole engine, against a scripted model server: how conversations end, and what they leave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId
from flowrunner.engine.records import Attempt

from tests.engine.agent_talks import ADD, KEEP, PAY, TALKS, Talk, calls
from tests.engine.harness import ACCOUNT, Bench, bench
from tests.model_server import Calls, ModelServer, Says

DOUBLE = """
metadata: {name: double, description: Doubles a number.}
inputs: {type: object, required: [x], properties: {x: {type: number}}}
outputs: {twice: "${nodes.twice.output}"}
nodes: {twice: {type: transform, params: {value: "${input.x * 2}"}}}
"""


def agent(server: ModelServer, tools: Any = (), **params: Any) -> str:
    """A flow of one agent."""
    given = {"model": "m", "base_url": server.base_url, "prompt": "Go.", "tools": list(tools), **params}
    return json.dumps({"metadata": {"name": "talk"}, "nodes": {"agent": {"type": "ai.agent", "params": given}}})


def tool_texts(server: ModelServer) -> list[str]:
    """What the model was told by results of tools, when it was asked the last time."""
    return [one["content"] for one in server.asked[-1]["messages"] if one["role"] == "tool"]


def children(one: Bench, run: RunId) -> list[Attempt]:
    """The steps of the run that the agent is."""
    return one.steps(RunId(child_of(one, run)))


def child_of(one: Bench, run: RunId) -> str:
    """The run that the last waiting step of a run waits for."""
    waits = [step.wait.child for step in one.steps(run) if step.wait is not None and step.wait.child]
    assert waits[-1] is not None
    return waits[-1]


def decide(one: Bench, run: RunId, answer: dict[str, Json]) -> Attempt:
    """Answer the approval that a call of the agent waits for; returns the step that asked."""
    call = child_of(one, RunId(child_of(one, run)))
    asking = next(step for step in one.steps(RunId(call)) if step.node == "ask")
    one.engine.control.signal(ACCOUNT, RunId(call), asking.step, answer)
    return asking


@pytest.mark.parametrize("name", TALKS)
def test_conversations_end_as_written_down(name: str) -> None:
    """Each conversation of the table ends with its answer or error, after what the model was told."""
    talk = TALKS[name]
    with ModelServer(talk.script) as server, bench(allow=["127.0.0.1"]) as one:
        one.engine.save_flow(ACCOUNT, DOUBLE)
        run = one.start(agent(server, talk.tools, **talk.params))
        if talk.decides is not None:
            one.work(until=one.clock.now() + 1)
            assert one.result(run).status == "waiting"
            decide(one, run, talk.decides)
        one.work()
        _check(talk, server, one, run)


def _check(talk: Talk, server: ModelServer, one: Bench, run: RunId) -> None:
    result = one.result(run)
    told = tool_texts(server) if server.asked else []
    assert len(told) == len(talk.told)
    assert all(part in text for part, text in zip(talk.told, told, strict=True)), told
    if talk.error is not None:
        assert result.error is not None
        assert (result.status, result.error["code"]) == ("failed", talk.error)
    else:
        assert (result.status, result.error) == ("completed", None)
        output: Any = one.output(run, "agent")
        assert output["text"] == talk.text
        assert {key: output[key] for key in talk.output} == talk.output
        assert output["run_id"] == child_of(one, run)
    assert talk.asked is None or len(server.asked) == talk.asked
