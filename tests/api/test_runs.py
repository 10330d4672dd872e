"""Runs over HTTP: started once, waited for, listed, looked into, cancelled, redriven, answered, deleted."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flowrunner.core.ids import RunId
from flowrunner.engine.cache import SizedCache
from flowrunner.errors import ValueLost
from flowrunner.services.identity import Role

from tests.api.harness import HELLO, Service, service

YAML = {"Content-Type": "application/yaml"}
SLOW = "metadata: {name: slow}\nnodes: {a: {type: delay, params: {for: 1h}}}\n"
TYPED = """
metadata: {name: typed}
inputs: {type: object, required: [n], properties: {n: {type: integer}, who: {type: string}}, additionalProperties: false}
nodes: {a: {type: transform, params: {value: "${input.n + 1}"}}}
"""
FAILS = """
metadata: {name: fails}
nodes:
  a: {type: transform, params: {value: 1}, next: b}
  b: {type: script, hooks: {exec: "throw new Error('no luck with ' + input)"}, next: c}
  c: {type: transform, params: {value: "${nodes.b.output}"}}
"""
LARGE = """
metadata: {name: large}
nodes:
  a: {type: transform, params: {value: "${input}"}, hooks: {post: "vars.v = 1"}, next: b}
  b: {type: log, params: {message: hi}}
