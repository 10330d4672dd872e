"""Runs that nobody starts: signed requests, a request that waits for its answer, a moment that comes."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta

import httpx2

from tests.e2e.client import PATIENCE, Team, fresh, sign, tries
from tests.e2e.test_examples import example

SIGNED = """
metadata: {name: NAME}
inputs: {type: object, required: [order_id]}
triggers:
  - {type: webhook, path: PATH, verify: {scheme: standard-webhooks, secret: E2E_SIGNING}}
nodes:
  keep: {type: transform, params: {value: "order ${input.order_id}"}}
"""
SCHEDULED = """
metadata: {name: NAME}
nodes:
  note: {type: transform, params: {value: "${input.mode}"}}
"""
SCHEDULE_PATIENCE = PATIENCE + 60
"""The scheduler comes by once a minute."""


def test_a_signed_request_starts_one_run(team: Team) -> None:
    """Sent twice it is answered twice and starts one; without its signature, or an old one, it starts none."""
    key = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    team.call("PUT", "/v1/secrets/E2E_SIGNING", 200, json={"value": key})
    path = fresh("orders")
    flow = team.flow(SIGNED.replace("NAME", path).replace("PATH", path))
    hook = f"/hooks/{team.account}/{path}"
    body = json.dumps({"order_id": "A-17"}).encode()

    bare = {"Authorization": "", "Content-Type": "application/json"}
    assert team.http.post(hook, content=body, headers=bare).status_code == 401
    stale = {**bare, **sign(key, body, at=1_600_000_000)}
    assert team.http.post(hook, content=body, headers=stale).status_code == 401
    good = {**bare, **sign(key, body)}
    assert team.http.post(hook, content=body + b" ", headers=good).status_code == 401

    answers = [team.http.post(hook, content=body, headers=good) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202], answers[0].text
    run = answers[0].json()["run_id"]
    assert answers[1].json()["run_id"] == run
    assert team.ended(run)["output"] == {"keep": "order A-17"}
    assert [item["id"] for item in team.call("GET", f"/v1/runs?flow={flow}", 200)["items"]] == [run]


def test_a_hook_answers_with_the_output(team: Team) -> None:
    """The example with `respond: sync`: status, headers and body are the flow's own."""
    path = fresh("stock")
    team.flow(example("triggers").replace("path: stock", f"path: {path}"))

    def ask(sku: str) -> httpx2.Response:
        """The answer; on a busy machine a run may need longer than a hook waits for it."""
        hook, nobody = f"/hooks/{team.account}/{path}", {"Authorization": ""}
        answer: httpx2.Response
        for answer in tries(lambda: team.http.get(hook, params={"sku": sku}, headers=nobody)):
            if answer.status_code != 202:
                break
        return answer

    answer = ask("A1")
    assert (answer.status_code, answer.json()) == (200, {"sku": "A1", "stock": 17})
    assert ask("Z9").status_code == 400


def test_a_moment_starts_one_run(team: Team) -> None:
    """The sweep of the minute finds it, and no later one starts it again."""
    flow = team.flow(SCHEDULED.replace("NAME", fresh("nightly")))
    at = datetime.now(UTC) + timedelta(seconds=1)  # noqa: TID251  # the clock that people have
    wish = {"flow_id": flow, "at": at.isoformat(), "input": {"mode": "full"}}
    schedule = team.call("POST", "/v1/schedules", 201, json=wish)["id"]
    for runs in tries(lambda: team.call("GET", f"/v1/runs?flow={flow}", 200)["items"], SCHEDULE_PATIENCE, 1.0):
        if runs:
            break
    assert len(runs) == 1
    assert team.ended(runs[0]["id"])["output"] == {"note": "full"}
    for shown in tries(lambda: team.call("GET", f"/v1/schedules/{schedule}", 200)):  # it is moved on after the start
        if shown["last_run"]:
            break
    assert (shown["last_run"], shown["next_times"]) == (runs[0]["id"], [])
