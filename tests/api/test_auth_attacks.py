"""The shared corpora of attacks on logins, tokens and sessions, run against the whole service."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2
import pytest
from flowrunner.errors import Unauthenticated
from flowrunner.services.identity import Permission, Role
from flowrunner.services.tokens import MIN_LIFE, digest

from tests.api.harness import PASSWORD, Service, service
from tests.attacks import attacks, needs_corpus
from tests.services.people import QuickHasher

WRONG = "wrong horse battery"
Attack = Callable[[Service], None]


@pytest.fixture
def acme() -> Iterator[Service]:
    with service({"accounts": {"signup": "open"}}) as made:
        made.team()
        yield made


def log_in(acme: Service, name: str, password: str, **headers: str) -> httpx2.Response:
    """Log in without keeping the cookie in the client."""
    answer = acme.client.post("/v1/session", json={"username": name, "password": password}, headers=headers)
    acme.client.cookies.clear()
    return answer


def bearer(acme: Service, token: str, method: str = "GET", path: str = "/v1/runs", **options: Any) -> httpx2.Response:
    """A request with a token."""
    return acme.client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)


def made_token(acme: Service, *scopes: Permission, **wish: Any) -> dict[str, Any]:
    """A new token of the owner's."""
    answer = acme.call("POST", "/v1/tokens", json={"name": "t", "scopes": list(scopes), **wish})
    assert answer.status_code == 201
    token: dict[str, Any] = answer.json()
    return token


def reader(acme: Service) -> str:
    """A token that reads runs."""
    return str(made_token(acme, Permission.RUNS_READ, Permission.FLOWS_READ)["token"])


# -- what is done for each entry ------------------------------------------------------------------------------------


def users_cost_the_same(acme: Service) -> None:
    """Hashes are counted instead of times measured: one for each try, whoever the user is."""
    hasher = QuickHasher()
    acme.platform.accounts._passwords._hasher = hasher
    for name in ("acme-owner", "nobody"):
        before = hasher.verified
        said = set()
        for index in range(200):
            if index % 10 == 0:
                acme.clock.turn_to(acme.clock.now() + 60_000)
            answer = log_in(acme, name, WRONG)
            said.add((answer.status_code, answer.json()["error"]["message"]))
        assert hasher.verified - before == 200
        assert said == {(401, "the user name or the password is wrong")}


def failures_are_limited(acme: Service) -> None:
    for index in range(20):
        assert log_in(acme, f"acme-owner{index % 5}", WRONG).status_code == 401
    for name, password in (("acme-owner", WRONG), ("acme-owner", PASSWORD)):
        answer = log_in(acme, name, password)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    elsewhere = acme.platform.sessions.login("acme-owner", PASSWORD, "198.51.100.1")
    assert elsewhere.actor.user


def bad_basicis_401(acme: Service) -> None:
    without_colon = b64encode(b"acme-owner").decode()
    for text in (without_colon, "!!! not base64 !!!", b64encode(b"acme-owner:" + b"a" * 7_500).decode()):
        answer = acme.client.get("/v1/runs", headers={"Authorization": f"Basic {text}"})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"]


def a_revoked_tokenis_401(acme: Service) -> None:
    made = made_token(acme, Permission.RUNS_READ)
    assert bearer(acme, made["token"]).status_code == 200
    assert acme.call("DELETE", f"/v1/tokens/{made['id']}").status_code == 204
    assert bearer(acme, made["token"]).status_code == 401


def an_expired_tokenis_401(acme: Service) -> None:
    made = made_token(acme, Permission.RUNS_READ, expires_in_ms=MIN_LIFE)
    assert bearer(acme, made["token"]).status_code == 200
    acme.clock.turn_to(acme.clock.now() + MIN_LIFE)
    assert bearer(acme, made["token"]).status_code == 401


def a_reader_starts_nothing(acme: Service) -> None:
    flow = acme.flow()
    run = acme.start(flow["id"], {"name": "x"})
    token = reader(acme)
    assert bearer(acme, token, path=f"/v1/runs/{run}").status_code == 200
    for path in (f"/v1/flows/{flow['id']}/runs", f"/v1/runs/{run}/redrive", f"/v1/runs/{run}/cancel"):
        assert bearer(acme, token, "POST", path, json={}).status_code == 403
    assert bearer(acme, token, "DELETE", f"/v1/runs/{run}").status_code == 403
    assert len(acme.call("GET", "/v1/runs").json()["items"]) == 1


