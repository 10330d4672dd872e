"""Flows as tools of AI assistants, asked for by the protocol's own client over a real socket."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from flowrunner.api.mcp_tools import LONGEST_TEXT
from flowrunner.core.ids import FlowId
from flowrunner.services.flow_records import FlowRecord, FlowStatus
from flowrunner.services.flow_tools import tool_names, tool_schema
from flowrunner.services.identity import Role
from flowrunner.settings import McpSettings
from jsonschema import Draft202012Validator
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, CallToolResult, ResourceLink, TextContent, TextResourceContents
from mcp.types.version import SUPPORTED_PROTOCOL_VERSIONS

from tests.api.live_server import LiveServer, eventually, live_server
from tests.engine.talking import PATIENCE

GREET = """
metadata: {name: greet, description: Greets somebody}
inputs: {type: object, properties: {name: {type: string}}, required: [name]}
nodes: {hi: {type: transform, params: {value: "hi ${input.name}"}}}
outputs: {text: "${nodes.hi.output}"}
"""
TALK = """
metadata: {name: talks a lot, description: Says a line and waits}
nodes:
  a: {type: transform, params: {value: 1}, next: b}
  b: {type: talk, params: {lines: [one]}, next: c}
  c: {type: transform, params: {value: [1, 2]}}
"""
BREAKS = """
metadata: {name: breaks, description: Fails}
nodes: {bad: {type: script, params: {source: "throw new Error('no luck')"}}}
"""
SILENT = "metadata: {name: silent}\nnodes: {a: {type: transform, params: {value: 1}}}\n"
LIST = """
metadata: {name: doubles, description: Takes a list}
inputs: {type: array, items: {type: number}}
nodes: {a: {type: transform, params: {value: "${input.map(x => x * 2)}"}}}
"""
ERAS = ("auto", "legacy")


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """A server whose calls wait for a long time, with the flows above."""
    with live_server() as made:
        for text in (GREET, TALK, BREAKS, SILENT, LIST):
            made.api.flow(text)
        yield made


@asynccontextmanager
async def client(server: LiveServer, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    """The protocol's own client, with a token; `auto` speaks the newest revision, `legacy` the one before."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=120) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as made:
            yield made


def scoped(server: LiveServer, *scopes: str) -> str:
    """A new token of the owner with these scopes."""
    made = server.api.call("POST", "/v1/tokens", json={"name": "assistant", "scopes": list(scopes)})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def using(server: LiveServer, act: Callable[[Client], Awaitable[Any]], mode: str = "auto", token: str = "") -> Any:
    """Do something with a client whose token has the scope `mcp:use` and no other."""

    async def main() -> Any:
        async with client(server, token or scoped(server, "mcp:use"), mode) as made:
            return await act(made)

    return anyio.run(main)


def text_of(result: CallToolResult) -> str:
    """What a model reads first."""
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


def newest(server: LiveServer) -> dict[str, Any]:
    """The run that was started last."""
    found: dict[str, Any] = server.api.call("GET", "/v1/runs?limit=1").json()["items"][0]
    return found


@pytest.fixture
def impatient(server: LiveServer) -> Iterator[None]:
    """Calls wait for no run's end."""
    settings = server.api.platform.settings
    server.api.platform.settings = settings.model_copy(update={"mcp": McpSettings(wait=0)})
    yield
    server.api.platform.settings = settings


@pytest.mark.parametrize("mode", ERAS)
def test_flows_are_tools(server: LiveServer, mode: str) -> None:
    """Active flows with a description are listed with their schema, called, and answer with their output."""

    async def act(mcp: Client) -> None:
        tools = {tool.name: tool for tool in (await mcp.list_tools()).tools}
        assert set(tools) == {
            *("breaks", "doubles", "greet", "talks_a_lot"), "flowrunner_get_run", "flowrunner_cancel_run",
        }  # fmt: skip
        assert tools["greet"].description == "Greets somebody"
        assert tools["greet"].input_schema["required"] == ["name"]
        assert tools["talks_a_lot"].title == "talks a lot"
        said = await mcp.call_tool("greet", {"name": "Ada"})
        assert said.structured_content == {"text": "hi Ada"}
        assert json.loads(text_of(said)) == {"text": "hi Ada"}
        assert text_of(await mcp.call_tool("doubles", {"input": [1, 2]})) == '{"a":[2,4]}'

    using(server, act, mode)


def test_what_is_not_offered_is_no_tool(server: LiveServer) -> None:
    """A flow without a description, an archived one, and a name that nothing has."""
    archived = server.api.flow(GREET.replace("name: greet,", "name: gone,"))
    assert server.api.call("POST", f"/v1/flows/{archived['id']}/archive").status_code == 200

    async def act(mcp: Client) -> None:
        for name in ("silent", "gone", "nothing"):
            with pytest.raises(MCPError, match=r"Unknown tool.*" + name) as caught:
                await mcp.call_tool(name, {"name": "Ada"})
            assert caught.value.code == INVALID_PARAMS

    using(server, act)


