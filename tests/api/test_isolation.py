"""Every route, walked with every role, every scope, another account's members, and nobody.

The table says for each operation what it needs, in words of its own: a route that is not in it, or that asks for less
than the table says, fails here. What a request would do does not matter: who may not do it is told so before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from flowrunner.api.routing import ApiRoute
from flowrunner.services.identity import PERMISSIONS, Permission, Role

from tests.api.harness import HELLO, Service, service
from tests.api.things import NOTHING_DONE, one_of_everything

PUBLIC = "public"
KNOWN = "known"

ACCESS: Mapping[str, str] = {
    # flows
    "create_flow": "flows:write",
    "list_flows": "flows:read",
    "validate_flow": "flows:read",
    "get_flow": "flows:read",
    "update_flow": "flows:write",
    "delete_flow": "flows:write",
    "archive_flow": "flows:write",
    "activate_flow": "flows:write",
    "list_revisions": "flows:read",
    "get_revision": "flows:read",
    "diff_revisions": "flows:read",
    # runs
    "start_run": "runs:write",
    "list_runs": "runs:read",
    "get_run": "runs:read",
    "get_flow_of_run": "flows:read",
    "cancel_run": "runs:write",
    "redrive_run": "runs:write",
    "delete_run": "runs:write",
    "list_steps": "runs:read",
    "get_step": "runs:read",
    "signal_step": "runs:write",
    "evaluate_expression": "flows:write",
    "list_run_events": "runs:read",
    "list_run_logs": "runs:read",
    "get_timeline": "runs:read",
    "create_ticket": "runs:read",
    # triggers
    "list_hooks": "schedules:read",
    "receive_hook_get": PUBLIC,
    "receive_hook_post": PUBLIC,
    "receive_hook_put": PUBLIC,
    "receive_hook_patch": PUBLIC,
    "receive_hook_delete": PUBLIC,
    "list_schedules": "schedules:read",
    "create_schedule": "schedules:write",
    "get_schedule": "schedules:read",
    "update_schedule": "schedules:write",
    "delete_schedule": "schedules:write",
    "answer_callback": PUBLIC,
    # outbound
    "list_webhooks": "webhooks:read",
    "create_webhook": "webhooks:write",
    "get_webhook": "webhooks:read",
    "update_webhook": "webhooks:write",
    "delete_webhook": "webhooks:write",
    "list_deliveries": "webhooks:read",
    "get_delivery": "webhooks:read",
    "retry_delivery": "webhooks:write",
    "rotate_webhook_secret": "webhooks:write",
    "test_webhook": "webhooks:write",
    # account
    "create_account": PUBLIC,
    "get_signup": PUBLIC,
    "get_account": "account:read",
    "update_account": "account:write",
    "delete_account": "account:write",
    "list_users": "users:read",
    "create_user": "users:write",
    "get_user": KNOWN,  # oneself; others need users:read
    "update_user": "users:write",
    "delete_user": "users:write",
    "change_password": KNOWN,  # one's own; others' need users:write
    "list_tokens": "tokens:read",
    "create_token": "tokens:write",
    "get_token": "tokens:read",
    "revoke_token": "tokens:write",
    "log_in": PUBLIC,
    "get_session": KNOWN,
    "log_out": KNOWN,
    "list_sessions": "tokens:read",
    "end_session": "tokens:write",
    "get_usage": "usage:read",
    "list_audit_records": "audit:read",
    "verify_audit": "audit:read",
    # secrets
    "list_secrets": "secrets:read",
    "get_secret": "secrets:read",
    "put_secret": "secrets:write",
    "delete_secret": "secrets:write",
    "import_secrets": "secrets:write",
    "rotate_secrets": "secrets:write",
    "list_modules": "flows:read",
    "get_module": "flows:read",
    "put_module": "flows:write",
    "delete_module": "flows:write",
    # catalogue and system
    "list_node_types": KNOWN,
    "list_plugins": "plugins:read",
    "update_plugin": "plugins:write",
    "get_flow_schema": PUBLIC,
    "exchange_mcp": "mcp:use",
    "refuse_mcp": PUBLIC,
    "get_health": PUBLIC,
    "get_readiness": PUBLIC,
    "get_metrics": PUBLIC,
}

ROLES: Mapping[str, set[Role]] = {
    "viewer": {Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.OWNER},
    "operator": {Role.OPERATOR, Role.EDITOR, Role.OWNER},
    "editor": {Role.EDITOR, Role.OWNER},
    "owner": {Role.OWNER},
}
LEAST: Mapping[str, str] = {
    "flows:read": "viewer", "flows:write": "editor", "runs:read": "viewer", "runs:write": "operator",
    "secrets:read": "operator", "secrets:write": "editor", "schedules:read": "viewer", "schedules:write": "editor",
    "webhooks:read": "viewer", "webhooks:write": "editor", "tokens:read": "viewer", "tokens:write": "viewer",
    "usage:read": "viewer", "account:read": "viewer", "account:write": "owner", "users:read": "owner",
    "users:write": "owner", "audit:read": "owner", "plugins:read": "viewer", "plugins:write": "owner",
    "mcp:use": "operator",
}  # fmt: skip
"""The least role that has each permission, as docs/accounts.md says."""

BODIES: Mapping[str, Any] = {
    "create_schedule": {"flow_id": "{flow_id}", "cron": "0 9 * * *"},
    "update_schedule": {"cron": "0 9 * * *"},
    "update_user": {"disabled": True},
    "change_password": {"password": "another battery staple"},
    "signal_step": {"payload": 1},
    "evaluate_expression": {"value": "${input}"},
    "put_secret": {"value": "another value"},
    "put_module": {"content": NOTHING_DONE},
    "update_webhook": {"enabled": False},
    "create_webhook": {"url": "https://example.com/", "events": ["run.failed"], "flow_id": "{flow_id}"},
}
"""Bodies that the route would take from a member of the account."""

TEXTS = {"create_flow": HELLO, "validate_flow": HELLO, "update_flow": HELLO}
PREFIXED = (
    "flow_id",
    "run_id",
    "schedule_id",
    "user_id",
    "token_id",
    "session_id",
    "webhook_id",
    "delivery_id",
    "key",
    "module",
)


@dataclass
class Walk:
    """The service with one of everything in the account `acme`."""

    api: Service
    things: dict[str, str]

    def routes(self) -> list[tuple[str, ApiRoute]]:
        found = []
        app = self.api.client.app
        assert isinstance(app, FastAPI)
        for route in app.routes:
            if isinstance(route, APIRoute):
                assert isinstance(route, ApiRoute), f"{route.path} is no route that knows its callers"
                found += [(method, route) for method in sorted(route.methods or ())]
        return found

    def request(self, method: str, route: ApiRoute, headers: Mapping[str, str]) -> int:
        """The status of a request to the route with acme's ids."""
        path = re.sub(r"\{(\w+)(:path)?\}", lambda match: self.things.get(match[1], "1"), route.path_format)
        name = str(route.operation_id)
        options: dict[str, Any] = {}
        if name in TEXTS:
            options = {"content": TEXTS[name], "headers": {"Content-Type": "application/yaml"}}
        elif name in BODIES:
            options = {"json": self._filled(BODIES[name])}
        if name == "diff_revisions":
            options["params"] = {"from": 1, "to": 1}
        options["headers"] = {**options.get("headers", {}), **headers}
        return int(self.api.client.request(method, path, **options).status_code)

    def _filled(self, body: Any) -> Any:
        if isinstance(body, dict):
            return {key: self._filled(value) for key, value in body.items()}
        return body.format(**self.things) if isinstance(body, str) and body.startswith("{") else body