def a_viewer_sees_no_secrets(acme: Service) -> None:
    """The role table gives the names to who runs flows, and the values to nobody."""
    assert acme.call("GET", "/v1/secrets", role=Role.VIEWER).status_code == 403


def another_account_is_not_honoured(acme: Service) -> None:
    other = acme.team("other").account
    answer = acme.call("GET", "/v1/account", params={"account": other, "account_id": other})
    assert answer.status_code == 400 or answer.json()["id"] == acme.team().account
    wish = {"name": "vera", "password": PASSWORD, "role": "viewer"}
    for field in ("account", "account_id", "user_id"):
        assert acme.call("POST", "/v1/users", json={**wish, field: other}).status_code == 400
        assert (
            acme.call("POST", "/v1/tokens", json={"name": "t", "scopes": ["runs:read"], field: other}).status_code
            == 400
        )
    assert len(acme.call("GET", "/v1/users", team="other").json()["items"]) == 4


def a_ticket_is_good_once(acme: Service) -> None:
    """That the WebSocket refuses it is held by tests/api/test_websocket.py."""
    owner = acme.platform.sessions.login("acme-owner", PASSWORD, "192.0.2.1").actor
    ticket, _ = acme.platform.tickets.issue(owner)
    assert acme.platform.tickets.redeem(ticket).user == owner.user
    with pytest.raises(Unauthenticated):
        acme.platform.tickets.redeem(ticket)


def another_origin_changes_nothing(acme: Service) -> None:
    answer = log_in(acme, "acme-owner", PASSWORD)
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
        refused = acme.client.post("/v1/users", json={}, headers={"Cookie": cookie, **headers})
        assert refused.status_code == 403


def a_forged_address_dodges_nothing(acme: Service) -> None:
    for index in range(200):
        disguise = f"198.51.100.{index}"
        headers = {"X-Forwarded-For": disguise, "X-Real-IP": disguise, "Forwarded": f"for={disguise}"}
        assert log_in(acme, f"name{index}", WRONG, **headers).status_code == (401 if index < 20 else 429)


def a_huge_password_is_not_hashed(acme: Service) -> None:
    hasher = acme.platform.accounts._passwords._hasher = QuickHasher()
    for length, refusal in ((1_000_000, 413), (5_000, 400), (257, 400)):  # too long for a login, or for a password
        huge = "a" * length
        wish = {"name": "x", "username": "x", "password": huge}
        for answer in (log_in(acme, "acme-owner", huge), acme.call("POST", "/v1/accounts", role=None, json=wish)):
            assert answer.status_code == refusal
            assert len(answer.text) < 1_000
    assert (hasher.hashed, hasher.verified) == (0, 0)


def names_stay_on_their_line(acme: Service) -> None:
    """Names of secrets are held by the tests of the vault."""
    for bad in ("a\0b", "a\nb", "a\u202eb"):
        user = {"name": bad, "password": PASSWORD, "role": "viewer"}
        assert acme.call("POST", "/v1/users", json=user).status_code == 400
        assert acme.call("POST", "/v1/tokens", json={"name": bad, "scopes": ["runs:read"]}).status_code == 400
        assert acme.call("PATCH", "/v1/account", json={"name": bad}).status_code == 400
        flow = {"metadata": {"name": bad}, "nodes": {"a": {"type": "transform", "params": {"value": 1}}}}
        assert acme.call("POST", "/v1/flows", json=flow).status_code == 400
        assert log_in(acme, bad, WRONG).status_code == 401


ATTACKS: Mapping[str, Attack] = {
    "auth-15": users_cost_the_same,
    "auth-16": failures_are_limited,
    "auth-17": bad_basicis_401,
    "auth-18": a_revoked_tokenis_401,
    "auth-19": an_expired_tokenis_401,
    "auth-20": a_reader_starts_nothing,
    "auth-21": a_viewer_sees_no_secrets,
    "auth-23": another_account_is_not_honoured,
    "auth-25": a_ticket_is_good_once,
    "auth-26": another_origin_changes_nothing,
    "auth-27": a_forged_address_dodges_nothing,
    "auth-28": a_huge_password_is_not_hashed,
    "auth-29": names_stay_on_their_line,
}
"""By the ids of webhooks_and_auth.json."""