@pytest.mark.parametrize("mode", ERAS)
def test_a_model_reads_what_went_wrong(server: LiveServer, mode: str) -> None:
    """Bad arguments and failed runs are results, with the reason in words."""

    async def act(mcp: Client) -> None:
        refused = await mcp.call_tool("greet", {"name": 7})
        assert refused.is_error
        assert "input.name" in text_of(refused)
        failed = await mcp.call_tool("breaks", {})
        assert failed.is_error
        assert "no luck" in text_of(failed)
        assert failed.structured_content["error"]["node"] == "bad"

    using(server, act, mode)


@pytest.mark.parametrize("mode", ERAS)
def test_a_long_run_is_asked_for(server: LiveServer, mode: str, impatient: None) -> None:
    """When the wait is over the answer names the run; it is looked at as a tool and as a resource, and stopped."""

    async def act(mcp: Client) -> None:
        begun = await mcp.call_tool("talks_a_lot", {})
        assert not begun.is_error
        run = begun.structured_content["run_id"]
        link = begun.content[1]
        assert isinstance(link, ResourceLink)
        await anyio.to_thread.run_sync(lambda: server.talk.said.acquire(timeout=PATIENCE))
        content = (await mcp.read_resource(str(link.uri))).contents[0]
        assert isinstance(content, TextResourceContents)
        shown = json.loads(content.text)
        assert (shown["run_id"], shown["status"], shown["current_nodes"]) == (run, "running", ["b"])
        looked = await mcp.call_tool("flowrunner_get_run", {"run_id": run})
        assert looked.structured_content == {key: value for key, value in shown.items() if key != "output"}
        stopped = await mcp.call_tool("flowrunner_cancel_run", {"run_id": run})
        assert stopped.structured_content["status"] == "cancelled"
        again = await mcp.call_tool("flowrunner_cancel_run", {"run_id": run})
        assert again.is_error
        server.talk.go.release()

    using(server, act, mode)


@pytest.mark.parametrize("mode", ERAS)
def test_progress_is_told(server: LiveServer, mode: str) -> None:
    """While a call waits its client hears how far the run is, never less than before."""
    told: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)
        assert total == 100
        if len(told) == 1:
            server.talk.go.release()

    async def act(mcp: Client) -> None:
        said = await mcp.call_tool("talks_a_lot", {}, progress_callback=hear)
        assert text_of(said) == '{"c":[1,2]}'

    using(server, act, mode)
    assert server.talk.said.acquire(timeout=PATIENCE)
    assert told
    assert told == sorted(set(told))


@pytest.mark.parametrize("mode", ERAS)
def test_a_client_that_gives_up_cancels_the_run(server: LiveServer, mode: str) -> None:
    """By a notification in the older revisions, by closing the connection in the newer one."""

    async def act(mcp: Client) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mcp.call_tool, "talks_a_lot", {})
            await anyio.to_thread.run_sync(lambda: server.talk.said.acquire(timeout=PATIENCE))
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(lambda: eventually(lambda: newest(server)["status"] == "cancelled"))

    using(server, act, mode)
    server.talk.go.release()


def test_a_token_sees_only_the_runs_that_it_has_started(server: LiveServer) -> None:
    """Other runs of the account are not there for it, unless it may read runs; other accounts' never are."""
    run = server.api.start(server.api.call("GET", "/v1/flows?q=breaks").json()["items"][0]["id"])

    async def blind(mcp: Client) -> None:
        for tool in ("flowrunner_get_run", "flowrunner_cancel_run"):
            answer = await mcp.call_tool(tool, {"run_id": run})
            assert answer.is_error
            assert "NOT_FOUND" in text_of(answer)
        with pytest.raises(MCPError, match="no such run"):
            await mcp.read_resource(f"flowrunner://runs/{run}")

    async def sees(mcp: Client) -> None:
        assert "no luck" in text_of(await mcp.call_tool("flowrunner_get_run", {"run_id": run}))
        assert "NOT_FOUND" in text_of(await mcp.call_tool("flowrunner_cancel_run", {"run_id": run}))

    using(server, blind)
    using(server, sees, token=scoped(server, "mcp:use", "runs:read"))
    using(server, blind, token=server.token(Role.OWNER, "other"))


def test_the_address_refuses_what_is_no_message(server: LiveServer) -> None:
    """Streams and sessions there are none; another page's requests, bodies that are no JSON and strangers get nothing."""
    url, headers = f"{server.url}/mcp", server.headers({"Accept": "application/json, text/event-stream"}, Role.OWNER)
    for method in ("GET", "DELETE"):
        answer = httpx2.request(method, url, headers=headers, timeout=PATIENCE)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    answer = httpx2.post(url, headers={**headers, "Origin": "https://elsewhere.example"}, json={}, timeout=PATIENCE)
    assert answer.status_code == 403
    answer = httpx2.post(
        url, headers={**headers, "Content-Type": "application/json"}, content='{"a": 1, "a": 2}', timeout=PATIENCE
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)
    assert httpx2.post(url, json={}, timeout=PATIENCE).status_code == 401
    assert httpx2.post(url, headers=server.headers(role=Role.VIEWER), json={}, timeout=PATIENCE).status_code == 403


