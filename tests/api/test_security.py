"""Attacks on the service as a stranger, a tenant and an author would make them, each of which worked once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from flowrunner.ports.history import RunFilter
from flowrunner.services.schedule_sweep import ScheduleSweep

from tests.api.harness import Service, service

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def api() -> Iterator[Service]:
    """Without limits on the number of requests: those are others' to test."""
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as made:
        made.team()
        yield made


# -- strangers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/session", "/v1/accounts"])
def test_strangers_send_no_large_bodies(api: Service, path: str) -> None:
    """A few kilobytes are enough to say who one is; more would be parsed for nobody."""
    answer = api.call("POST", path, role=None, content=b" " * 20_000, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "TOO_LARGE")


def test_a_body_of_thousands_of_fields_is_not_answered_one_by_one(api: Service) -> None:
    """The answer was six times as long as the question, and took seconds of everybody's time."""
    many = {f"field{number}": 1 for number in range(900)}
    answer = api.call("POST", "/v1/session", role=None, content=json.dumps(many), headers=JSON)
    assert answer.status_code == 400
    assert len(answer.content) < 1_000
    labels = {"labels": {f"label{number}": 1 for number in range(10_000)}}
    answer = api.call("POST", f"/v1/flows/{api.flow()['id']}/runs", json=labels)
    assert answer.status_code == 400
    assert "a run has at most 32 labels" in answer.text
    assert len(answer.content) < 1_000


def test_problems_of_a_request_are_told_up_to_a_number(api: Service) -> None:
    """Wrong headers of a webhook, thousands of them."""
    wish = {"url": "https://example.com", "events": ["run.failed"], "headers": {f"!{n}": "x" for n in range(5_000)}}
    answer = api.call("POST", "/v1/webhooks", json=wish)
    assert answer.status_code == 400
    assert len(answer.json()["error"]["details"]) == 100


def test_most_routes_take_small_bodies_only(api: Service) -> None:
    """Those that take flows, inputs and secrets take more."""
    large = json.dumps({"name": "x" * 300_000})
    assert api.call("PATCH", "/v1/account", content=large, headers=JSON).status_code == 413
    flow = api.flow()["id"]
    answer = api.call("POST", f"/v1/flows/{flow}/runs", json={"input": {"name": "x" * 300_000}})
    assert answer.status_code == 202