ELSEWHERE = {
    "auth-22": "tests/api/test_isolation.py walks every route",
    "auth-24": "the tests of the WebSocket",
    "auth-30": "the tests of callbacks",
}


@pytest.mark.parametrize(
    "entry", attacks("webhooks_and_auth.json", "auth", but=ELSEWHERE), ids=lambda entry: entry["id"]
)
def test_attacks_on_logins_tokens_and_sessions(acme: Service, entry: dict[str, Any]) -> None:
    """Each entry ends as it says; one that is new fails until it is run."""
    ATTACKS[entry["id"]](acme)


# -- corpus.json ----------------------------------------------------------------------------------------------------


def is_401(acme: Service, token: str) -> None:
    assert bearer(acme, token).status_code == 401
    assert bearer(acme, acme.team().tokens[Role.OWNER]).status_code == 200


def stays_get(acme: Service) -> None:
    flow = acme.flow()
    override = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    for _ in range(2):
        assert acme.call("GET", f"/v1/flows/{flow['id']}", headers=override).status_code == 200


def eleventh_is_429(acme: Service) -> None:
    for _ in range(10):
        assert log_in(acme, "acme-owner", WRONG).status_code == 401
    answer = log_in(acme, "acme-owner", WRONG)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1


def wide_name_is_taken(acme: Service) -> None:
    wish = {"name": "x", "username": "admin@x.y", "password": PASSWORD}
    assert acme.call("POST", "/v1/accounts", role=None, json=wish).status_code == 201
    wide = {**wish, "username": "\uff41dmin@x.y"}
    assert acme.call("POST", "/v1/accounts", role=None, json=wide).status_code == 409


def new_id_at_login(acme: Service) -> None:
    answer = log_in(acme, "acme-owner", PASSWORD, Cookie="flowrunner_session=fixed")
    assert "=fixed;" not in answer.headers["Set-Cookie"]
    assert acme.client.get("/v1/session", headers={"Cookie": "flowrunner_session=fixed"}).status_code == 401


OLDER: Mapping[str, Attack] = {
    "auth-13": lambda acme: is_401(acme, "fr_live_" + "a" * 49),  # without a read: tests/services/test_tokens.py
    "auth-15": an_expired_tokenis_401,
    "auth-16": lambda acme: is_401(acme, digest(acme.team().tokens[Role.OWNER])),
    "auth-18": a_reader_starts_nothing,
    "auth-19": a_reader_starts_nothing,
    "auth-21": stays_get,
    "auth-22": lambda acme: is_401(acme, "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZG1pbiJ9."),
    "auth-24": lambda acme: is_401(acme, "eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLy4uL2Rldi9udWxsIn0.eyJzdWIiOiJhIn0.AAAA"),
    "auth-25": a_huge_password_is_not_hashed,
    "auth-27": eleventh_is_429,
    "auth-28": a_forged_address_dodges_nothing,
    "auth-30": wide_name_is_taken,
    "auth-31": new_id_at_login,
}
"""By the ids of corpus.json; entries that are plain requests are sent as they are."""

PAGES = {
    "auth-33": "links lead to the configured address: tests/api/test_web_attacks.py",
    "auth-34": "nothing here redirects: the same",
}


@pytest.mark.parametrize("entry", attacks("corpus.json", "auth", but=PAGES), ids=lambda entry: entry["id"])
def test_the_older_corpus(acme: Service, entry: dict[str, Any]) -> None:
    """Each entry ends as it says; nothing is let in by the look of its path."""
    given = entry["input"]
    if entry["id"] in OLDER:
        OLDER[entry["id"]](acme)
        return
    assert set(given) <= {"method", "path", "headers"}, "a new entry has to be run"
    path = given.get("path", "/v1/runs")
    answer = acme.client.request(given.get("method", "GET"), path, headers=given.get("headers"))
    assert answer.status_code in ({401, 404} if "404" in entry["expect"] else {401})
    assert answer.json()["error"]["code"] in ("UNAUTHENTICATED", "NOT_FOUND")


@needs_corpus
def test_the_tables_name_entries_that_exist() -> None:
    """An attack that was renamed is not left behind."""
    assert {*ATTACKS, *ELSEWHERE} == {entry["id"] for entry in attacks("webhooks_and_auth.json", "auth")}
    assert {*OLDER, *PAGES} <= {entry["id"] for entry in attacks("corpus.json", "auth")}
