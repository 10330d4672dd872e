"""One shape for every error, limits on bodies, ids of requests, headers for browsers, limits on requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flowrunner.api.errors import STATUS
from flowrunner.errors import FlowrunnerError, StoreError
from flowrunner.services.identity import Role
from starlette.types import Message

from tests.api.harness import HELLO, Service, service

JSON = {"Content-Type": "application/json"}


def error_of(answer: Any) -> dict[str, Any]:
    """The error, in the one shape."""
    body = answer.json()
    assert list(body) == ["error"]
    assert (
        {"code", "message", "correlation_id"}
        <= body["error"].keys()
        <= {"code", "message", "details", "correlation_id"}
    )
    assert body["error"]["correlation_id"] == answer.headers["x-correlation-id"]
    found: dict[str, Any] = body["error"]
    return found


@pytest.mark.parametrize(
    ("method", "path", "role", "status", "code"),
    [
        ("GET", "/v1/flows", None, 401, "UNAUTHENTICATED"),
        ("GET", "/v1/nothing", None, 401, "UNAUTHENTICATED"),
        ("POST", "/v1/workflows/x/run/configs", None, 401, "UNAUTHENTICATED"),
        ("GET", "/v1/%72uns", None, 401, "UNAUTHENTICATED"),
        ("GET", "/v1/nothing", "owner", 404, "NOT_FOUND"),
        ("GET", "/v1/runs/", "owner", 404, "NOT_FOUND"),
        ("GET", "/nothing", None, 404, "NOT_FOUND"),
        ("GET", "/V1/RUNS", None, 404, "NOT_FOUND"),
        ("PATCH", "/v1/flows", "owner", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/flows/nothing", "owner", 404, "NOT_FOUND"),
    ],
)
def test_what_is_not_there(api: Service, method: str, path: str, role: Any, status: int, code: str) -> None:
    """Strangers learn nothing about the paths under /v1."""
    answer = api.call(method, path, role=None if role is None else Role(role))
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_wrong_method_is_told_the_right_ones(api: Service) -> None:
    """All that the path takes, in one header."""
    flow = api.flow(HELLO.replace("hello", "methods"))
    assert api.call("PATCH", f"/v1/flows/{flow['id']}").headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": 1e400}',
        b'{"input": NaN}',
        b'{"input": 1, "input": 2}',
        b'{"input": 123456789012345678901234567890}',
        b'{"input": "\\ud800"}',
        b'{"input": "\xff"}',
        b'{"input": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"input": ' + b"[" * 80 + b"]" * 80 + b"}",
        b"{",
        b"",
        b"[]",
        b"1",
        b'{"input": 1, "extra": 2}',
        b'{"revision": "1"}',
        b'{"labels": {"a": 1}}',
    ],
)
def test_json_that_means_two_things_is_refused(api: Service, body: bytes) -> None:
    """Clearly, before anything starts (auth-33). No body at all is no JSON."""
    answer = api.call("POST", "/v1/flows/any/runs", content=body, headers=JSON)
    assert answer.status_code == (404 if not body else 400), answer.text
    assert error_of(answer)["message"]


def test_strangers_are_refused_before_their_body_is_looked_at(api: Service) -> None:
    """What they send does not matter."""
    answer = api.call("POST", "/v1/flows/any/runs", role=None, content=b"{", headers=JSON)
    assert answer.status_code == 401


def test_a_body_has_a_limit(api: Service) -> None:
    """Said by its length, or found while it is read."""
    limit = api.platform.settings.api.max_body
    said = api.call("POST", "/v1/flows", content=b"x" * (limit + 1))
    assert (said.status_code, error_of(said)["code"]) == (413, "TOO_LARGE")

    def endless() -> Iterator[bytes]:
        for _ in range(limit // 65_536 + 2):
            yield b"x" * 65_536

    read = api.call("POST", "/v1/flows", content=endless())
    assert (read.status_code, error_of(read)["code"]) == (413, "TOO_LARGE")
    packed = api.call("POST", "/v1/flows", content=HELLO, headers={"Content-Encoding": "gzip"})
    assert (packed.status_code, error_of(packed)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_body_that_never_ends_is_cut_off() -> None:
    """After `api.body_timeout`, with an answer."""
    with service({"api": {"body_timeout": "50ms"}}) as api:
        sent: list[Message] = []

        async def receive() -> Message:
            if not sent:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"authorization", api.team().headers()["Authorization"].encode()), (b"host", b"testserver")]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/flows", "raw_path": b"/v1/flows", "query_string": b"",
            "headers": headers, "client": ("10.0.0.1", 1), "server": ("testserver", 80), "scheme": "http",
            "root_path": "", "http_version": "1.1",
        }  # fmt: skip
        app = api.client.app

        async def served() -> None:
            await app(scope, receive, send)

        asyncio.run(served())
        assert sent[0]["status"] == 408
        assert json.loads(sent[1]["body"])["error"]["code"] == "TIMEOUT"


@pytest.mark.parametrize(
    ("given", "kept"), [("req-1.2_3", True), ("a b", False), ("x" * 65, False), ("ü", False), ("", False)]
)
def test_a_request_keeps_its_id(api: Service, given: str, kept: bool) -> None:
    """If it is one; else it gets a new one."""
    answer = api.call("GET", "/v1/flows", headers={"X-Correlation-Id": given.encode()})
    assert (answer.headers["x-correlation-id"] == given) == kept
    assert answer.headers["x-correlation-id"]


def test_a_fault_of_ours_shows_nothing_of_its_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a store that cannot be reached."""
    with service() as api:

        def broken(*args: Any) -> None:
            raise ZeroDivisionError("the secret inside")

        monkeypatch.setattr(api.platform.flows, "get", broken)
        answer = api.call("GET", "/v1/flows/x")
        assert (answer.status_code, error_of(answer)["code"]) == (500, "INTERNAL")
        assert "secret inside" not in answer.text

        def away(*args: Any) -> None:
            raise StoreError("PostgreSQL at db.internal cannot be reached")

        monkeypatch.setattr(api.platform.flows, "get", away)
        answer = api.call("GET", "/v1/flows/x")
        assert (answer.status_code, answer.headers["retry-after"], error_of(answer)["code"]) == (
            503,
            "1",
            "STORE_ERROR",
        )
        assert "db.internal" not in answer.text


