"""Where a package is left out for its size, as on AWS, its node types say so, and nothing else is different."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes import mcp_servers, wasm
from flowrunner.nodes.agent_params import McpServer
from flowrunner.nodes.registry import Registry

from tests.api.harness import service
from tests.nodes.context import context


@pytest.mark.parametrize(
    ("name", "params", "missing"),
    [
        ("wasm", {"module": "m"}, "wasmtime"),
        ("postgres.query", {"server": {"host": "h", "user": "u"}, "sql": "SELECT 1"}, "psycopg"),
        ("aws.s3", {"op": "list", "bucket": "shop", "region": "eu-west-1"}, "botocore"),
    ],
)
def test_a_node_type_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, name: str, params: dict[str, Json], missing: str
) -> None:
    """By a code of its own, and without a word about modules."""
    if name == "aws.s3":
        params = {**params, "credentials": {"access_key_id": "a", "secret_access_key": "b"}}
    for module in [one for one in sys.modules if one.partition(".")[0] == missing or one.endswith("postgres_session")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(wasm, "find_spec", lambda _name: None)
    node = Registry(plugins=()).get(name)
    with pytest.raises(StepError) as caught:
        node.execute(context(node, params))
    assert caught.value.code == "NotInstalled"
    assert missing.removesuffix("core") in caught.value.message


def test_an_agent_says_so_of_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it opens a connection."""
    monkeypatch.setitem(sys.modules, "flowrunner.nodes.mcp_client", None)
    server = McpServer.model_validate({"name": "docs", "url": "https://mcp.example.com"})
    ctx: Any = None  # it is not looked at
    with pytest.raises(StepError) as caught:
        mcp_servers.served_tools(ctx, server, ())
    assert caught.value.code == "NotInstalled"


def test_the_server_says_so_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects an assistant is told, and everything else works."""
    monkeypatch.setitem(sys.modules, "flowrunner.api.mcp_exchange", None)
    with service() as api:
        answer = api.call("POST", "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NotInstalled")
        assert api.call("GET", "/v1/flows").status_code == 200
