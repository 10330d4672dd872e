"""Agents through the whole engine, against a scripted model server: how conversations end, and what they leave."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId
from flowrunner.engine.records import Attempt
from flowrunner.language.errors import InvalidFlow

from tests.engine.agent_talks import ADD, PAY, TALKS, Talk, calls
from tests.engine.cloud import Cloud
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


def child_of(one: Bench | Cloud, run: RunId) -> str:
    """The run that the last waiting step of a run waits for."""
    waits = [step.wait.child for step in one.steps(run) if step.wait is not None and step.wait.child]
    assert waits[-1] is not None
    return waits[-1]


def decide(one: Bench | Cloud, run: RunId, answer: dict[str, Json]) -> Attempt:
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


def test_each_call_is_a_step_with_its_own_record() -> None:
    """The agent's run has a step for each call of the model and an item for each call of a tool."""
    script = [calls(Calls("add", {"numbers": [1, 1]}), Calls("nothing")), Says("2")]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"]) as one:
        run = one.start(agent(server, [ADD]))
        one.work()
        steps = {step.label: step for step in children(one, run)}
        assert {"think", "act", "act[0]", "act[1]", "think.2"} == steps.keys()
        loop = RunId(child_of(one, run))
        assert one.output(loop, "act[0]") == {"ok": True, "result": 2}
        assert one.output(loop, "act[1]")["error"]["code"] == "UNKNOWN_TOOL"
        assert one.output(loop, "think")["calls"][0]["arguments"] == {"numbers": [1, 1]}


def test_what_is_fixed_the_model_neither_sees_nor_chooses() -> None:
    """A fixed argument is not offered, and wins over one that the model makes up."""
    tool = {
        "name": "whose",
        "parameters": {
            "type": "object",
            "required": ["who", "what"],
            "properties": {"who": {"type": "string"}, "what": {"type": "string"}},
        },
        "script": "return `${args.what} of ${args.who}`",
    }
    script = [calls(Calls("whose", {"what": "orders", "who": "Eve"})), Says("ok")]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"]) as one:
        one.run(agent(server, [tool], fixed={"whose": {"who": "Ada"}}))
        offered = server.asked[0]["tools"][0]["function"]["parameters"]
        assert (list(offered["properties"]), offered["required"]) == (["what"], ["what"])
        assert tool_texts(server) == ["orders of Ada"]


def test_a_flow_is_offered_as_it_describes_itself() -> None:
    """A tool that is a stored flow has the flow's description and inputs; bad input is told to the model."""
    script = [calls(Calls("double", {"y": 1})), Says("ok")]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"]) as one:
        one.engine.save_flow(ACCOUNT, DOUBLE)
        one.run(agent(server, [{"name": "double", "flow": "double"}]))
        function = server.asked[0]["tools"][0]["function"]
        assert (function["description"], function["parameters"]["required"]) == ("Doubles a number.", ["x"])
        assert "INPUT_INVALID" in tool_texts(server)[0]


def test_secrets_of_a_tool_stay_in_its_own_run() -> None:
    """A tool reads a secret by an expression; neither the model nor any stored record sees its value."""
    tool = {"name": "sign", "node": {"type": "transform", "params": {"value": {"n": "${secrets.PIN.length}"}}}}
    script = [calls(Calls("sign")), Says("ok")]
    with (
        ModelServer(script, key="sk-1") as server,
        bench(allow=["127.0.0.1"], secrets={"PIN": "correct-horse", "KEY": "sk-1"}) as one,
    ):
        run = one.start(agent(server, [tool], api_key="${secrets.KEY}"))
        one.work()
        assert one.result(run).status == "completed"
        assert tool_texts(server) == ['{"n":13}']
        assert "correct-horse" not in json.dumps(server.asked)
        assert "sk-1" not in repr(children(one, run))


def test_a_conversation_goes_on_in_the_next_run() -> None:
    """With `memory` the second agent is shown what the first one said, results of tools included."""
    script = [calls(Calls("add", {"numbers": [1]})), Says("It is 1."), Says("As I said.")]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"]) as one:
        one.run(agent(server, [ADD], memory="ada"))
        one.run(agent(server, [ADD], memory="ada", prompt="Again?"))
        roles = [message["role"] for message in server.asked[-1]["messages"]]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]
        assert server.asked[-1]["messages"][-2]["content"] == "It is 1."


