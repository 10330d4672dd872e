"""WebAssembly modules over HTTP, and the flows that run them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from flowrunner.nodes.wasm import WasmNode
from flowrunner.services.identity import Role

from tests.api.harness import Service, service
from tests.api.things import NOTHING_DONE

ECHO = "".join(WasmNode.example.partition(">-")[2].partition("  input")[0].split())
FLOW = "metadata: {name: runs a module}\nnodes: {a: {type: wasm, params: {module: echo, input: [1]}}}\n"


@pytest.fixture
def api() -> Any:
    with service() as made:
        yield made


def test_a_module_is_put_shown_replaced_and_removed(api: Service) -> None:
    """With its digest; who changed it is in the audit log."""
    made = api.call("PUT", "/v1/modules/echo", json={"content": NOTHING_DONE})
    assert made.status_code == 200
    assert made.json() == {
        "name": "echo",
        "digest": "87799c1b578e1ef444797b90bd09efe88f1af0b1810d578f9ccf03df9b1de499",
        "size": len(base64.b64decode(NOTHING_DONE)),
        "changed_at": "2026-01-01T00:00:00.000Z",
        "changed_by": "token:tests",
    }
    assert api.call("GET", "/v1/modules/echo").json() == made.json()
    assert api.call("PUT", "/v1/modules/echo", json={"content": ECHO}).json()["digest"] != made.json()["digest"]
    assert api.call("DELETE", "/v1/modules/echo").status_code == 204
    for method in ("GET", "DELETE"):
        assert api.call(method, "/v1/modules/echo").status_code == 404
    actions = [one["action"] for one in api.call("GET", "/v1/audit").json()["items"]]
    assert [one for one in actions if one.startswith("module.")] == [
        "module.deleted",
        "module.written",
        "module.written",
    ]


def test_modules_are_listed_in_pages(api: Service) -> None:
    """By name, the last page without a cursor; another account has its own."""
    for name in ("b", "a", "c"):
        api.call("PUT", f"/v1/modules/{name}", json={"content": NOTHING_DONE})
    first = api.call("GET", "/v1/modules?limit=2").json()
    assert [one["name"] for one in first["items"]] == ["a", "b"]
    second = api.call("GET", f"/v1/modules?limit=2&cursor={first['next_cursor']}").json()
    assert ([one["name"] for one in second["items"]], second["next_cursor"]) == (["c"], None)
    assert api.call("GET", "/v1/modules", team="other").json()["items"] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("a%20b", NOTHING_DONE), ("-a", NOTHING_DONE), ("a", "?"), ("a", "TVo="), ("a", ""), ("a", "AGFzbQ0AAQA=")],
)
def test_what_is_no_module_is_refused(api: Service, name: str, content: str) -> None:
    """Neither names nor contents that are none; nothing is kept."""
    assert api.call("PUT", f"/v1/modules/{name}", json={"content": content}).status_code == 400
    assert api.call("GET", "/v1/modules").json()["items"] == []


def test_who_may(api: Service) -> None:
    """Whoever may change flows may change modules; a viewer sees them."""
    assert api.call("PUT", "/v1/modules/m", role=Role.OPERATOR, json={"content": NOTHING_DONE}).status_code == 403
    assert api.call("PUT", "/v1/modules/m", role=Role.EDITOR, json={"content": NOTHING_DONE}).status_code == 200
    assert api.call("GET", "/v1/modules/m", role=Role.VIEWER).status_code == 200


def test_a_flow_runs_the_accounts_module(api: Service) -> None:
    """And not the one of that name of others."""
    api.call("PUT", "/v1/modules/echo", json={"content": ECHO})
    for team, status in (("acme", "completed"), ("other", "failed")):
        run = api.start(api.flow(FLOW, team=team)["id"], team=team)
        api.work()
        found = api.call("GET", f"/v1/runs/{run}", team=team).json()
        assert found["status"] == status, found
        if status == "failed":
            assert found["error"]["code"] == "ModuleNotFound"
