"""Agents with tools of real MCP servers, over streamable HTTP and as programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.core.ids import RunId
from flowrunner.engine.program import compile_program
from flowrunner.errors import NodeTimeout
from flowrunner.nodes.agent_flow import asking_document, loop_document
from flowrunner.nodes.agent_params import AiAgentParams, Asking, McpServer
from flowrunner.nodes.mcp_client import list_tools

from tests.engine.agent_talks import calls
from tests.engine.harness import bench
from tests.engine.mcp_program import BEARER, serving_tools
from tests.engine.test_agents import agent, child_of, decide, tool_texts
from tests.model_server import Calls, ModelServer, Says
from tests.nodes.context import FakeContext

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"TOKEN": BEARER}
TALK = [
    calls(Calls("weather__warmth", {"city": "Oslo"}), Calls("weather__echo", {"text": "hi"})),
    calls(Calls("weather__fail"), Calls("weather__warmth", {})),
    Says("It is warm."),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server."""
    with serving_tools(json_response=True) as found:
        yield found


def over_http(url: str, more: dict[str, Json] | None = None) -> dict[str, Json]:
    return {"name": "weather", "url": url, "headers": {"Authorization": "${secrets.TOKEN}"}} | (more or {})


def program() -> dict[str, Json]:
    command = [sys.executable, "-m", "tests.engine.mcp_program"]
    return {"name": "weather", "command": command, "env": {"PYTHONPATH": str(ROOT)}, "timeout": "4m"}


def check_talk(server: ModelServer) -> None:
    """The conversation of `TALK` was as it should be."""
    warm, echo, failed, missing = tool_texts(server)
    assert (warm, echo) == ('{"city":"Oslo","celsius":21}', "hihi")
    assert "no weather today" in failed
    assert "TOOL_FAILED" in missing
    offered = {one["function"]["name"]: one["function"] for one in server.asked[0]["tools"]}
    assert offered.keys() == {"weather__warmth", "weather__echo", "weather__fail"}
    assert offered["weather__warmth"]["description"] == "How warm it is."
    assert offered["weather__warmth"]["parameters"]["required"] == ["city"]


@pytest.mark.parametrize("json_response", [True, False], ids=["json", "events"])
def test_tools_of_a_server_over_http(json_response: bool) -> None:
    """They are found, called, and their failures told to the model; the credential is a secret of the account."""
    with (
        serving_tools(json_response=json_response) as url,
        ModelServer(TALK) as server,
        bench(allow=["127.0.0.1"], secrets=SECRETS) as one,
    ):
        run = one.start(agent(server, mcp=[over_http(url)]))
        one.work()
        assert (one.result(run).status, one.result(run).error) == ("completed", None)
        check_talk(server)
        assert BEARER not in repr(one.steps(RunId(child_of(one, run))))


def test_tools_of_a_program() -> None:
    """Where the settings allow it, a server is a program that is started for the exchange."""
    script = [calls(Calls("weather__echo", {"text": "a"})), Says("ok")]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"], programs_allowed=True) as one:
        result = one.run(agent(server, mcp=[program()]))
        assert (result.status, result.error) == ("completed", None)
        assert tool_texts(server) == ["aa"]


def test_programs_are_started_only_where_that_is_allowed() -> None:
    """Whoever runs the server has to say so: the agent fails before any model is asked."""
    with ModelServer() as server, bench(allow=["127.0.0.1"]) as one:
        result = one.run(agent(server, mcp=[program()]))
        assert result.error is not None
        assert result.error["code"] == "PROGRAMS_NOT_ALLOWED"
        assert server.asked == []


def test_only_chosen_tools_are_offered_and_a_person_may_decide(url: str) -> None:
    """`tools` narrows what there is; with `approval` a call waits, and goes out when it was approved."""
    script = [calls(Calls("weather__echo", {"text": "a"})), Says("ok")]
    mcp = [over_http(url, {"tools": ["echo"], "approval": True})]
    with ModelServer(script) as server, bench(allow=["127.0.0.1"], secrets=SECRETS) as one:
        run = one.start(agent(server, mcp=mcp))
        one.work(until=one.clock.now() + 1)
        asking = decide(one, run, {"approved": True})
        one.work()
        assert asking.wait is not None
        assert asking.wait.data["data"] == {"tool": "weather__echo", "arguments": {"text": "a"}}
        assert (one.result(run).status, tool_texts(server)) == ("completed", ["aa"])
        assert [tool["function"]["name"] for tool in server.asked[0]["tools"]] == ["weather__echo"]


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ({"headers": {}}, "MCP_SERVER", "status 401"),
        ({"tools": ["gone"]}, "MCP_SERVER", "has no tool 'gone'"),
        ({"url": "http://127.0.0.1:9/mcp"}, "HttpConnect", "127.0.0.1"),
        ({"url": "http://169.254.169.254/mcp"}, "EGRESS_DENIED", "169.254.169.254"),
    ],
)
def test_a_server_that_cannot_be_used_fails_the_agent(url: str, more: dict[str, Any], code: str, says: str) -> None:
    """At the beginning nobody knows the tools, so there is nothing to tell the model."""
    with ModelServer() as server, bench(allow=["127.0.0.1"], secrets=SECRETS) as one:
        result = one.run(agent(server, mcp=[over_http(url, more)], attempts=1))
        assert result.error is not None
        assert result.error["code"] == code
        assert says in result.error["message"]


