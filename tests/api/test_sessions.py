"""Sessions of the console over HTTP: the cookie, the CSRF token, the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie

import httpx2
import pytest
from flowrunner.services.identity import Permission, Role

from tests.api.harness import PASSWORD, Service, service

ORIGIN = "http://testserver"
WRONG = "wrong horse battery"


@pytest.fixture
def acme() -> Iterator[Service]:
    with service() as made:
        made.team()
        yield made


@pytest.fixture
def public() -> Iterator[Service]:
    """A server that says it is reached over HTTPS."""
    with service({"public_url": "https://flows.example.org/base"}) as made:
        made.team()
        yield made


def log_in(acme: Service, name: str = "acme-owner", password: str = PASSWORD, **headers: str) -> httpx2.Response:
    """Log in without keeping the cookie in the client."""
    answer = acme.client.post("/v1/session", json={"username": name, "password": password}, headers=headers)
    acme.client.cookies.clear()
    return answer


def cookie_of(answer: httpx2.Response) -> str:
    """`name=value` of the cookie that an answer sets."""
    return answer.headers["Set-Cookie"].partition(";")[0]


def test_logging_in_gives_a_cookie_and_a_csrf_token(acme: Service) -> None:
    """With both, and the own origin, the console may do what its user may."""
    answer = log_in(acme)
    assert answer.status_code == 201
    me = answer.json()
    cookie = cookie_of(answer)
    assert me["permissions"] == sorted(Permission)
    assert cookie.partition("=")[2] not in answer.text
    assert acme.client.get("/v1/session", headers={"Cookie": cookie}).json() == me
    signs = {"Cookie": cookie, "Origin": ORIGIN, "X-CSRF-Token": me["csrf_token"]}
    assert acme.client.patch("/v1/account", json={"name": "New"}, headers=signs).status_code == 200
    assert acme.client.delete("/v1/session", headers=signs).status_code == 204
    assert acme.client.get("/v1/session", headers={"Cookie": cookie}).status_code == 401


@pytest.mark.parametrize(
    "missing", [{"Origin": "https://evil.example"}, {"Origin": ""}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x"}]
)
def test_a_change_from_elsewhere_is_refused(acme: Service, missing: Mapping[str, str]) -> None:
    """With the cookie alone another page can do nothing (auth-26)."""
    answer = log_in(acme)
    signs = {"Cookie": cookie_of(answer), "Origin": ORIGIN, "X-CSRF-Token": answer.json()["csrf_token"], **missing}
    refused = acme.client.patch("/v1/account", json={"name": "evil"}, headers=signs)
    assert refused.status_code == 403
    assert acme.call("GET", "/v1/account").json()["name"] == "acme"


def test_the_cookie_of_a_plain_server(acme: Service) -> None:
    """Out of reach for scripts and other sites' posts."""
    morsel = SimpleCookie(log_in(acme).headers["Set-Cookie"])["flowrunner_session"]
    assert morsel["httponly"]
    assert not morsel["secure"]
    assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("lax", "/", "")
    assert morsel["max-age"] == str(7 * 24 * 3600)


def test_the_cookie_of_a_server_on_https(public: Service) -> None:
    """Only over HTTPS, and no other host can set one; without the prefix it does not count."""
    answer = log_in(public)
    morsel = SimpleCookie(answer.headers["Set-Cookie"])["__Host-flowrunner_session"]
    assert morsel["secure"]
    assert morsel["httponly"]
    assert (morsel["path"], morsel["domain"]) == ("/", "")
    cookie = cookie_of(answer)
    assert public.client.get("/v1/session", headers={"Cookie": cookie}).status_code == 200
    bare = cookie.removeprefix("__Host-")
    assert public.client.get("/v1/session", headers={"Cookie": bare}).status_code == 401
    signs = {"Cookie": cookie, "Origin": "https://flows.example.org", "X-CSRF-Token": answer.json()["csrf_token"]}
    gone = public.client.delete("/v1/session", headers=signs)
    assert gone.status_code == 204
    cleared = SimpleCookie(gone.headers["Set-Cookie"])["__Host-flowrunner_session"]
    assert (cleared.value, cleared["max-age"]) == ("", "0")
    assert cleared["secure"]


def test_another_page_logs_nobody_in(acme: Service) -> None:
    """Else it could put its visitors into the attacker's account."""
    assert log_in(acme, Origin="https://evil.example").status_code == 403
    assert log_in(acme, Origin=ORIGIN).status_code == 201


def test_a_log_in_replaces_the_session_that_was_there(acme: Service) -> None:
    """A cookie that was fixed beforehand is not taken over (corpus auth-31)."""
    first = cookie_of(log_in(acme))
    answer = log_in(acme, Cookie=first)
    assert cookie_of(answer) != first
    assert acme.client.get("/v1/session", headers={"Cookie": first}).status_code == 401
    fixed = log_in(acme, Cookie="flowrunner_session=chosen")
    assert cookie_of(fixed) != "flowrunner_session=chosen"


def test_ones_own_sessions(acme: Service) -> None:
    """Listed with where they were begun, and ended one by one."""
    here = log_in(acme)
    there = cookie_of(log_in(acme))
    signs = {"Cookie": cookie_of(here), "Origin": ORIGIN, "X-CSRF-Token": here.json()["csrf_token"]}
    listed = acme.client.get("/v1/sessions", headers=signs).json()["items"]
    assert [session["current"] for session in listed] == [True, False]
    page = acme.client.get("/v1/sessions", headers=signs, params={"limit": 1}).json()
    rest = acme.client.get("/v1/sessions", headers=signs, params={"cursor": page["next_cursor"]}).json()
    assert page["items"] + rest["items"] == listed
    other = listed[1]["id"]
    assert acme.call("DELETE", f"/v1/sessions/{other}", role=Role.VIEWER).status_code == 404
    assert acme.client.delete(f"/v1/sessions/{other}", headers=signs).status_code == 204
    assert acme.client.get("/v1/session", headers={"Cookie": there}).status_code == 401
    assert acme.client.get("/v1/session", headers=signs).status_code == 200


def test_a_token_has_no_session_to_end(acme: Service) -> None:
    """403 says what to do instead."""
    answer = acme.call("DELETE", "/v1/session")
    assert answer.status_code == 403
    assert "revoked" in answer.json()["error"]["message"]


def test_too_many_failed_logins(acme: Service) -> None:
    """429 with a wait, also for the right password and for Basic, however the address is disguised (auth-16, 27, 28)."""
    for index in range(20):
        disguise = {"X-Forwarded-For": f"198.51.100.{index}", "Forwarded": f"for=198.51.100.{index}"}
        assert log_in(acme, f"name{index}", WRONG, **disguise).status_code == 401
    for answer in (
        log_in(acme, **{"X-Forwarded-For": "203.0.113.9"}),
        acme.client.get("/v1/session", auth=("acme-owner", PASSWORD), headers={"X-Forwarded-For": "203.0.113.9"}),
    ):
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
    assert acme.call("GET", "/v1/session").status_code == 200, "a token is no guess"


@pytest.mark.parametrize(("length", "status"), [(257, 400), (1_000_000, 413)])
def test_a_huge_password_is_a_bad_request(acme: Service, length: int, status: int) -> None:
    """Refused before it is hashed, and not repeated (auth-28, corpus auth-25)."""
    answer = log_in(acme, password="a" * length)
    assert answer.status_code == status
    assert len(answer.text) < 1000
