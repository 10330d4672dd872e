"""A run's timeline: the same as its steps and events, in few bytes."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.api.routes import timeline

from tests.api.harness import Service, service

MANY = """
metadata: {name: many}
nodes:
  say: {type: log, params: {message: hello}, next: each}
  each: {type: transform, foreach: {items: "${[1, 2, 3, 4, 5]}"}, params: {value: "${item}"}, next: ask}
  ask: {type: approval, params: {message: go?}, next: {approved: fail}}
  fail: {type: script, hooks: {exec: 'throw new Error("n".repeat(900))'}}
"""


def started(api: Service) -> str:
    """A run that waits for an answer."""
    run = api.call("POST", f"/v1/flows/{api.flow(MANY)['id']}/runs").json()["id"]
    api.work()
    return f"/v1/runs/{run}"


def rows(answer: Any) -> list[dict[str, Any]]:
    """The attempts of an answer, by the names of its columns."""
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["attempts"]]


def test_a_timeline_says_how_each_attempt_went() -> None:
    """Steps under way come last; what was said is there as events; a long message is cut."""
    with service() as api:
        run = started(api)
        live = api.call("GET", f"{run}/timeline").json()
        assert (live["status"], live["ended"], live["more"]) == ("waiting", None, False)
        assert [(row["step"], row["status"]) for row in rows(live)][-1] == ("ask", "waiting")
        assert rows(live)[-1]["waiting"] is not None
        api.call("POST", f"{run}/steps/ask/signal", json={"payload": {"approved": True}})
        api.work()
        ended = api.call("GET", f"{run}/timeline").json()
        steps = {row["step"]: row for row in rows(ended)}
        assert set(steps) == {"say", "each", *(f"each[{number}]" for number in range(5)), "ask", "fail"}
        assert (ended["status"], steps["fail"]["status"], len(steps["fail"]["error"])) == ("failed", "failed", 500)
        assert ended["started"] <= steps["say"]["started"] <= steps["say"]["ended"] <= ended["ended"]
        told = api.call("GET", f"{run}/events?limit=1000").json()["events"]
        assert ended["lines"] == [event for event in told if event["type"] == "step.log"]
        assert ended["lines_cut"] is False


def test_a_timeline_is_read_in_pages_that_keep_commits_whole() -> None:
    """Page after page gives each attempt once, and the events go on behind the last one."""
    with service() as api:
        run = started(api)
        whole = api.call("GET", f"{run}/timeline").json()
        paged, after = [], ""
        for _ in whole["attempts"]:
            page = api.call("GET", f"{run}/timeline?limit=1{after}").json()
            paged += page["attempts"]
            after = f"&after={page['cursor']}"
            if not page["more"]:
                break
        assert (paged, page["cursor"]) == (whole["attempts"], whole["cursor"])
        assert len(api.call("GET", f"{run}/timeline?limit=1").json()["attempts"]) == 1
        assert api.call("GET", f"{run}/events?after={whole['cursor']}").json()["events"] == []


def test_a_timeline_has_no_more_lines_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that there are more."""
    with service() as api:
        run = started(api)
        monkeypatch.setattr(timeline, "LINES", 10)
        cut = api.call("GET", f"{run}/timeline").json()
        assert (cut["lines"], cut["lines_cut"]) == ([], True)


@pytest.mark.parametrize("after", ["nonsense", "1"])
def test_a_position_that_is_none_is_refused(after: str) -> None:
    """As among the events."""
    with service() as api:
        assert api.call("GET", f"{started(api)}/timeline?after={after}").status_code == 400


def test_a_position_of_another_history_is_taken_for_the_beginning() -> None:
    """A run that was deleted and started anew has fewer commits."""
    with service() as api:
        run = started(api)
        whole = api.call("GET", f"{run}/timeline").json()
        assert api.call("GET", f"{run}/timeline?after=999999~").json()["attempts"] == whole["attempts"]
