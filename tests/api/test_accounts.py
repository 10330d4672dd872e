"""Accounts, users and tokens over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.services.identity import PERMISSIONS, Permission, Role

from tests.api.harness import PASSWORD, Service, service

NEW_PASSWORD = "another long phrase"


@pytest.fixture
def acme() -> Iterator[Service]:
    with service({"accounts": {"signup": "open"}}) as made:
        yield made


def error(answer: Any) -> str:
    """The code of an error."""
    return str(answer.json()["error"]["code"])


def test_signing_up(acme: Service) -> None:
    """Who signs up can log in with what they gave, and owns the account."""
    wish = {"name": "Data team", "username": "olga@example.org", "password": PASSWORD}
    answer = acme.call("POST", "/v1/accounts", role=None, json=wish)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["username"]) == ("Data team", "olga@example.org")
    assert PASSWORD not in answer.text
    me = acme.client.get("/v1/session", auth=("olga@example.org", PASSWORD)).json()
    assert (me["account_id"], me["user_id"], me["csrf_token"]) == (made["id"], made["user_id"], None)
    assert me["permissions"] == sorted(Permission)
    again = acme.call("POST", "/v1/accounts", role=None, json={**wish, "username": "OLGA@example.org"})
    assert (again.status_code, error(again)) == (409, "CONFLICT")
    assert acme.call("GET", "/v1/accounts", role=None).json() == {"open": True}


def test_sign_up_can_be_closed() -> None:
    """It is, unless a setting opens it."""
    with service() as closed:
        wish = {"name": "x", "username": "x", "password": PASSWORD}
        answer = closed.call("POST", "/v1/accounts", role=None, json=wish)
        told = closed.call("GET", "/v1/accounts", role=None)
    assert (answer.status_code, error(answer)) == (403, "FORBIDDEN")
    assert told.json() == {"open": False}


@pytest.mark.parametrize(
    "change",
    [
        {"password": "short"},
        {"password": "a" * 257},
        {"username": "a b"},
        {"username": "a\u0000b"},
        {"username": "a\u202eb"},
        {"name": "a\nb"},
        {"name": ""},
        {"role": "owner"},
        {"account_id": "acct-acme"},
        {"username": 1},
    ],
)
def test_bad_sign_ups(acme: Service, change: dict[str, Any]) -> None:
    """400, and the message does not repeat the password."""
    wish = {"name": "x", "username": "x", "password": PASSWORD, **change}
    answer = acme.call("POST", "/v1/accounts", role=None, json=wish)
    assert (answer.status_code, error(answer)) == (400, "VALIDATION_ERROR")
    assert wish["password"] not in answer.text


def test_the_account(acme: Service) -> None:
    """Everybody in it sees it, an owner renames it."""
    answer = acme.call("GET", "/v1/account", role=Role.VIEWER)
    assert (answer.status_code, answer.json()["name"]) == (200, "acme")
    renamed = acme.call("PATCH", "/v1/account", json={"name": "New"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "New")
    assert acme.call("PATCH", "/v1/account", role=Role.EDITOR, json={"name": "x"}).status_code == 403
    assert acme.call("PATCH", "/v1/account", json={"id": "x"}).status_code == 400


def test_deleting_the_account(acme: Service) -> None:
    """Nobody is let in from the next request on, and everything is gone when the background is done."""
    team = acme.team()
    acme.flow()
    other = acme.flow(team="other")
    assert acme.call("DELETE", "/v1/account", params={"confirm": "wrong"}).status_code == 400
    assert acme.call("DELETE", "/v1/account").status_code == 400
    assert acme.call("DELETE", "/v1/account", role=Role.EDITOR, params={"confirm": "acme"}).status_code == 403
    assert acme.call("DELETE", "/v1/account", params={"confirm": "acme"}).status_code == 204
    for role in Role:
        assert acme.call("GET", "/v1/account", role=role).status_code == 401
    assert acme.client.get("/v1/account", auth=(team.owner, PASSWORD)).status_code == 401
    acme.platform.background.run_once()
    backend = acme.platform.engine.parts.backend
    assert backend.delete_account(team.account, 10) == 0
    assert acme.call("GET", f"/v1/flows/{other['id']}", team="other").status_code == 200


def test_users(acme: Service) -> None:
    """Made, listed, changed, removed."""
    wish = {"name": "vera", "password": PASSWORD, "role": "viewer"}
    made = acme.call("POST", "/v1/users", json=wish)
    assert made.status_code == 201
    path = made.headers["Location"]
    user = made.json()
    assert path == f"/v1/users/{user['id']}"
    assert "argon2" not in made.text
    assert (user["name"], user["role"], user["disabled"]) == ("vera", "viewer", False)
    assert acme.call("GET", path).json() == user
    changed = acme.call("PATCH", path, json={"role": "editor", "disabled": True})
    assert (changed.json()["role"], changed.json()["disabled"]) == ("editor", True)
    assert acme.client.get("/v1/session", auth=("vera", PASSWORD)).status_code == 401
    acme.call("PATCH", path, json={"disabled": False})
    assert acme.client.get("/v1/session", auth=("vera", PASSWORD)).json()["permissions"] == sorted(
        PERMISSIONS[Role.EDITOR]
    )
    assert acme.call("POST", "/v1/users", json=wish).status_code == 409
    assert acme.call("DELETE", path).status_code == 204
    assert acme.call("GET", path).status_code == 404
    assert acme.call("DELETE", path).status_code == 404


def test_users_come_in_pages(acme: Service) -> None:
    """A cursor leads from each page to the next, until there is none."""
    acme.team()
    names, cursor = [], None
    for _ in range(10):
        page = acme.call("GET", "/v1/users", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        names += [user["name"] for user in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(names) == sorted(["acme-owner", "acme-viewer", "acme-operator", "acme-editor"])
    first = acme.call("GET", "/v1/users", params={"limit": 1}).json()["next_cursor"]
    assert acme.call("GET", "/v1/users", team="other", params={"cursor": first}).status_code == 400
    assert acme.call("GET", "/v1/tokens", params={"cursor": first}).status_code == 400


def test_the_last_owner_stays(acme: Service) -> None:
    """409, whichever way it is tried."""
    me = acme.call("GET", "/v1/session").json()["user_id"]
    for change in ({"role": "viewer"}, {"disabled": True}):
        answer = acme.call("PATCH", f"/v1/users/{me}", json=change)
        assert (answer.status_code, error(answer)) == (409, "CONFLICT")
    assert acme.call("DELETE", f"/v1/users/{me}").status_code == 409


def test_everybody_sees_themselves(acme: Service) -> None:
    """And nobody else without the permission."""
    me = acme.call("GET", "/v1/session", role=Role.VIEWER).json()["user_id"]
    owner = acme.call("GET", "/v1/session").json()["user_id"]
    assert acme.call("GET", f"/v1/users/{me}", role=Role.VIEWER).json()["name"] == "acme-viewer"
    assert acme.call("GET", f"/v1/users/{owner}", role=Role.VIEWER).status_code == 403
    assert acme.call("GET", f"/v1/users/{owner}", team="other").status_code == 404


def test_changing_a_password(acme: Service) -> None:
    """With the old one for oneself; an owner sets another's."""
    me = acme.call("GET", "/v1/session", role=Role.VIEWER).json()["user_id"]
    path = f"/v1/users/{me}/password"
    assert acme.call("POST", path, role=Role.VIEWER, json={"password": NEW_PASSWORD}).status_code == 400
    wrong = {"password": NEW_PASSWORD, "old_password": "wrong horse battery"}
    assert acme.call("POST", path, role=Role.VIEWER, json=wrong).status_code == 403
    right = {"password": NEW_PASSWORD, "old_password": PASSWORD}
    assert acme.call("POST", path, role=Role.VIEWER, json=right).status_code == 204
    assert acme.client.get("/v1/session", auth=("acme-viewer", NEW_PASSWORD)).status_code == 200
    assert acme.client.get("/v1/session", auth=("acme-viewer", PASSWORD)).status_code == 401
    assert acme.call("POST", path, json={"password": PASSWORD}).status_code == 204
    assert acme.client.get("/v1/session", auth=("acme-viewer", PASSWORD)).status_code == 200


