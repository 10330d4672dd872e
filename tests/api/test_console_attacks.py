"""Attacks on the console: other sites' pages, cookies and tokens, frames, and pages that flows answer with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http.cookies import SimpleCookie

import pytest
from flowrunner.errors import ConfigurationError
from flowrunner.settings import load_settings

from tests.api.harness import HELLO, PASSWORD, Service, service
from tests.api.pages import Entry, answered, contained, replies
from tests.attacks import attacks, needs_corpus

CONSOLE = "https://console.example"

STRANGERS = (
    "null", "https://console.example.evil.example", "http://console.example", "https://console.example:444",
    "https://evil-console.example", "https://sub.console.example", "https://consoleXexample", "https://console.example.",
    "https://console.example@evil.example", "file://", "*", "https://console.example, https://evil.example", "",
    "chrome-extension://console.example", "https://console.example/",
)  # fmt: skip


@pytest.fixture
def api() -> Iterator[Service]:
    with service({"api": {"requests_per_account": 0, "requests_per_address": 0}}) as made:
        made.team()
        yield made


def log_in(api: Service) -> tuple[str, str]:
    """The cookie of a session as it is sent, and its CSRF token."""
    answer = api.client.post("/v1/session", json={"username": "acme-owner", "password": PASSWORD})
    api.client.cookies.clear()
    return answer.headers["Set-Cookie"].partition(";")[0], answer.json()["csrf_token"]


def not_allowed(_: Service, entry: Entry) -> None:
    """No stranger's page reads an answer, and none sends with the console's cookie."""
    with service({"api": {"cors_origins": [CONSOLE]}}) as api:
        api.team()
        cookie, csrf = log_in(api)
        for origin in (entry["input"]["origin"], *STRANGERS):
            ask = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            assert "access-control-allow-origin" not in api.client.options("/v1/flows", headers=ask).headers, origin
            for headers in ({}, {"Cookie": cookie}, api.team().headers()):
                answer = api.client.get("/v1/flows", headers={**headers, "Origin": origin})
                assert "access-control-allow-origin" not in answer.headers, origin
            sent = api.client.post(
                "/v1/flows", content=HELLO, headers={"Cookie": cookie, "Origin": origin, "X-CSRF-Token": csrf}
            )
            assert sent.status_code == 403, origin
        answer = api.client.get("/v1/flows", headers={"Cookie": cookie, "Origin": CONSOLE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, CONSOLE)
        assert "Origin" in answer.headers["vary"]


def no_token(api: Service, entry: Entry) -> None:
    """Every change, with the cookie and the right origin and no CSRF token, another session's, or one in a wrong place."""
    cookie, csrf = log_in(api)
    _, others = log_in(api)
    own = {"Cookie": cookie, "Origin": "http://testserver"}
    for wrong in (
        {},
        {"X-CSRF-Token": others},
        {"X-CSRF-Token": csrf[:-1]},
        {"X-CSRF": csrf},
        {"X-CSRF-Token": cookie.partition("=")[2]},
    ):
        for method, path in (
            ("POST", "/v1/flows"),
            ("PUT", "/v1/secrets/A"),
            ("PATCH", "/v1/account"),
            ("DELETE", "/v1/session"),
        ):
            answer = api.client.request(method, path, headers={**own, **wrong}, params={"csrf_token": csrf})
            assert answer.status_code == 403, (method, wrong)
    assert api.client.get("/v1/flows", headers=own).status_code == 200, "it is still there"