def test_every_error_has_a_status_of_its_own() -> None:
    """No class is found under that of another one before it."""
    for index, (kind, _) in enumerate(STATUS):
        assert issubclass(kind, FlowrunnerError)
        assert not any(issubclass(kind, earlier) for earlier, _ in STATUS[:index])


def test_browsers_are_told_to_be_careful(api: Service) -> None:
    """On every answer."""
    for path in ("/v1/flows", "/openapi.json", "/nothing"):
        headers = api.call("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert api.call("GET", "/v1/flows").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://console.example", True),
        ("https://console.example.evil.example", False),
        ("http://console.example", False),
        ("null", False),
    ],
)
def test_other_pages_may_call_only_when_they_are_named(origin: str, allowed: bool) -> None:
    """Exactly (console-02, console-03); nobody by default."""
    with service({"api": {"cors_origins": ["https://console.example"]}}) as api:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        assert ("access-control-allow-origin" in api.client.options("/v1/flows", headers=headers).headers) == allowed
        found = api.call("GET", "/v1/flows", headers={"Origin": origin}).headers.get("access-control-allow-origin")
        assert found == (origin if allowed else None)
    with service() as api:
        assert "access-control-allow-origin" not in api.call("GET", "/v1/flows", headers={"Origin": origin}).headers


def test_requests_are_limited() -> None:
    """Per account and per address, with the standard headers, and other accounts go on."""
    with service({"api": {"requests_per_account": 3, "requests_per_address": 0}}) as api:
        answers = [api.call("GET", "/v1/flows") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit"].startswith('"account";r=2;t=')
        assert answers[0].headers["ratelimit-policy"] == '"account";q=3;w=60'
        assert int(answers[3].headers["retry-after"]) >= 1
        assert error_of(answers[3])["code"] == "TOO_MANY_REQUESTS"
        assert api.call("GET", "/v1/flows", team="other").status_code == 200
        api.later(60_000)
        assert api.call("GET", "/v1/flows").status_code == 200
    with service({"api": {"requests_per_account": 0, "requests_per_address": 2}}) as api:
        assert [api.call("GET", "/v1/flows", role=None).status_code for _ in range(3)] == [401, 401, 429]
        forged = {"X-Forwarded-For": "203.0.113.9"}
        assert api.call("GET", "/v1/flows", role=None, headers=forged).status_code == 429


def test_a_method_override_is_not_heard(api: Service) -> None:
    """The request is what its first line says."""
    flow = api.flow(HELLO.replace("hello", "overridden"))
    answer = api.call("GET", f"/v1/flows/{flow['id']}", headers={"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 200
    assert api.call("GET", f"/v1/flows/{flow['id']}").status_code == 200
