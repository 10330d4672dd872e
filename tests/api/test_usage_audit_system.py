"""Usage, audit log, health, readiness and metrics over HTTP, and what the log says of requests."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flowrunner.core.ids import AccountId
from flowrunner.errors import StoreError
from flowrunner.services.identity import Role
from prometheus_client.parser import text_string_to_metric_families

from tests.api.harness import HELLO, Service, service

MEASURED = {"metrics": {"enabled": True}}


def series(api: Service, name: str) -> list[tuple[dict[str, str], float]]:
    """All samples of a series on the page of metrics."""
    families = text_string_to_metric_families(api.client.get("/metrics").text)
    return [(one.labels, one.value) for family in families for one in family.samples if one.name == name]


# -- usage ----------------------------------------------------------------------------------------------------------


def test_usage_shows_what_was_run() -> None:
    """By flow and day, added up, with its cost; another team sees nothing of it."""
    with service() as api:
        flow = api.flow()["id"]
        for _ in range(2):
            api.start(flow, {"name": "ann"})
        api.platform.usage.flush()
        answer = api.call("GET", "/v1/usage", role=Role.VIEWER).json()
        assert (answer["from_day"], answer["to_day"]) == ("2025-12-03", "2026-01-01")
        [item] = answer["items"]
        assert (item["day"], item["flow_id"], item["flow_name"]) == ("2026-01-01", flow, "hello")
        assert (item["runs"], item["steps"]) == (2, 2)
        assert 0 < item["estimated_cost_usd"] < 0.001
        assert answer["total"]["runs"] == 2
        assert api.call("GET", "/v1/usage", team="other").json()["items"] == []


def test_usage_can_be_narrowed_and_added_up() -> None:
    """By days, flow and grouping, as the query says."""
    with service() as api:
        flow = api.flow()["id"]
        other = api.flow(HELLO.replace("hello", "other"))["id"]
        for one in (flow, other):
            api.start(one, {"name": "ann"})
        api.platform.usage.flush()
        span = {"from": "2026-01-01", "to": "2026-01-31"}
        assert api.call("GET", "/v1/usage", params={**span, "flow": flow}).json()["total"]["runs"] == 1
        [day] = api.call("GET", "/v1/usage", params={**span, "by": "day"}).json()["items"]
        assert (day["flow_id"], day["flow_name"], day["runs"]) == (None, None, 2)
        by_flow = api.call("GET", "/v1/usage", params={**span, "by": "flow"}).json()["items"]
        assert [(item["day"], item["runs"]) for item in by_flow] == [(None, 1), (None, 1)]
        assert api.call("GET", "/v1/usage", params={"to": "2025-12-31"}).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [({"from": "x"}, "from"), ({"to": "2026-13-01"}, "to"), ({"from": "2026-02-01"}, "from"), ({"by": "hour"}, "by")],
)
def test_bad_questions_about_usage_are_refused(api: Service, query: dict[str, str], field: str) -> None:
    """With 400 and the field that is wrong."""
    answer = api.call("GET", "/v1/usage", params=query)
    assert answer.status_code == 400
    assert field in str(answer.json()["error"]["details"])


def test_a_quota_is_answered_with_429_and_a_time() -> None:
    """And the run does not start."""
    with service({"quotas": {"runs_per_minute": 1}}) as api:
        flow = api.flow()["id"]
        api.start(flow, {"name": "ann"})
        answer = api.call("POST", f"/v1/flows/{flow}/runs", json={"input": {"name": "ann"}})
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "QUOTA_EXCEEDED"
        assert answer.json()["error"]["details"]["quota"] == "runs_per_minute"
        assert 1 <= int(answer.headers["Retry-After"]) <= 120
        assert len(api.call("GET", "/v1/runs").json()["items"]) == 1


# -- audit ----------------------------------------------------------------------------------------------------------


def test_the_log_says_who_did_what() -> None:
    """With the request's correlation id; newest first, or oldest first."""
    with service() as api:
        api.call("POST", "/v1/flows", content=HELLO, headers={"X-Correlation-Id": "req-7"})
        newest = api.call("GET", "/v1/audit").json()["items"]
        assert newest[0]["action"] == "flow.saved"
        assert newest[0]["correlation_id"] == "req-7"
        assert newest[0]["at"].endswith("Z")
        oldest = api.call("GET", "/v1/audit", params={"order": "oldest"}).json()["items"]
        assert [record["seq"] for record in oldest] == list(range(1, len(oldest) + 1))
        assert newest == oldest[::-1]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_of_the_log_are_complete(api: Service, order: str) -> None:
    """Every record is on exactly one page."""
    seen: list[int] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 3, "order": order, **({"cursor": cursor} if cursor else {})}
        page = api.call("GET", "/v1/audit", params=query).json()
        seen += [record["seq"] for record in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == list(range(1, len(seen) + 1))
    assert len(seen) > 3


def test_the_log_can_be_filtered_and_a_cursor_belongs_to_its_filter(api: Service) -> None:
    """By kind of act and by actor; another filter's cursor is refused."""
    page = api.call("GET", "/v1/audit", params={"action": "token", "limit": 1}).json()
    assert {record["action"] for record in page["items"]} == {"token.created"}
    answer = api.call("GET", "/v1/audit", params={"action": "user", "cursor": page["next_cursor"]})
    assert answer.status_code == 400
    assert api.call("GET", "/v1/audit", params={"who": "nobody"}).json()["items"] == []


def test_verify_tells_a_whole_log_from_a_changed_one() -> None:
    """Against the store, and against a head noted earlier."""
    with service() as api:
        api.team()
        verdict = api.call("GET", "/v1/audit/verify").json()
        assert verdict["ok"]
        assert verdict["first_bad"] is None
        head = {"count": verdict["head"]["count"], "hash": verdict["head"]["hash"]}
        assert api.call("GET", "/v1/audit/verify", params=head).json()["ok"]
        forged = api.call("GET", "/v1/audit/verify", params={**head, "hash": "0" * 64}).json()
        assert (forged["ok"], forged["first_bad"]) == (False, head["count"])
        api.platform.engine.parts.backend.entities.delete(AccountId("acct-acme"), "audit", f"{2:012}")
        gone = api.call("GET", "/v1/audit/verify").json()
        assert (gone["ok"], gone["first_bad"], gone["records"]) == (False, 2, 1)


@pytest.mark.parametrize(
    "query", [{"count": 1}, {"hash": "0" * 64}, {"count": 0, "hash": "0" * 64}, {"count": 1, "hash": "x"}]
)
def test_half_a_head_is_refused(api: Service, query: dict[str, Any]) -> None:
    """Number and hash belong together."""
    assert api.call("GET", "/v1/audit/verify", params=query).status_code == 400


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/audit/verify"])
@pytest.mark.parametrize(("role", "status"), [(None, 401), (Role.VIEWER, 403), (Role.EDITOR, 403), (Role.OWNER, 200)])
def test_only_owners_read_the_log(api: Service, path: str, role: Role | None, status: int) -> None:
    """It names people and addresses."""
    assert api.call("GET", path, role=role).status_code == status


# -- health ---------------------------------------------------------------------------------------------------------


def test_a_process_is_alive_and_ready(api: Service) -> None:
    """Without any credentials."""
    assert api.client.get("/healthz").json() == {"status": "ok"}
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": {"store": "ok"}})


def test_what_makes_a_process_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer, a worker that died, the end of the process; it is alive all the while."""
    with service() as api:
        alive = True
        api.platform.health.expect("worker", lambda: alive)
        assert api.client.get("/readyz").json()["checks"] == {"store": "ok", "worker": "ok"}
        alive = False
        answer = api.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        assert answer.json()["checks"]["worker"] == "not running"
        alive = True

        def fail(*_: object) -> None:
            raise StoreError("password=hunter2 at 10.0.0.7")

        with monkeypatch.context() as patch:
            patch.setattr(api.platform.engine.parts.backend.entities, "get", fail)
            answer = api.client.get("/readyz")
            assert (answer.status_code, answer.json()["checks"]["store"]) == (503, "cannot be reached")
            assert "hunter2" not in answer.text
        assert api.client.get("/readyz").status_code == 200
        api.platform.health.stopping()
        assert api.client.get("/readyz").json()["checks"]["process"] == "stopping"
        assert api.client.get("/healthz").status_code == 200


# -- metrics and the log of requests --------------------------------------------------------------------------------


def test_metrics_are_served_only_when_enabled(api: Service) -> None:
    """By default there is nothing at /metrics."""
    answer = api.client.get("/metrics")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


def test_metrics_count_runs_steps_and_requests_by_route() -> None:
    """Routes are templates: no path that somebody made up becomes a label."""
    with service(MEASURED) as api:
        run = api.start(api.flow()["id"], {"name": "ann"})
        api.call("GET", f"/v1/runs/{run}")
        api.call("GET", "/v1/runs/nowhere")
        api.client.get("/made/up/by/somebody")
        page = api.client.get("/metrics")
        assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        requests = {
            (labels["method"], labels["route"], labels["status"]): count
            for labels, count in series(api, "flowrunner_http_request_seconds_count")
        }
        assert requests["GET", "/v1/runs/{run_id}", "200"] == 1
        assert requests["GET", "/v1/runs/{run_id}", "404"] == 1
        assert requests["GET", "(none)", "404"] == 1
        assert not any("somebody" in route for _, route, _ in requests)
        assert series(api, "flowrunner_runs_started_total") == [({}, 1.0)]
        assert series(api, "flowrunner_active_runs") == [({}, 0.0)]


def test_requests_are_in_the_log_with_their_id(caplog: pytest.LogCaptureFixture) -> None:
    """Who asked what, how it ended and how long it took; health checks only for whoever wants details."""
    with service() as api, caplog.at_level(logging.INFO, "flowrunner.requests"):
        api.call("GET", "/v1/usage", params={"flow": "secret-in-query"}, role=Role.VIEWER)
        api.client.get("/healthz")
    found = [record for record in caplog.records if record.name == "flowrunner.requests"]
    data = [record.__dict__["data"] for record in found]
    assert [(one["method"], one["route"], one["status"]) for one in data[-1:]] == [("GET", "/v1/usage", 200)]
    assert data[-1]["who"] == "token:tests"
    assert data[-1]["ms"] >= 0
    assert found[-1].__dict__["account"] == "acct-acme"
    assert "secret-in-query" not in str(data)


def test_what_a_request_causes_has_its_correlation_id(capsys: pytest.CaptureFixture[str]) -> None:
    """From the request to the log of the run that it started."""
    from flowrunner.settings import LogSettings
    from flowrunner.telemetry.logs import configure_logging

    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging(LogSettings(format="json"))
        with service() as api:
            api.start(api.flow()["id"], {"name": "ann"}, headers={"X-Correlation-Id": "trace-me"})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(capture=False)
    lines = [line for line in capsys.readouterr().err.splitlines() if '"trace-me"' in line]
    assert any('"run started"' in line for line in lines)
    assert any('"run completed"' in line for line in lines)
    assert any('"request"' in line for line in lines)