def test_tokens(acme: Service) -> None:
    """Made, used, seen without their text, revoked at once."""
    wish = {"name": "ci", "scopes": ["runs:read", "flows:read"], "expires_in_ms": 3_600_000}
    made = acme.call("POST", "/v1/tokens", role=Role.EDITOR, json=wish)
    assert made.status_code == 201
    token = made.json()
    text = token.pop("token")
    assert text.startswith("fr_live_")
    assert token["scopes"] == ["flows:read", "runs:read"]
    assert token["expires_at"] == "2026-01-01T01:00:00.000Z"
    me = acme.client.get("/v1/session", headers={"Authorization": f"Bearer {text}"}).json()
    assert (me["name"], me["token_id"], me["permissions"]) == ("token:ci", token["id"], ["flows:read", "runs:read"])
    path = made.headers["Location"]
    seen = acme.call("GET", path, role=Role.EDITOR)
    assert seen.json() == {**token, "last_used": "2026-01-01T00:00:00.000Z"}
    assert text not in seen.text + acme.call("GET", "/v1/tokens").text
    assert acme.call("DELETE", path, role=Role.VIEWER).status_code == 404
    assert acme.call("DELETE", path, team="other").status_code == 404
    assert acme.call("DELETE", path, role=Role.EDITOR).status_code == 204
    assert acme.client.get("/v1/session", headers={"Authorization": f"Bearer {text}"}).status_code == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"scopes": []}, 400),
        ({"scopes": ["everything"]}, 400),
        ({"scopes": ["flows:write"]}, 403),
        ({"expires_in_ms": 1}, 400),
        ({"expires_in_ms": "1h"}, 400),
        ({"user_id": "somebody"}, 400),
        ({"name": "a\nb"}, 400),
    ],
)
def test_bad_tokens(acme: Service, change: dict[str, Any], status: int) -> None:
    """A viewer gives no more than they have, and nothing unknown is taken."""
    wish = {"name": "ci", "scopes": ["runs:read"], **change}
    assert acme.call("POST", "/v1/tokens", role=Role.VIEWER, json=wish).status_code == status