outputs: {said: "${nodes.b.output.message}"}
"""


def start(api: Service, flow: dict[str, Any], body: Any = None, query: str = "", **headers: str) -> Any:
    return api.call("POST", f"/v1/flows/{flow['id']}/runs{query}", json=body or {}, headers=headers)


def test_a_run_is_started_and_read_to_its_end() -> None:
    """202 with its place; the result when it has ended."""
    with service() as api:
        flow = api.flow()
        answer = start(api, flow, {"input": {"name": "Ada"}, "labels": {"team": "growth"}})
        assert answer.status_code == 202
        run = answer.json()
        assert answer.headers["location"] == f"/v1/runs/{run['id']}"
        assert (run["status"], run["output"], run["ended_at"]) == ("running", None, None)
        assert run["flow"] == {"id": flow["id"], "name": "hello", "revision": 1}
        assert run["labels"]["team"] == "growth"
        assert run["labels"]["correlation_id"] == answer.headers["x-correlation-id"]
        api.work()
        ended = api.call("GET", f"/v1/runs/{run['id']}").json()
        assert (ended["status"], ended["progress"], ended["output"]) == ("completed", 100, {"greet": "hi Ada"})
        assert (ended["input"], ended["started_by"], ended["attempt"]) == ({"name": "Ada"}, "token:tests", 1)
        assert ended["estimated_cost_usd"] > 0
        assert ended["duration_ms"] is not None


def test_a_run_without_a_body_has_no_input() -> None:
    """The body may be left out."""
    with service() as api:
        flow = api.flow('metadata: {name: f}\nnodes: {a: {type: transform, params: {value: "${input}"}}}\n')
        answer = api.call("POST", f"/v1/flows/{flow['id']}/runs")
        assert (answer.status_code, answer.json()["input"]) == (202, None)


def test_the_input_is_checked(api: Service) -> None:
    """Every problem with its place."""
    flow = api.flow(TYPED)
    error = start(api, flow, {"input": {"n": "x", "who": 1}})
    assert error.status_code == 400
    fields = {one["field"] for one in error.json()["error"]["details"]}
    assert fields == {"input.n", "input.who"}
    assert start(api, flow, {"input": {"n": 1}}).status_code == 202


def test_a_client_may_wait_for_the_end() -> None:
    """200 with the result when it ends in time, 202 when not."""
    with service() as api:
        thread = threading.Thread(target=api.worker.run, daemon=True)
        thread.start()
        try:
            done = start(api, api.flow(), {"input": {"name": "Ada"}}, "?wait=20s")
            assert (done.status_code, done.json()["output"]) == (200, {"greet": "hi Ada"})
            late = start(api, api.flow(SLOW), None, "?wait=50ms")
            assert (late.status_code, late.json()["status"]) == (202, "waiting")
        finally:
            api.worker.stop()
            thread.join(30)


@pytest.mark.parametrize("wait", ["x", "-1s", "2h", "61s", "1e9"])
def test_a_wait_is_within_bounds(api: Service, wait: str) -> None:
    """At most `api.max_wait`."""
    answer = api.call("POST", f"/v1/flows/any/runs?wait={wait}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_an_idempotency_key_starts_one_run() -> None:
    """For the same request; another request with it is refused, and another account's key is another key."""
    with service() as api:
        flow = api.flow()
        other = api.flow(team="other")
        key = {"Idempotency-Key": "order-17"}
        with ThreadPoolExecutor(4) as pool:
            runs = list(pool.map(lambda _: start(api, flow, {"input": {"name": "a"}}, **key).json()["id"], range(8)))
        assert len(set(runs)) == 1
        refused = start(api, flow, {"input": {"name": "b"}}, **key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
        elsewhere = api.call(
            "POST", f"/v1/flows/{other['id']}/runs", team="other", json={"input": {"name": "a"}}, headers=key
        )
        assert elsewhere.json()["id"] not in runs
        assert len(api.call("GET", "/v1/runs").json()["items"]) == 1
        api.later(25 * 3_600_000)
        assert start(api, flow, {"input": {"name": "b"}}, **key).status_code == 202


def test_a_run_stays_on_its_revision() -> None:
    """Started on an older one when asked."""
    with service() as api:
        flow = api.flow("metadata: {name: f}\nnodes: {a: {type: transform, params: {value: old}}}\n")
        text = "metadata: {name: f}\nnodes: {a: {type: transform, params: {value: new}}}\n"
        before = start(api, flow).json()["id"]
        api.call("PUT", f"/v1/flows/{flow['id']}", content=text, headers=YAML)
        newest, older = start(api, flow).json()["id"], start(api, flow, {"revision": 1}).json()["id"]
        assert start(api, flow, {"revision": 3}).status_code == 404
        api.work()
        outputs = [api.call("GET", f"/v1/runs/{run}").json()["output"]["a"] for run in (before, newest, older)]
        assert outputs == ["old", "new", "old"]


def test_runs_are_found() -> None:
    """By flow, status and time, newest first, page by page."""
    with service() as api:
        fast, slow = api.flow(), api.flow(SLOW)
        ids = []
        for flow in (fast, slow, fast, slow):
            ids.append(api.start(flow["id"], {"name": "x"}))
            api.later(1_000)
        api.call("POST", f"/v1/runs/{ids[3]}/cancel")

        def found(query: str) -> list[str]:
            answer = api.call("GET", f"/v1/runs?{query}")
            assert answer.status_code == 200, answer.text
            return [run["id"] for run in answer.json()["items"]]

        assert found("") == ids[::-1]
        assert found(f"flow={fast['id']}") == [ids[2], ids[0]]
        assert found("status=waiting") == [ids[1]]
        assert found("status=cancelled&status=completed") == [ids[3], ids[2], ids[0]]
        moment = api.call("GET", f"/v1/runs/{ids[2]}").json()["started_at"]
        assert found(f"since={moment}") == [ids[3], ids[2]]
        assert found(f"until={moment}") == [ids[1], ids[0]]
        first = api.call("GET", "/v1/runs?limit=3").json()
        rest = api.call("GET", f"/v1/runs?limit=3&cursor={first['next_cursor']}").json()
        assert [run["id"] for run in first["items"] + rest["items"]] == ids[::-1]
        assert rest["next_cursor"] is None
        for bad in ("since=yesterday", "since=2026-01-01T00:00:00", "status=odd", "until=99999999999999999999"):
            assert api.call("GET", f"/v1/runs?{bad}").status_code == 400


def test_steps_show_what_happened() -> None:
    """Each attempt, and of one step its values."""
    with service() as api:
        flow = api.flow(FAILS)
        run = api.start(flow["id"], {"x": 1})
        shown = api.call("GET", f"/v1/runs/{run}").json()
        assert (shown["status"], shown["error"]["code"], shown["error"]["node"]) == ("failed", "SCRIPT_ERROR", "b")
        steps = api.call("GET", f"/v1/runs/{run}/steps").json()["items"]
        assert [(one["id"], one["status"], one["action"]) for one in steps] == [
            ("a", "succeeded", "default"),
            ("b", "failed", None),
        ]
        step = api.call("GET", f"/v1/runs/{run}/steps/b").json()
        assert (step["input"], step["output"], len(step["attempts"])) == (1, None, 1)
        assert "no luck with 1" in step["error"]["message"]
        assert api.call("GET", f"/v1/runs/{run}/steps/a").json()["output"] == 1
        for missing in ("c", "1.9", "%00", "a?attempt=2"):
            assert api.call("GET", f"/v1/runs/{run}/steps/{missing}").status_code in (400, 404)
        pages, cursor = [], None
        while True:
            page = api.call("GET", f"/v1/runs/{run}/steps?limit=1" + (f"&cursor={cursor}" if cursor else "")).json()
            pages += [one["id"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert pages == ["a", "b"]


def test_the_input_of_a_join_and_of_ports_is_found_again() -> None:
    """Although nobody stored it."""
    text = """
metadata: {name: joined}
nodes:
  a: {type: transform, params: {value: 1}}
  b: {type: transform, params: {value: 2}}
  both: {type: transform, needs: [a, b], params: {value: "${prev.a + prev.b}"}}
  ported: {type: transform, needs: [a, b], inputs: {x: "${nodes.a.output}", y: "${nodes.b.output * 2}"}, params: {value: "${ports.y}"}}
"""
    with service() as api:
        run = api.start(api.flow(text)["id"])
        assert api.call("GET", f"/v1/runs/{run}/steps/both").json()["input"] == {"a": 1, "b": 2}
        assert api.call("GET", f"/v1/runs/{run}/steps/ported").json()["input"] == {"x": 1, "y": 4}
        assert api.call("GET", f"/v1/runs/{run}/steps/a").json()["input"] is None


def test_a_run_is_cancelled_once() -> None:
    """The second request is told that it has ended."""
    with service() as api:
        run = api.start(api.flow(SLOW)["id"])
        answer = api.call("POST", f"/v1/runs/{run}/cancel", json={"reason": "wrong customer"})
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert api.call("POST", f"/v1/runs/{run}/cancel").status_code == 409


def test_a_run_goes_on_after_its_end() -> None:
    """From what failed, from a node, on a later revision; with the reason when it cannot."""
    with service() as api:
        flow = api.flow(FAILS)
        run = api.start(flow["id"])
        again = api.call("POST", f"/v1/runs/{run}/redrive")
        assert (again.status_code, again.json()["status"], again.json()["attempt"]) == (200, "running", 2)
        api.work()
        assert api.call("GET", f"/v1/runs/{run}").json()["status"] == "failed"
        mended = FAILS.replace("throw new Error('no luck with ' + input)", "return input + 41")
        api.call("PUT", f"/v1/flows/{flow['id']}", content=mended, headers=YAML)
        assert api.call("POST", f"/v1/runs/{run}/redrive", json={"revision": 9}).status_code == 404
        assert api.call("POST", f"/v1/runs/{run}/redrive", json={"node": "nope"}).status_code == 409
        third = api.call("POST", f"/v1/runs/{run}/redrive", json={"revision": 2}).json()
        assert third["flow"]["revision"] == 2
        api.work()
        ended = api.call("GET", f"/v1/runs/{run}").json()
        assert (ended["status"], ended["output"], ended["flow"]["revision"]) == ("completed", {"c": 42}, 2)
        assert api.call("POST", f"/v1/runs/{run}/redrive").status_code == 409
        assert api.call("POST", f"/v1/runs/{run}/redrive", json={"node": "b"}).status_code == 200
        api.work()
        labels = [one["id"] for one in api.call("GET", f"/v1/runs/{run}/steps").json()["items"]]
        assert labels.count("a") == 1


def test_a_waiting_step_is_answered() -> None:
    """By whoever may start runs; once."""
    text = "metadata: {name: asks}\nnodes:\n  ok: {type: approval, params: {message: ship?}, next: {approved: yes1, rejected: no1}}\n  yes1: {type: transform, params: {value: shipped}}\n  no1: {type: transform, params: {value: kept}}\n"
    with service() as api:
        run = api.start(api.flow(text)["id"])
        assert api.call("GET", f"/v1/runs/{run}").json()["status"] == "waiting"
        assert api.call("POST", f"/v1/runs/{run}/steps/nope/signal", json={"payload": 1}).status_code == 404
        assert (
            api.call(
                "POST", f"/v1/runs/{run}/steps/ok/signal", role=Role.VIEWER, json={"payload": {"approved": True}}
            ).status_code
            == 403
        )
        assert (
            api.call("POST", f"/v1/runs/{run}/steps/ok/signal", json={"payload": {"approved": True}}).status_code == 204
        )
        assert (
            api.call("POST", f"/v1/runs/{run}/steps/ok/signal", json={"payload": {"approved": False}}).status_code
            == 409
        )
        api.work()
        assert api.call("GET", f"/v1/runs/{run}").json()["output"] == {"yes1": "shipped"}


def test_an_ended_run_is_deleted() -> None:
    """A live one is not."""
    with service() as api:
        live, ended = api.start(api.flow(SLOW)["id"]), api.start(api.flow()["id"])
        assert api.call("DELETE", f"/v1/runs/{live}").status_code == 409
        assert api.call("DELETE", f"/v1/runs/{ended}", role=Role.VIEWER).status_code == 403
        assert api.call("DELETE", f"/v1/runs/{ended}").status_code == 204
        assert api.call("GET", f"/v1/runs/{ended}").status_code == 404
        assert api.call("DELETE", f"/v1/runs/{ended}").status_code == 404


def test_only_operators_start_runs(api: Service) -> None:
    """Viewers see them."""
    flow = api.flow(HELLO.replace("hello", "for-roles"))
    for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 202)):
        assert api.call("POST", f"/v1/flows/{flow['id']}/runs", role=role, json={}).status_code == status
        assert api.call("GET", "/v1/runs", role=role).status_code == 200


def test_quotas_are_answered_with_429() -> None:
    """With the time to come back."""
    with service({"quotas": {"concurrent_runs": 1, "flows": 2}}) as api:
        slow = api.flow(SLOW)
        api.start(slow["id"])
        refused = start(api, slow)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "QUOTA_EXCEEDED")
        assert int(refused.headers["retry-after"]) >= 1
        api.flow()
        full = api.call("POST", "/v1/flows", content=HELLO.replace("hello", "third"), headers=YAML)
        assert (full.status_code, full.json()["error"]["details"]["quota"]) == (429, "flows")


