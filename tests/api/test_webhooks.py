"""Outbound webhooks over HTTP: made, changed, tested, and every delivery looked into."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.services.identity import Role
from standardwebhooks import Webhook

from tests.api.harness import HELLO, Service, service
from tests.services.outbound import Here, Receiver

URL = "https://receiver.example.com/hook"
WITH_HOOK = HELLO.replace("nodes:", f"webhooks:\n  - {{url: '{URL}', events: [run.completed]}}\nnodes:")


def made(api: Service, **wish: Any) -> dict[str, Any]:
    answer = api.call("POST", "/v1/webhooks", json={"url": URL, "events": ["run.completed"], **wish})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def passed_on(api: Service) -> None:
    """One round of relay and sender, all of it in this thread."""
    api.platform.outbound.sender._pool = Here()
    api.platform.outbound.relay.sweep()
    api.platform.outbound.sender.send()


def test_a_webhook_is_made_told_and_verified() -> None:
    """From the request to the signature that the official package accepts, and the delivery that shows it."""
    receiver = Receiver()
    with service(http=receiver) as api:
        hook = made(api, description="orders", headers={"X-Team": "blue"})
        flow = api.flow()
        run = api.start(flow["id"], {"name": "you"})
        passed_on(api)
        sent = receiver.requests[0]
        headers = {name.lower(): value for name, value in sent.headers}
        body = (sent.content or b"").decode()
        signer = Webhook(hook["signing_key"])
        assert signer.sign(headers["webhook-id"], _moment(headers), body) == headers["webhook-signature"]
        listed = api.call("GET", f"/v1/webhooks/{hook['id']}/deliveries").json()
        (delivery,) = listed["items"]
        assert (delivery["type"], delivery["status"], delivery["run_id"]) == ("run.completed", "delivered", run)
        assert (delivery["tries"], delivery["last_status"], delivery["next_try_at"]) == (1, 200, None)
        whole = api.call("GET", f"/v1/webhooks/{hook['id']}/deliveries/{delivery['id']}").json()
        assert whole["payload"]["data"]["run"] == run
        assert [one["status"] for one in whole["history"]] == [200]
        assert headers["webhook-id"] == delivery["id"]


def _moment(headers: dict[str, str]) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)


def test_the_key_is_shown_when_it_is_made_and_never_again() -> None:
    """Not in the list, not alone, not after a change; a rotation shows the new one and until when the old one holds."""
    with service(http=Receiver()) as api:
        hook = made(api)
        key = hook.pop("signing_key")
        path = f"/v1/webhooks/{hook['id']}"
        for answer in (
            api.call("GET", path),
            api.call("GET", "/v1/webhooks"),
            api.call("PATCH", path, json={"description": "x"}),
            api.call("GET", "/v1/audit"),
        ):
            assert answer.status_code == 200, answer.text
            assert "signing_key" not in answer.text
            assert key not in answer.text
        rotated = api.call("POST", f"{path}/rotate-secret").json()
        assert rotated["signing_key"] not in (key, None)
        assert rotated["old_key_until"] == "2026-01-02T00:00:00.000Z"
        assert api.call("GET", path).json()["signed"] is True


def test_a_webhook_is_changed_and_removed() -> None:
    """What is left out stays; a removed one is gone."""
    with service(http=Receiver()) as api:
        hook = made(api, events=["node.completed", "run.failed"])
        path = f"/v1/webhooks/{hook['id']}"
        assert hook["events"] == ["step.succeeded", "run.failed"]
        changed = api.call("PATCH", path, json={"enabled": False, "events": ["run.cancelled"]}).json()
        assert (changed["enabled"], changed["events"], changed["url"]) == (False, ["run.cancelled"], URL)
        assert api.call("DELETE", path).status_code == 204
        assert api.call("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"events": ["run.done"]}, "events[0]"),
        ({"events": []}, "events"),
        ({"nodes": ["a"]}, "nodes"),
        ({"flow_id": "none"}, "flow_id"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"secret": "KEY"}, "secret"),
    ],
)
def test_what_is_refused_is_named(wish: dict[str, Any], field: str) -> None:
    """400, with the field."""
    with service(http=Receiver()) as api:
        answer = api.call("POST", "/v1/webhooks", json={"url": URL, "events": ["run.completed"], **wish})
        assert answer.status_code == 400
        assert [one["field"].removeprefix("body.") for one in answer.json()["error"]["details"]] == [field]


def test_webhooks_of_documents_follow_their_flow() -> None:
    """They come and go with it, and can only be switched."""
    with service(http=Receiver()) as api:
        flow = api.flow(WITH_HOOK)
        (hook,) = api.call("GET", f"/v1/webhooks?flow={flow['id']}").json()["items"]
        path = f"/v1/webhooks/{hook['id']}"
        assert (hook["source"], hook["signed"], hook["flow_id"]) == ("flow", False, flow["id"])
        assert api.call("PATCH", path, json={"url": "https://other.example.com/"}).status_code == 409
        assert api.call("DELETE", path).status_code == 409
        assert api.call("POST", f"{path}/rotate-secret").status_code == 409
        assert api.call("PATCH", path, json={"enabled": False}).json()["enabled"] is False
        assert api.call("POST", f"{path}/test").status_code == 409
        yaml = {"Content-Type": "application/yaml"}
        assert api.call("PUT", f"/v1/flows/{flow['id']}", content=HELLO, headers=yaml).status_code == 200
        assert api.call("GET", path).status_code == 404
        inside = WITH_HOOK.replace(URL, "http://10.0.0.1/")
        refused = api.call("PUT", f"/v1/flows/{flow['id']}", content=inside, headers=yaml)
        assert refused.status_code == 400
        assert refused.json()["error"]["details"][0]["field"] == "webhooks[0].url"
        own = made(api, flow_id=flow["id"])
        assert api.call("DELETE", f"/v1/flows/{flow['id']}").status_code == 204
        assert api.call("GET", f"/v1/webhooks/{own['id']}").status_code == 404


def test_a_test_and_a_retry_are_sent() -> None:
    """202 with the delivery, whose id stays."""
    receiver = Receiver()
    with service(http=receiver) as api:
        hook = made(api)
        answer = api.call("POST", f"/v1/webhooks/{hook['id']}/test")
        assert answer.status_code == 202
        delivery = answer.json()
        assert (delivery["type"], delivery["status"]) == ("webhook.test", "pending")
        retried = api.call("POST", f"/v1/webhooks/{hook['id']}/deliveries/{delivery['id']}/retry")
        assert (retried.status_code, retried.json()["id"]) == (202, delivery["id"])
        passed_on(api)
        assert len(receiver.requests) == 1
        missing = api.call("POST", f"/v1/webhooks/{hook['id']}/deliveries/msg_0/retry")
        assert missing.status_code == 404


def test_pages_of_webhooks_and_deliveries() -> None:
    """Each cursor leads to the rest, and belongs to its own list."""
    with service(http=Receiver()) as api:
        hooks = [made(api)["id"] for _ in range(3)]
        first = api.call("GET", "/v1/webhooks?limit=2").json()
        rest = api.call("GET", f"/v1/webhooks?limit=2&cursor={first['next_cursor']}").json()
        assert [one["id"] for one in (*first["items"], *rest["items"])] == sorted(hooks)
        assert rest["next_cursor"] is None
        for _ in range(3):
            api.later(10)
            api.call("POST", f"/v1/webhooks/{hooks[0]}/test")
        path = f"/v1/webhooks/{hooks[0]}/deliveries"
        first = api.call("GET", f"{path}?limit=2").json()
        rest = api.call("GET", f"{path}?limit=2&cursor={first['next_cursor']}").json()
        moments = [one["created_at"] for one in (*first["items"], *rest["items"])]
        assert moments == sorted(moments, reverse=True)
        assert len(moments) == 3
        other = api.call("GET", f"/v1/webhooks/{hooks[1]}/deliveries?cursor={first['next_cursor']}")
        assert other.status_code == 400


def test_others_see_nothing_and_viewers_change_nothing() -> None:
    """Another account's ids are not found; without `webhooks:write` the answer is 403."""
    with service(http=Receiver()) as api:
        hook = made(api)["id"]
        delivery = api.call("POST", f"/v1/webhooks/{hook}/test").json()["id"]
        path = f"/v1/webhooks/{hook}"
        one = f"{path}/deliveries/{delivery}"
        reads = [("GET", path), ("GET", f"{path}/deliveries"), ("GET", one)]
        writes = [
            *(("PATCH", path), ("DELETE", path), ("POST", f"{path}/rotate-secret")),
            *(("POST", f"{path}/test"), ("POST", f"{one}/retry")),
        ]
        for method, target in (*reads, *writes):
            options: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            assert api.call(method, target, team="other", **options).status_code == 404
            expected = 200 if (method, target) in reads else 403
            assert api.call(method, target, role=Role.VIEWER, **options).status_code == expected
            assert api.call(method, target, role=None, **options).status_code == 401


def test_the_quota_holds() -> None:
    """429 when the account has as many as it may have."""
    with service({"quotas": {"webhooks": 1}}, http=Receiver()) as api:
        made(api)
        answer = api.call("POST", "/v1/webhooks", json={"url": URL, "events": ["run.completed"]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "QUOTA_EXCEEDED")


def test_the_background_wakes_at_once() -> None:
    """A run's event is on its way without anybody's asking: its change wakes the relay, the delivery the sender."""
    import threading

    came = threading.Event()

    receiver = Receiver()
    answer = receiver.answer

    def arrived(request: Any) -> Any:
        came.set()
        return answer(request)

    receiver.answer = arrived
    with service(http=receiver) as api:
        made(api)
        flow = api.flow()
        api.platform.background.start()
        api.start(flow["id"], {"name": "you"})
        assert came.wait(120)
        api.platform.background.stop()
        api.platform.outbound.close()