def test_a_callbacks_token_is_not_in_the_log(api: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads logs could answer the step."""
    caplog.set_level(logging.INFO, "flowrunner.requests")
    api.call("POST", "/v1/callbacks/the-token", role=None, content=b"not JSON", headers=JSON)
    api.call("POST", "/v1/callbacks/the-token/", role=None)
    told = [str(vars(record)["data"]["path"]) for record in caplog.records]
    assert told == ["/v1/callbacks/***", "/v1/callbacks/***/"]


def test_paths_that_are_none_are_counted_as_well() -> None:
    """Each of them looks up a token."""
    with service({"api": {"requests_per_address": 3}}) as api:
        nowhere = [api.client.get(f"/v1/nowhere/{number}").status_code for number in range(5)]
        assert nowhere == [401, 401, 401, 429, 429]


# -- tokens that fell into the wrong hands ----------------------------------------------------------------------------


def made(api: Service, bearer: str | None, *scopes: str) -> tuple[str, str]:
    """The id and the text of a token made with a token; None: with the owner's."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else api.team().headers()
    answer = api.client.post("/v1/tokens", json={"name": "made", "scopes": scopes}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], answer.json()["token"]


def status(api: Service, bearer: str, path: str, method: str = "GET") -> int:
    return api.client.request(method, path, headers={"Authorization": f"Bearer {bearer}"}).status_code


def test_a_revoked_token_leaves_none_behind(api: Service) -> None:
    """Whoever has stolen one makes more of it at once; they end with it, in whatever generation."""
    id, stolen = made(api, None, "tokens:write", "tokens:read", "usage:read")
    _, child = made(api, stolen, "tokens:write", "usage:read")
    _, grandchild = made(api, child, "usage:read")
    _, bystander = made(api, None, "usage:read")
    assert [status(api, one, "/v1/usage") for one in (child, grandchild, bystander)] == [200, 200, 200]
    assert status(api, stolen, f"/v1/tokens/{id}", "DELETE") == 204
    assert [status(api, one, "/v1/usage") for one in (child, grandchild, bystander)] == [401, 401, 200]
    listed = {one["name"] for one in api.call("GET", "/v1/tokens").json()["items"]}
    assert len([name for name in listed if name == "made"]) == 1, "only the bystander is left"


def test_a_token_whose_parent_has_vanished_is_refused_by_itself(api: Service) -> None:
    """The process that revoked it may have died before it had removed the others."""
    id, stolen = made(api, None, "tokens:write", "usage:read")
    _, child = made(api, stolen, "usage:read")
    api.platform.engine.parts.backend.entities.delete(api.team().account, "token", id)
    assert status(api, child, "/v1/usage") == 401


def test_generations_of_tokens_are_few(api: Service) -> None:
    """Each of them is looked up with every request; the team's own token is the first."""
    bearer: str | None = None
    for _ in range(4):
        _, bearer = made(api, bearer, "tokens:write")
    answer = api.client.post(
        "/v1/tokens", json={"name": "x", "scopes": ["tokens:write"]}, headers={"Authorization": f"Bearer {bearer}"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")


def test_a_token_for_reports_ends_nobodys_session(api: Service) -> None:
    """Nor does it see from where they were begun."""
    _, narrow = made(api, None, "usage:read")
    assert status(api, narrow, "/v1/sessions") == 403
    assert status(api, narrow, "/v1/sessions/any", "DELETE") == 403


# -- accounts that go -------------------------------------------------------------------------------------------------


def test_nothing_starts_for_an_account_that_is_being_removed(api: Service) -> None:
    """Strangers called its hooks, and its schedules fired, until the background came to remove them."""
    api.flow(
        "metadata: {name: triggered}\ntriggers: [{type: webhook, path: h}, {type: schedule, cron: '* * * * *'}]\n"
        "nodes: {a: {type: transform}}"
    )
    account, backend = api.team().account, api.platform.engine.parts.backend
    assert api.call("POST", f"/hooks/{account}/h", role=None).status_code == 202
    assert api.call("DELETE", "/v1/account?confirm=acme").status_code == 204
    assert api.call("POST", f"/hooks/{account}/h", role=None).status_code == 404
    api.later(61_000)
    ScheduleSweep(backend.entities, api.clock, api.platform.runs.start_triggered).sweep()
    assert len(backend.history.runs(account, RunFilter())) == 1, "the one from before"


# -- authors of flows -------------------------------------------------------------------------------------------------


def test_an_inline_flow_replaces_no_flow_of_its_name(api: Service) -> None:
    """It was stored as the next revision, past the permission to write flows, the quota and the audit log."""
    victim = api.flow()
    inline = {"metadata": {"name": "hello"}, "nodes": {"evil": {"type": "transform", "params": {"value": "evil"}}}}
    outer = {"metadata": {"name": "outer"}, "nodes": {"a": {"type": "flow.run", "params": {"inline": inline}}}}
    run = api.start(api.flow(json.dumps(outer))["id"])
    shown = api.call("GET", f"/v1/runs/{run}/steps/a").json()
    assert (shown["status"], shown["output"]) == ("succeeded", {"evil": "evil"})
    now = api.call("GET", f"/v1/flows/{victim['id']}").json()
    assert (now["revision"], now["document"]) == (1, victim["document"])
    listed = api.call("GET", "/v1/runs").json()["items"]
    assert {one["flow"]["name"] for one in listed} == {"hello", "outer"}, "in runs it has the name that it was given"
    api.platform.flows.adopt(api.team().account, "dev")
    assert {one["name"] for one in api.call("GET", "/v1/flows").json()["items"]} == {"hello", "outer"}


def test_a_flow_that_starts_itself_ends() -> None:
    """Ten levels deep with four runs each are a million runs, of which the quotas knew one."""
    with service({"quotas": {"runs_per_minute": 2}}) as api:
        node = "{type: flow.run, params: {flow: bomb, wait: false, input: 1}}"
        bomb = api.flow(f"metadata: {{name: bomb}}\nnodes: {{a: {node}, b: {node}, c: {node}, d: {node}}}")
        run = api.start(bomb["id"])
        engine, account = api.platform.engine, api.team().account
        everything = ["completed", "failed", "running", "queued", "waiting"]
        assert engine.parts.backend.history.count(account, statuses=everything) == 21
        failed = engine.parts.backend.history.count(account, statuses=["failed"])
        assert failed > 0
        assert api.call("GET", f"/v1/runs/{run}").json()["status"] == "completed"
        assert api.call("POST", f"/v1/flows/{bomb['id']}/runs", json={}).status_code == 202, "people are not held up"