def test_a_program_that_does_not_answer_is_given_up() -> None:
    """A program that is no server ends with the time limit of its exchange."""
    silent = {"name": "silent", "command": [sys.executable, "-c", "import sys; sys.stdin.read()"], "timeout": "1s"}
    with ModelServer() as server, bench(programs_allowed=True) as one:
        result = one.run(agent(server, mcp=[silent], attempts=1))
        assert result.error is not None
        assert result.error["code"] == "NodeTimeout"


def test_a_server_that_is_gone_later_is_told_to_the_model() -> None:
    """Once the tools are known, a call that cannot be made is a result like another."""
    with ExitStack() as stack:
        url = stack.enter_context(serving_tools(json_response=True))

        def leave(_body: Any) -> Says:
            stack.close()
            return calls(Calls("weather__echo", {"text": "a"}))

        with ModelServer([leave, Says("sorry")]) as server, bench(allow=["127.0.0.1"], secrets=SECRETS) as one:
            assert one.run(agent(server, mcp=[over_http(url)])).status == "completed"
            assert "HttpConnect" in tool_texts(server)[0]


def test_two_tools_of_one_name_are_refused(url: str) -> None:
    """A server's tool cannot take the place of the agent's own."""
    own = {"name": "weather__echo", "script": "return 1"}
    with ModelServer() as server, bench(allow=["127.0.0.1"], secrets=SECRETS) as one:
        result = one.run(agent(server, [own], mcp=[over_http(url)], attempts=1))
        assert result.error is not None
        assert "two tools would be called 'weather__echo'" in result.error["message"]


def test_an_exchange_of_a_cancelled_step_is_given_up() -> None:
    """Nobody waits for a server on behalf of a run that is over."""
    silent = McpServer(name="silent", command=[sys.executable, "-c", "import sys; sys.stdin.read()"])
    given = FakeContext[Any](params=None, programs_allowed=True, is_cancelled=True)
    with pytest.raises(NodeTimeout, match="given up"):
        list_tools(given, silent)


def test_an_installation_without_the_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is left out, the agent fails with a hint, and no model is asked."""
    monkeypatch.setitem(sys.modules, "flowrunner.nodes.mcp_client", None)
    with ModelServer() as server, bench() as one:
        result = one.run(agent(server, mcp=[{"name": "weather", "url": "http://127.0.0.1:9/mcp"}]))
        assert result.error is not None
        assert result.error["code"] == "NotInstalled"
        assert server.asked == []


@pytest.mark.parametrize("served", [True, False])
def test_what_talks_to_servers_and_models_is_executed_where_their_packages_are(served: bool) -> None:
    """On AWS only slow steps have them: however short a time limit is, an exchange is one, and a script is not."""
    params = {"model": "m", "prompt": "Go.", "memory": "k", "timeout": "1s"}
    mcp = [{"name": "weather", "url": "http://a.example", "timeout": "1s", "approval": True}]
    agent_params = AiAgentParams.model_validate({**params, "mcp": mcp if served else []})
    documents = {"loop": loop_document("a", agent_params, [], [])}
    if served:
        tool = {"name": "weather__a", "server": "weather", "tool": "a"}
        documents["ask"] = asking_document("weather__a", Asking(), None, (agent_params.mcp[0], tool), [])
    with bench() as one:
        slow = {
            node.node.id
            for document in documents.values()
            for node in compile_program(
                one.engine.load(json.dumps(document)).flow, one.engine.parts.registry
            ).nodes.values()
            if node.slow
        }
    assert slow == ({"begin", "think", "condense", "act", "call"} if served else {"think", "condense"})