@pytest.fixture(scope="module")
def walk() -> Iterator[Walk]:
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}, allow=["127.0.0.1"]) as api:
        api.team("other")
        yield Walk(api, one_of_everything(api))


def test_every_route_is_in_the_table(walk: Walk) -> None:
    """With what it needs, as the route itself says; nothing in the table is out of use."""
    said = {
        str(route.operation_id): PUBLIC if route.public else str(route.permission or KNOWN)
        for _, route in walk.routes()
    }
    assert said == dict(ACCESS)
    assert set(LEAST) == {str(permission) for permission in Permission}


def test_every_role_has_what_it_should() -> None:
    """No more and no less."""
    for permission, least in LEAST.items():
        assert {role for role in Role if Permission(permission) in PERMISSIONS[role]} == ROLES[least], permission


def test_nobody_gets_in(walk: Walk) -> None:
    """Without credentials, with those of nobody, with a hash instead of a token."""
    import hashlib

    token = walk.api.team().tokens[Role.OWNER]
    strangers: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer nothing"},
        {"Authorization": "bearer   "},
        {"Authorization": f"Bearer {hashlib.sha256(token.encode()).hexdigest()}"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Cookie": "flowrunner_session=nothing"},
    )
    for method, route in walk.routes():
        if ACCESS[str(route.operation_id)] == PUBLIC:
            continue
        for headers in strangers:
            assert walk.request(method, route, headers) in (401, 429), (route.operation_id, headers)