def test_a_long_conversation_is_summed_up() -> None:
    """Beyond `context_tokens` the older part becomes a summary by the model; results stay with their calls."""
    long = {"name": "long", "script": "return 'x'.repeat(1500)"}
    wanted = [calls(Calls("long")) for _ in range(3)]
    script = [*wanted[:2], Says("Two results so far."), Says("done")]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"]) as one:
        run = one.start(agent(server, [long], context_tokens=700, prompt="Count."))
        one.work()
        assert one.result(run).status == "completed"
        summing, last = server.asked[2]["messages"], server.asked[3]["messages"]
        assert "Sum up the conversation" in summing[0]["content"]
        assert [message["role"] for message in last] == ["user", "assistant", "tool"]
        assert last[0]["content"].endswith("Two results so far.")
        output: Any = one.output(run, "agent")
        assert (output["turns"], output["usage"]["total_tokens"]) == (3, 4 * 12)


def test_a_long_result_is_cut_off() -> None:
    """The model is shown as much of a result as it may be, and that there was more."""
    long = {"name": "long", "script": "return 'x'.repeat(1500)"}
    with ModelServer([calls(Calls("long")), Says("ok")]) as server, bench(allow=["127.0.0.1"]) as one:
        one.run(agent(server, [long], result_characters=100))
        assert tool_texts(server) == ["x" * 100 + "\n[cut off: 1,500 characters in all]"]


def test_cancelling_reaches_the_calls_of_tools() -> None:
    """A cancelled run cancels its agent, and that the call that waits for a person."""
    with ModelServer([calls(Calls("pay", {"amount": 1}))]) as server, bench(allow=["127.0.0.1"]) as one:
        run = one.start(agent(server, [PAY]))
        one.work(until=one.clock.now() + 1)
        loop = RunId(child_of(one, run))
        call = RunId(child_of(one, loop))
        asking = next(step for step in one.steps(call) if step.node == "ask")
        assert asking.wait is not None
        assert asking.wait.until == one.clock.now() + 3_600_000
        assert asking.wait.data["message"] == "Pay 1?"
        assert asking.wait.data["data"] == {"tool": "pay", "arguments": {"amount": 1}}
        one.engine.control.cancel(ACCOUNT, run)
        one.work()
        assert [one.result(RunId(each)).status for each in (run, loop, call)] == ["cancelled"] * 3


def test_a_time_limit_ends_an_agent_that_waits() -> None:
    """`time_limit` counts the time in which a person is waited for."""
    with ModelServer([calls(Calls("pay", {"amount": 1}))]) as server, bench(allow=["127.0.0.1"]) as one:
        result = one.run(agent(server, [PAY], time_limit="5m"))
        assert result.error is not None
        assert result.error["code"] == "RUN_TIMEOUT"


def test_a_tool_reaches_no_more_than_its_agent() -> None:
    """The allow-lists of flow and node hold for the model, and for each call of a tool."""
    fetch = {"name": "fetch", "http": {"url": "http://elsewhere.example/x"}}
    with ModelServer([calls(Calls("fetch")), Says("ok")]) as server, bench(allow=["127.0.0.1"]) as one:
        flow = json.loads(agent(server, [fetch]))
        flow["egress"] = {"allow": ["127.0.0.1", "elsewhere.example"]}
        flow["nodes"]["agent"]["egress"] = {"allow": ["127.0.0.1"]}
        assert one.run(json.dumps(flow)).status == "completed"
        assert "EGRESS_DENIED" in tool_texts(server)[0]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"tools": [{"name": "a"}]}, "exactly one of"),
        ({"tools": [ADD, ADD]}, "two tools are called 'add'"),
        ({"tools": [{"name": "a b", "script": "1"}]}, "name"),
        ({"tools": [{"name": "a", "script": "1", "revision": 1}]}, "`revision` goes with `flow`"),
        ({"tools": [{"name": "a", "script": "1", "result": 1}]}, "`result` is for"),
        ({"tools": [{"name": "a", "store": {"key": "${input.a}"}, "stroe": 1}]}, "stroe"),
        ({"max_cost_usd": 1}, "`max_cost_usd` needs `prices`"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "exactly one of `prompt` and `messages`"),
        ({"fixed": {"b": {}}}, "`fixed` is for a tool 'b'"),
        ({"mcp": [{"name": "s"}]}, "exactly one of `url` and `command`"),
        ({"mcp": [{"name": "s", "url": "https://a.example", "env": {"A": "b"}}]}, "`env` goes with"),
        ({"mcp": [{"name": "s", "command": ["a"], "headers": {"A": "b"}}]}, "`headers` go with"),
        ({"mcp": [{"name": "s", "command": ["a"]}, {"name": "s", "command": ["b"]}]}, "the same name"),
        ({"provider_params": {"tools": []}}, "the agent's own"),
    ],
)
def test_what_is_wrong_with_an_agent_is_told_when_it_is_saved(params: dict[str, Any], says: str) -> None:
    """Each mistake is found before anything runs."""
    with ModelServer() as server, bench() as one, pytest.raises(InvalidFlow, match=re.escape(says)):
        one.engine.save_flow(ACCOUNT, agent(server, **params))
