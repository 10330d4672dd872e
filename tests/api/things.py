"""One of everything in an account, for tests that walk the whole API."""

from __future__ import annotations

from tests.api.harness import PASSWORD, Service

NOTHING_DONE = "AGFzbQEAAAABBAFgAAADAgEABQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAAKBAECAAs="
"""A WebAssembly module that ends at once."""

ASKS = "metadata: {name: asks}\nnodes: {ok: {type: approval, params: {message: ship?}}}\n"


def one_of_everything(api: Service) -> dict[str, str]:
    """The ids by the names that paths give them, made by the owner of `acme` over HTTP."""
    flow = api.flow(ASKS)
    run = api.start(flow["id"])
    schedule = api.call("POST", "/v1/schedules", json={"flow_id": flow["id"], "cron": "0 9 * * *"})
    secret = api.call("PUT", "/v1/secrets/API_KEY", json={"value": "a value nobody sees"})
    module = api.call("PUT", "/v1/modules/acme-resize", json={"content": NOTHING_DONE})
    webhook = api.call(
        "POST",
        "/v1/webhooks",
        json={"url": "http://127.0.0.1:9/", "events": ["run.failed"], "flow_id": flow["id"]},
    )
    for made in (schedule, secret, module, webhook):
        assert made.status_code in (200, 201, 204), made.text
    delivery = api.call("POST", f"/v1/webhooks/{webhook.json()['id']}/test")
    assert delivery.status_code < 300, delivery.text
    login = api.client.post("/v1/session", json={"username": "acme-owner", "password": PASSWORD})
    api.client.cookies.clear()
    users = api.call("GET", "/v1/users").json()["items"]
    viewer = next(user["id"] for user in users if user["role"] == "viewer")
    tokens = api.call("GET", "/v1/tokens").json()["items"]
    return {
        "flow_id": flow["id"],
        "run_id": run,
        "step_id": "ok",
        "revision": "1",
        "schedule_id": schedule.json()["id"],
        "key": "API_KEY",
        "module": "acme-resize",
        "webhook_id": webhook.json()["id"],
        "delivery_id": delivery.json()["id"],
        "session_id": login.json()["session_id"],
        "user_id": viewer,
        "token_id": next(token["id"] for token in tokens if token["user_id"] == viewer),
        "name": "nothing",
        "account": api.team().account,
        "path": "nothing",
        "token": "nothing",
    }
