"""Schedules over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.services.identity import Role
from flowrunner.testing import START

from tests.api.harness import HELLO, Service, service

HOUR = 3_600_000


@pytest.fixture
def served() -> Iterator[Service]:
    """The service at midnight."""
    with service() as made:
        yield made


def create(made: Service, **fields: Any) -> Any:
    return made.call("POST", "/v1/schedules", json={"flow_id": made.flow()["id"], **fields})


def test_a_schedule_is_made(served: Service) -> None:
    """The answer has the next five times; the schedule can be found by its id and in the list."""
    answer = create(served, cron="0 9 * * *", timezone="Europe/Berlin", input={"name": "you"})
    assert answer.status_code == 201
    made = answer.json()
    assert made["next_times"][:2] == ["2026-01-01T08:00:00.000Z", "2026-01-02T08:00:00.000Z"]
    assert len(made["next_times"]) == 5
    assert (made["source"], made["enabled"], made["missed"], made["active"]) == ("api", True, "skip", True)
    assert answer.headers["location"] == f"/v1/schedules/{made['id']}"
    assert served.call("GET", f"/v1/schedules/{made['id']}", role=Role.VIEWER).json() == made
    assert served.call("GET", "/v1/schedules").json() == {"items": [made], "next_cursor": None}
    assert served.call("GET", f"/v1/schedules?flow={made['flow_id']}").json()["items"] == [made]
    assert served.call("GET", "/v1/schedules?flow=other").json()["items"] == []


def test_a_schedule_fires(served: Service) -> None:
    """In the background a run starts, and the schedule shows it."""
    made = create(served, cron="0 * * * *", input={"name": "you"}).json()
    served.clock.turn_to(START + HOUR)
    served.platform.background.run_once()
    after = served.call("GET", f"/v1/schedules/{made['id']}").json()
    assert after["last_time"] == "2026-01-01T01:00:00.000Z"
    run = served.call("GET", f"/v1/runs/{after['last_run']}").json()
    assert (run["started_by"], run["input"]) == (f"schedule:{made['id']}", {"name": "you"})


def test_why_a_start_was_refused(served: Service) -> None:
    """The schedule shows the error of its last start."""
    flow = served.flow()
    made = served.call("POST", "/v1/schedules", json={"flow_id": flow["id"], "cron": "0 * * * *"}).json()
    stricter = HELLO.replace("nodes:", "inputs: {type: object, required: [name]}\nnodes:")
    served.call("PUT", f"/v1/flows/{flow['id']}", content=stricter, headers={"Content-Type": "application/yaml"})
    served.clock.turn_to(START + HOUR)
    served.platform.background.run_once()
    error = served.call("GET", f"/v1/schedules/{made['id']}").json()["last_error"]
    assert (error["code"], error["at"]) == ("VALIDATION_ERROR", "2026-01-01T01:00:00.000Z")


def test_a_schedule_is_changed_and_removed(served: Service) -> None:
    """PUT replaces all fields; while it is disabled it has no next times."""
    made = create(served, cron="0 * * * *", input={"name": "you"}).json()
    path = f"/v1/schedules/{made['id']}"
    changed = served.call("PUT", path, json={"at": "2026-02-01T09:00:00+01:00", "enabled": False}).json()
    assert (changed["cron"], changed["at"], changed["input"]) == (None, "2026-02-01T08:00:00.000Z", None)
    assert (changed["enabled"], changed["next_times"]) == (False, [])
    assert served.call("DELETE", path).status_code == 204
    assert served.call("GET", path).status_code == 404
    assert served.call("DELETE", path).status_code == 404


def test_schedules_of_documents(served: Service) -> None:
    """A schedule in a document is switched off through the API; anything else is a conflict."""
    text = HELLO + 'triggers:\n  - {type: schedule, cron: "0 * * * *", input: {name: you}}\n'
    served.flow(text)
    made = served.call("GET", "/v1/schedules").json()["items"][0]
    assert made["source"] == "flow"
    path = f"/v1/schedules/{made['id']}"
    same = {key: made[key] for key in ("cron", "timezone", "input", "missed")}
    assert served.call("PUT", path, json={**same, "enabled": False}).json()["enabled"] is False
    assert served.call("PUT", path, json={**same, "cron": "5 * * * *"}).status_code == 409
    assert served.call("DELETE", path).status_code == 409


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "x" * 257}, "body.cron"),
        ({"cron": "* * * * *", "timezone": "../../../etc/passwd"}, "timezone"),
        ({}, "cron"),
        ({"cron": "* * * * *", "rate": "every 1 second"}, "body.rate"),
        ({"cron": "* * * * *", "missed": "always"}, "body.missed"),
        ({"at": "2020-01-01T00:00:00Z"}, "at"),
    ],
)
def test_what_is_refused(served: Service, fields: dict[str, Any], field: str) -> None:
    """A schedule that cannot be is refused with the field that is wrong."""
    answer = create(served, **fields)
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["error"]["details"]] == [field]
    assert served.call("GET", "/v1/schedules").json()["items"] == []


def test_unknown_flows(served: Service) -> None:
    """A schedule of a flow that is not there is not made."""
    answer = served.call("POST", "/v1/schedules", json={"flow_id": "none", "cron": "* * * * *"})
    assert answer.status_code == 404


def test_pages(served: Service) -> None:
    """The list goes on behind a cursor, which belongs to its filter and account."""
    flow = served.flow()["id"]
    for minute in range(3):
        served.call("POST", "/v1/schedules", json={"flow_id": flow, "cron": f"{minute} * * * *"})
    first = served.call("GET", "/v1/schedules?limit=2").json()
    rest = served.call("GET", f"/v1/schedules?cursor={first['next_cursor']}").json()
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)
    other = f"/v1/schedules?flow={flow}&cursor={first['next_cursor']}"
    assert served.call("GET", other).status_code == 400
    assert served.call("GET", f"/v1/schedules?cursor={first['next_cursor']}", team="other").status_code == 400


def test_who_may(served: Service) -> None:
    """Viewers and operators look, editors change, strangers find nothing."""
    made = create(served, cron="* * * * *").json()
    path = f"/v1/schedules/{made['id']}"
    wish = {"cron": "0 * * * *"}
    for role, change in ((Role.VIEWER, 403), (Role.OPERATOR, 403), (Role.EDITOR, 200)):
        assert served.call("GET", path, role=role).status_code == 200
        assert served.call("PUT", path, role=role, json=wish).status_code == change
    for method in ("GET", "PUT", "DELETE"):
        options: dict[str, Any] = {"json": wish} if method == "PUT" else {}
        assert served.call(method, path, team="other", **options).status_code == 404
        assert served.call(method, path, role=None, **options).status_code == 401


def test_the_quota() -> None:
    """schedule-11: the schedule over the quota is refused with 429."""
    with service({"quotas": {"schedules": 1}}) as made:
        flow = made.flow()["id"]
        wish = {"flow_id": flow, "cron": "* * * * *"}
        assert made.call("POST", "/v1/schedules", json=wish).status_code == 201
        answer = made.call("POST", "/v1/schedules", json=wish)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "QUOTA_EXCEEDED")