def test_everybody_lists_their_own_tokens_and_an_owner_all(acme: Service) -> None:
    """By the user's id."""
    mine = acme.call("GET", "/v1/tokens", role=Role.VIEWER).json()["items"]
    everybodys = acme.call("GET", "/v1/tokens").json()["items"]
    assert (len(mine), len(everybodys)) == (1, 4)
    assert mine[0] in everybodys
    page = acme.call("GET", "/v1/tokens", params={"limit": 3}).json()
    rest = acme.call("GET", "/v1/tokens", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert [token["id"] for token in page["items"] + rest["items"]] == [token["id"] for token in everybodys]


def test_a_scope_is_a_limit(acme: Service) -> None:
    """A token that reads starts, cancels and redrives nothing (auth-20, corpus auth-18 and auth-19)."""
    flow = acme.flow()
    run = acme.start(flow["id"], {"name": "x"})
    made = acme.call("POST", "/v1/tokens", json={"name": "reader", "scopes": ["runs:read", "flows:read"]}).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert acme.client.get(f"/v1/runs/{run}", headers=headers).status_code == 200
    for path in (f"/v1/flows/{flow['id']}/runs", f"/v1/runs/{run}/redrive", f"/v1/runs/{run}/cancel"):
        assert acme.client.post(path, headers=headers, json={}).status_code == 403
    assert acme.client.delete(f"/v1/runs/{run}", headers=headers).status_code == 403


@pytest.mark.parametrize("place", ["query", "body"])
def test_an_account_in_the_request_is_not_honoured(acme: Service, place: str) -> None:
    """The account is the token's, whatever else is said (auth-23)."""
    other = acme.team("other").account
    if place == "query":
        answer = acme.call("GET", "/v1/account", params={"account": other, "account_id": other})
        assert answer.status_code == 400 or answer.json()["id"] == acme.team().account
    else:
        wish = {"name": "vera", "password": PASSWORD, "role": "viewer", "account": other}
        assert acme.call("POST", "/v1/users", json=wish).status_code == 400