def not_framed(api: Service, _: Entry) -> None:
    """No answer of any kind may be shown inside another page."""
    api.flow("metadata: {name: h}\ntriggers: [{type: webhook, path: p}]\nnodes:\n  a: {type: transform}\n")
    for method, path in (
        ("GET", "/v1/flows"), ("GET", "/nothing"), ("GET", "/"), ("GET", "/console/"), ("GET", "/healthz"), ("GET", "/openapi.json"),
        ("POST", "/hooks/acct-acme/p"), ("GET", "/hooks/acct-acme/p"), ("GET", "/hooks/x/y"), ("POST", "/v1/callbacks/x"), ("DELETE", "/v1/flows"),
    ):  # fmt: skip
        for role in (None, *api.team().tokens):
            answer = api.call(method, path, role=role, headers={"Origin": "https://evil.example"})
            contained(answer.headers)
            if answer.headers["content-security-policy"] != "sandbox":
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def the_cookie(_: Service, __: Entry) -> None:
    """Over HTTPS it is one that no script, no other host and no plain connection has anything to do with."""
    with service({"public_url": "https://flows.example"}) as api:
        api.team()
        answer = api.client.post("/v1/session", json={"username": "acme-owner", "password": PASSWORD})
        [(name, morsel)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
        assert name.startswith("__Host-")
        assert (morsel["secure"], morsel["httponly"], morsel["path"], morsel["domain"]) == (True, True, "/", "")
        assert morsel["samesite"].lower() in ("lax", "strict")
        assert morsel.value not in answer.text


def pages_of_flows(api: Service, entry: Entry) -> None:
    """A page that a flow answers with has no origin, whatever headers the flow asks for."""
    wished = {
        "Content-Type": "text/html", "Content-Security-Policy": "default-src *", "content-security-policy": "x", "X-Frame-Options": "ALLOWALL",
        "Content-Security-Policy-Report-Only": "x", "Set-Cookie": "flowrunner_session=fixed", "Set-Cookie2": "a=b", "Clear-Site-Data": '"*"',
        "X-Content-Type-Options": "none", "Service-Worker-Allowed": "/", "Access-Control-Allow-Credentials": "true", "Transfer-Encoding": "chunked",
        "Content-Length": "1", "Connection": "close", "Strict-Transport-Security": "max-age=0", "X-Correlation-Id": "theirs", "Refresh": "0;url=//evil.example",
        "X-A\r\nSet-Cookie": "a=b", "X-B": "1\r\nSet-Cookie: a=b", "Content-Security-Policy ": "x", "X-Accel-Redirect": "/etc/passwd", "Link": "</x>; rel=preload",
    }  # fmt: skip
    page = entry["input"]["respond_to_webhook_html"]
    replies(api, json.dumps({"status": 200, "headers": wished, "body": page}))
    answer = answered(api, "page", json={})
    contained(answer.headers)
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == str(len(page))
    assert answer.headers["x-correlation-id"] != "theirs"
    refused = {"set-cookie2", "clear-site-data", "service-worker-allowed", "access-control-allow-credentials", "refresh", "transfer-encoding", "x-b", "x-accel-redirect", "strict-transport-security"}  # fmt: skip
    assert not refused & set(answer.headers)


CONSOLES: Mapping[str, Callable[[Service, Entry], None]] = {
    "console-02": not_allowed,
    "console-03": not_allowed,
    "console-05": no_token,
    "console-06": not_framed,
    "console-08": the_cookie,
    "console-09": pages_of_flows,
}


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "console"), ids=lambda entry: str(entry["id"]))
def test_attacks_on_the_console(api: Service, entry: Entry) -> None:
    """What of them meets the server: every entry ends as the corpus says; a new one fails until it is run."""
    CONSOLES[entry["id"]](api, entry)


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://*.example", "https://a/", "a.example", "HTTPS://A", "https://a b", ""]
)
def test_origins_are_named_one_by_one(origin: str) -> None:
    """A setting that would let every page in stops the start."""
    with pytest.raises(ConfigurationError, match=r"api\.cors_origins.*an origin is like"):
        load_settings({"FLOWRUNNER_API__CORS_ORIGINS": f"{CONSOLE},{origin or '?'}"})
    assert load_settings({"FLOWRUNNER_API__CORS_ORIGINS": f"{CONSOLE},http://[::1]:8080"}).settings.api.cors_origins


def test_two_cookies_of_one_name(api: Service) -> None:
    """A neighbour who can set a cookie beside ours gets nobody into another session: one of them counts, as for reads so for changes."""
    cookie, csrf = log_in(api)
    name = cookie.partition("=")[0]
    for both in (f"{name}=fixed; {cookie}", f"{cookie}; {name}=fixed", f"{name}={cookie}", f'{name}="fixed"; {cookie}'):
        headers = {"Cookie": both, "Origin": "http://testserver", "X-CSRF-Token": csrf}
        reads = api.client.get("/v1/session", headers=headers).status_code
        changes = api.client.patch("/v1/account", json={"name": "acme"}, headers=headers).status_code
        assert (reads, changes) in ((200, 200), (401, 401)), both