def test_a_role_may_do_what_it_has_the_permission_for(walk: Walk) -> None:
    """And is told 403 for everything else."""
    for method, route in walk.routes():
        needed = ACCESS[str(route.operation_id)]
        if needed in (PUBLIC, KNOWN):
            continue
        for role in Role:
            if role not in ROLES[LEAST[needed]]:
                status = walk.request(method, route, walk.api.team().headers(role))
                assert status == 403, (route.operation_id, role)


def test_a_token_may_do_what_its_scopes_say(walk: Walk) -> None:
    """A token of the owner with one scope does nothing that needs another one."""
    for scope in Permission:
        made = walk.api.call("POST", "/v1/tokens", json={"name": f"only {scope}", "scopes": [str(scope)]})
        assert made.status_code == 201, made.text
        headers = {"Authorization": f"Bearer {made.json()['token']}"}
        for method, route in walk.routes():
            needed = ACCESS[str(route.operation_id)]
            if needed not in (PUBLIC, KNOWN, str(scope)):
                assert walk.request(method, route, headers) == 403, (route.operation_id, scope)


def test_another_accounts_things_are_not_there(walk: Walk) -> None:
    """With every right in their own account, for every id of ours: 404, as for an id that nobody has (auth-22)."""
    for method, route in walk.routes():
        name = str(route.operation_id)
        if ACCESS[name] == PUBLIC or not any(f"{{{one}}}" in route.path_format for one in PREFIXED):
            continue
        if name == "put_secret":  # their own secret of that name is made
            assert walk.request(method, route, walk.api.team("other").headers()) in (200, 201, 204)
            walk.api.call("DELETE", "/v1/secrets/API_KEY", team="other")
            continue
        if name == "put_module":  # and so is their own module
            assert walk.request(method, route, walk.api.team("other").headers()) == 200
            walk.api.call("DELETE", f"/v1/modules/{walk.things['module']}", team="other")
            continue
        for role in Role:
            status = walk.request(method, route, walk.api.team("other").headers(role))
            expected = (404,) if role is Role.OWNER else (403, 404)
            assert status in expected, (name, role, status)


def test_a_body_that_names_another_accounts_things_is_refused(walk: Walk) -> None:
    """As if they were not there; and no body carries an account (auth-23, tenant-05)."""
    for name, method, path in (
        ("create_schedule", "POST", "/v1/schedules"),
        ("create_webhook", "POST", "/v1/webhooks"),
    ):
        body = walk._filled(BODIES[name])
        answer = walk.api.call(method, path, team="other", json=body)
        missing = walk.api.call(method, path, team="other", json={**body, "flow_id": "nothing"})
        assert answer.status_code == missing.status_code >= 400, (name, answer.text)
        assert answer.json()["error"]["message"] == missing.json()["error"]["message"]
        answer = walk.api.call(method, path, json={**body, "account_id": walk.api.team("other").account})
        assert answer.status_code == 400, (name, answer.text)


def test_lists_show_ones_own_things_only(walk: Walk) -> None:
    """No id of ours is in any list that another account can see."""
    ours = {walk.things[name] for name in PREFIXED if name not in ("key", "module")}  # names that others may use, too
    for method, route in walk.routes():
        if method == "GET" and "{" not in route.path_format and ACCESS[str(route.operation_id)] != PUBLIC:
            answer = walk.api.call("GET", route.path_format, team="other")
            assert answer.status_code == 200, (route.operation_id, answer.text)
            assert not [thing for thing in ours if thing in answer.text], route.operation_id


def test_ours_are_still_there(walk: Walk) -> None:
    """Nothing that anybody tried above has changed them."""
    for method, route in walk.routes():
        if method == "GET" and ACCESS[str(route.operation_id)] != PUBLIC and "{name}" not in route.path_format:
            assert walk.request(method, route, walk.api.team().headers()) == 200, route.operation_id
