"""Runs that wait, for a time, a program or a person; and runs that are stopped and go on."""

from __future__ import annotations

from typing import Any

from tests.e2e.client import Team, fresh
from tests.e2e.test_examples import example

CALLBACK = """
metadata: {name: NAME}
nodes:
  ask: {type: wait.callback, params: {timeout: 1h, data: {question: how many}}, next: after}
  after: {type: transform, params: {value: "${nodes.ask.output.answer * 2}"}}
"""
LATER = """
metadata: {name: NAME}
nodes:
  first: {type: log, params: {message: before}, next: rest}
  rest: {type: delay, params: {for: 2s}, next: last}
  last: {type: transform, params: {value: 42}}
"""
TO_CANCEL = """
metadata: {name: NAME}
nodes:
  wait: {type: delay, params: {for: 1h}, next: never}
  never: {type: log, params: {message: "must not run"}}
"""
NEEDS_SECRET = """
metadata: {name: NAME}
nodes:
  before: {type: script, hooks: {exec: "return uuid()"}, next: price}
  price: {type: transform, params: {value: "${secrets.SECRET.length}"}, next: after}
  after: {type: transform, params: {value: "${nodes.price.output + 1}"}}
"""


def test_a_run_waits_for_a_time(team: Team) -> None:
    """The message comes back when it is due, not before."""
    run = team.run(LATER.replace("NAME", fresh("later")))
    assert (run["status"], run["output"]) == ("completed", {"last": 42}), run["error"]
    assert run["duration_ms"] >= 2_000


def test_another_system_calls_back(team: Team) -> None:
    """With the step's token, which is good once; the run goes on with what it sent."""
    run = team.start(team.flow(CALLBACK.replace("NAME", fresh("callback"))))
    wait = team.waiting(run, "ask")
    token = token_of(wait)
    anybody = {"Authorization": ""}
    assert team.http.post("/v1/callbacks/nonsense", json={"answer": 1}, headers=anybody).status_code == 404
    answer = team.http.post(f"/v1/callbacks/{token}", json={"answer": 21}, headers=anybody)
    assert answer.status_code == 202, answer.text
    ended = team.ended(run)
    assert (ended["status"], ended["output"]) == ("completed", {"after": 42}), ended["error"]
    assert team.http.post(f"/v1/callbacks/{token}", json={"answer": 1}, headers=anybody).status_code == 409


def token_of(wait: dict[str, Any]) -> str:
    """The token in what is shown of a wait: docs/triggers.md, callbacks."""
    link: str = wait["data"]["link"]
    assert "/v1/callbacks/" in link
    return link.rpartition("/")[2]


def test_a_person_approves(team: Team) -> None:
    """The example: the run waits and holds nothing; then it pays."""
    run = team.start(team.flow(example("approval")), {"amount": 500, "what": "a desk"})
    wait = team.waiting(run, "ask")
    assert "Pay 500" in str(wait["data"])
    decision = {"payload": {"approved": True, "comment": "fine"}}
    team.call("POST", f"/v1/runs/{run}/steps/ask/signal", 204, json=decision)
    assert team.ended(run)["output"] == {"pay": {"paid": 500, "what": "a desk"}}
    team.call("POST", f"/v1/runs/{run}/steps/ask/signal", 404, json=decision)


def test_a_cancelled_run_does_nothing_more(team: Team) -> None:
    """What waits is not waited for, and what would follow does not run."""
    run = team.start(team.flow(TO_CANCEL.replace("NAME", fresh("cancelled"))))
    team.waiting(run, "wait")
    team.call("POST", f"/v1/runs/{run}/cancel", 200, json={"reason": "wrong file"})
    ended = team.ended(run)
    assert (ended["status"], ended["error"]["message"]) == ("cancelled", "wrong file")
    assert [step["node"] for step in team.steps(run)] == ["wait"]
    team.call("POST", f"/v1/runs/{run}/cancel", 409)


def test_a_failed_run_goes_on_where_it_failed(team: Team) -> None:
    """What succeeded is kept: the first step is not executed again."""
    name = fresh("E2E").replace("-", "_")
    flow = team.flow(NEEDS_SECRET.replace("NAME", fresh("redriven")).replace("SECRET", name))
    run = team.start(flow)
    failed = team.ended(run)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "SECRET_MISSING")
    before = team.step(run, "before")["output"]
    team.call("PUT", f"/v1/secrets/{name}", 200, json={"value": "12345678"})
    team.call("POST", f"/v1/runs/{run}/redrive", 202, 200)
    ended = team.until(run, "completed", "cancelled")
    assert ended["output"] == {"after": 9}
    assert team.step(run, "before")["output"] == before