def test_a_large_value_is_shown_whole() -> None:
    """Inputs and outputs kept as blobs, too."""
    with service() as api:
        flow = api.flow('metadata: {name: big}\nnodes: {a: {type: transform, params: {value: "${input}"}}}\n')
        run = api.start(flow["id"], "x" * 300_000)
        shown = api.call("GET", f"/v1/runs/{run}").json()
        assert len(shown["input"]) == len(shown["output"]["a"]) == 300_000


def test_a_run_is_shown_without_what_the_store_has_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values that are gone are named; all else of the run and its steps is there."""
    with service() as api:
        flow = api.flow(LARGE)
        run = api.start(flow["id"], "x" * 300_000)
        assert api.call("GET", f"/v1/runs/{run}").json()["lost"] == []
        assert api.call("GET", f"/v1/runs/{run}/steps/a").json()["lost"] == []
        parts, reader = api.platform.engine.parts, api.platform.engine.services.reader
        monkeypatch.setattr(parts.backend.blobs, "get", lambda *place: None)
        monkeypatch.setattr(reader, "_blobs", SizedCache(0))
        shown = api.call("GET", f"/v1/runs/{run}").json()
        assert (shown["status"], shown["input"], shown["lost"]) == ("completed", None, ["input"])
        assert shown["output"] == {"said": "hi"}
        step = api.call("GET", f"/v1/runs/{run}/steps/a").json()
        assert (step["status"], step["lost"]) == ("succeeded", ["input", "output"])
        assert (step["input"], step["output"], step["vars"]) == (None, None, {"v": 1})
        asked = api.call("POST", f"/v1/runs/{run}/evaluate", json={"node": "b", "value": "${nodes.a.output}"}).json()
        assert (asked["value"], asked["error"]["code"]) == (None, "VALUE_LOST")


def test_what_cannot_be_shown_without_a_lost_value_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a store that cannot be reached: nobody is told to try again."""
    with service() as api:
        run = api.start(api.flow()["id"], {"name": "Ada"})

        def lost(_keys: object) -> None:
            raise ValueLost

        monkeypatch.setattr(api.platform.engine.parts.backend.runs, "load", lost)
        answer = api.call("GET", f"/v1/runs/{run}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "VALUE_LOST")
        assert "retry-after" not in answer.headers


def test_a_run_of_nobody_is_not_found(api: Service) -> None:
    """Whatever the id looks like."""
    for run in ("x", "..%2F..%2Facct_b%2Fx", "%00", "'; DROP TABLE runs;--", "a" * 64, "ü"):
        assert api.call("GET", f"/v1/runs/{run}").status_code in (400, 404), run
    assert api.call("GET", f"/v1/runs/{RunId('x' * 65)}").status_code == 400


def test_the_flow_of_a_run_is_shown_also_if_it_stands_in_another(api: Service) -> None:
    """A run inside a run, or an agent's, has a flow that is in no list; and what is of another account is not there."""
    inline = {"metadata": {"name": "inner"}, "nodes": {"a": {"type": "transform", "params": {"value": 1}}}}
    outer = {"metadata": {"name": "outer"}, "nodes": {"a": {"type": "flow.run", "params": {"inline": inline}}}}
    run = api.start(api.flow(json.dumps(outer))["id"])
    shown = api.call("GET", f"/v1/runs/{run}/flow").json()
    assert (json.loads(shown["document"]), shown["revision"], shown["inline"]) == (outer, 1, False)
    child = api.call("GET", f"/v1/runs/{run}/steps/a").json()["wait"]["run"]
    shown = api.call("GET", f"/v1/runs/{child}/flow").json()
    assert (json.loads(shown["document"]), shown["revision"], shown["inline"]) == (inline, 1, True)
    assert api.call("GET", "/v1/runs/nothing/flow").status_code == 404
