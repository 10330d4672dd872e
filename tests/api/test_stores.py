"""The service on the stores that it is used on: one way through everything, on SQLite and on PostgreSQL.

The other tests here run on memory; CHECK_SERVICE_STORE=postgres runs all of them on another store.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.harness import Service, postgres_store, service, sqlite_store
from tests.api.things import one_of_everything


def everything_works(api: Service) -> None:
    """Every kind of thing is made, shown, listed and removed."""
    api.team("other")
    things = one_of_everything(api)
    for path in (
        "/v1/flows/{flow_id}", "/v1/flows/{flow_id}/revisions", "/v1/runs/{run_id}", "/v1/runs/{run_id}/steps/ok",
        "/v1/runs/{run_id}/events", "/v1/runs/{run_id}/logs", "/v1/schedules/{schedule_id}", "/v1/secrets/{key}",
        "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}", "/v1/tokens/{token_id}", "/v1/users/{user_id}",
        "/v1/flows", "/v1/runs?status=waiting", "/v1/usage", "/v1/audit", "/v1/audit/verify", "/v1/hooks",
    ):  # fmt: skip
        answer = api.call("GET", path.format(**things))
        assert answer.status_code == 200, (path, answer.text)
    signal = f"/v1/runs/{things['run_id']}/steps/ok/signal"
    assert api.call("POST", signal, json={"payload": {"approved": True}}).status_code == 204
    api.work()
    assert api.call("GET", f"/v1/runs/{things['run_id']}").json()["status"] == "completed"
    assert api.call("GET", "/v1/runs/a%00b").status_code == 404
    verified = api.call("GET", "/v1/audit/verify").json()
    assert verified["ok"], verified
    assert api.call("DELETE", f"/v1/flows/{things['flow_id']}").status_code == 204
    api.platform.background.run_once()
    assert api.call("GET", f"/v1/runs/{things['run_id']}").status_code == 404
    account = api.call("GET", "/v1/account").json()
    assert api.call("DELETE", "/v1/account", params={"confirm": account["name"]}).status_code in (202, 204)
    for _ in range(5):
        api.platform.background.run_once()
    assert api.call("GET", "/v1/flows").status_code == 401
    assert api.call("GET", "/v1/flows", team="other").status_code == 200


def test_everything_works_on_sqlite(tmp_path: Path) -> None:
    """A file."""
    with service(backend=sqlite_store(tmp_path), allow=["127.0.0.1"]) as api:
        everything_works(api)


def test_everything_works_on_postgresql(postgres_url: str) -> None:
    """A server."""
    with service(backend=postgres_store(postgres_url), allow=["127.0.0.1"]) as api:
        everything_works(api)


@pytest.mark.parametrize("path", ["/v1/runs/a%00b", "/v1/flows/a%00b", "/v1/secrets/A%00", "/v1/webhooks/%00"])
def test_a_nul_names_nothing(api: Service, path: str) -> None:
    """On any store."""
    assert api.call("GET", path).status_code == 404