def test_tools_come_in_pages(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that follows the cursors has them all, each once."""
    monkeypatch.setattr("flowrunner.api.mcp_tools.PAGE", 2)

    async def act(mcp: Client) -> list[str]:
        first = await mcp.list_tools()
        names = [tool.name for tool in first.tools]
        cursor = first.next_cursor
        while cursor:
            page = await mcp.list_tools(cursor=cursor)
            assert len(page.tools) <= 2
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
        return names

    names = using(server, act)
    assert len(names) == len(set(names)) == 6


def test_a_server_that_cannot_stream_answers_in_one_piece() -> None:
    """As on Lambda: JSON alone, and the result is the same."""
    with live_server({"live": {"delivery": "poll"}}) as made:
        made.api.flow(GREET)
        for mode in ERAS:
            said = using(made, lambda mcp: mcp.call_tool("greet", {"name": "Ada"}), mode)
            assert said.structured_content == {"text": "hi Ada"}


def test_resources_are_runs(server: LiveServer) -> None:
    """There is a template for them and no list; another address, or nonsense as a run's id, is told so."""

    async def act(mcp: Client) -> None:
        assert (await mcp.list_resources()).resources == []
        (template,) = (await mcp.list_resource_templates()).resource_templates
        assert template.uri_template == "flowrunner://runs/{run_id}"
        with pytest.raises(MCPError, match="no such resource"):
            await mcp.read_resource("flowrunner://flows/greet")
        for arguments, said in (
            ({"run_id": 7}, "run_id is the text"),
            ({"run_id": "x", "wait_seconds": -1}, "wait_seconds is a number"),
        ):
            refused = await mcp.call_tool("flowrunner_get_run", arguments)
            assert refused.is_error
            assert said in text_of(refused)

    using(server, act)


def test_a_long_output_is_cut_off(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a word on where the rest is."""
    monkeypatch.setattr("flowrunner.api.mcp_tools.LONGEST_TEXT", 10)
    said = using(server, lambda mcp: mcp.call_tool("greet", {"name": "Ada"}))
    assert text_of(said).startswith('{"text":"h\n… 7 more characters: GET /v1/runs/')
    assert said.structured_content is None


def test_the_page_tells_the_truth(server: LiveServer) -> None:
    """The flow of docs/mcp.md is a tool and answers; its figures are those of the code."""
    page = (Path(__file__).resolve().parents[2] / "docs/mcp.md").read_text("utf-8")
    (flow,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    stored = server.api.flow(flow)
    said = using(server, lambda mcp: mcp.call_tool("order_status", {"order_id": "A-17"}))
    assert said.structured_content == {"status": "A-17 is on its way"}
    server.api.call("DELETE", f"/v1/flows/{stored['id']}?force=true")
    assert f"`mcp.wait` ({McpSettings().wait // 1000} s" in page
    assert f"more than {LONGEST_TEXT:,} characters" in page
    for version in (SUPPORTED_PROTOCOL_VERSIONS[0], SUPPORTED_PROTOCOL_VERSIONS[-1]):
        assert version in page


def test_names_are_those_of_the_flows() -> None:
    """With `_` for what models do not take; what is taken already gets a part of its flow's id."""

    def record(name: str, at: int) -> FlowRecord:
        return FlowRecord(FlowId(f"id {name}"), name, FlowStatus.ACTIVE, 1, "d", created_at=at)

    records = [record(name, at) for at, name in enumerate(["a b", "a.b", "a_b", "x.y", "flowrunner.get_run", "l" * 80])]
    names = {found.name: tool for tool, found in tool_names(records).items()}
    assert names["a_b"] == "a_b"
    assert names["x.y"] == "x_y"
    assert names["a b"].startswith("a_b_")
    assert names["a.b"].startswith("a_b_")
    assert names["flowrunner.get_run"].startswith("flowrunner_get_run_")
    assert all(len(name) <= 64 for name in names.values())
    assert len(set(names.values())) == len(records)


@pytest.mark.parametrize(
    ("inputs", "schema", "wrapped"),
    [
        (None, {"type": "object"}, False),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}}, False),
        ({"properties": {"a": True}}, {"type": "object", "properties": {"a": True}}, False),
    ],
)
def test_schemas_are_those_of_the_inputs(inputs: Any, schema: Any, wrapped: bool) -> None:
    """An object as it is."""
    assert tool_schema(inputs) == (schema, wrapped)


@pytest.mark.parametrize("inputs", [{"type": "string"}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}])
def test_an_input_that_is_no_object_is_an_argument(inputs: Any) -> None:
    """Its own references still lead where they led."""
    schema, wrapped = tool_schema(inputs)
    assert wrapped
    assert Draft202012Validator(schema).is_valid({"input": "text"})
    assert not Draft202012Validator(schema).is_valid({"input": 7})
    assert not Draft202012Validator(schema).is_valid({})
