"""Inbound webhooks over HTTP, and every entry of the attack corpora about them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flowrunner.core.ids import AccountId
from flowrunner.services.hook_paths import METHODS
from flowrunner.services.identity import Role
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.vault_secrets import PURPOSE
from flowrunner.testing import START
from starlette.types import Message

from tests.api.harness import Service, service
from tests.attacks import attacks, needs_corpus

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
MIB = 1024 * 1024
NOW = START // 1000


def flow(*fields: str, name: str = "orders", more: str = "") -> str:
    """A flow with one hook."""
    line = ", ".join(("type: webhook", *fields))
    return (
        f"metadata: {{name: {name}}}\n{more}triggers:\n  - {{{line}}}\n"
        "nodes:\n  a: {type: transform, params: {value: '${input}'}}\n"
    )


SIGNED = flow("path: orders", "verify: {scheme: standard-webhooks, secret: SIGNING}")


def sign(body: bytes, message: str = "msg_1", moment: int = NOW, key: str = KEY) -> dict[str, str]:
    """The headers of a signed message."""
    secret = base64.b64decode(key.removeprefix("whsec_"))
    mac = hmac.new(secret, f"{message}.{moment}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(moment),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


@pytest.fixture
def served() -> Iterator[Service]:
    """The service, with a flow whose hook is signed."""
    with service(public_url="https://flows.example.com") as made:
        give_secret(made, KEY)
        made.flow(SIGNED)
        yield made


def give_secret(made: Service, value: str) -> None:
    """Let the account have the secret that signs; any value, also one that the vault would not take."""
    parts = made.platform.engine.parts
    assert parts.keys is not None
    box = SecretBox(parts.backend.entities, parts.keys, parts.clock)
    box.put(AccountId("acct-acme"), PURPOSE, "SIGNING", value.encode())


def post(made: Service, body: bytes = b"{}", headers: dict[str, str] | None = None, **options: Any) -> Any:
    """A request to the hook by nobody that we know."""
    options = {"path": "orders", "method": "POST", **options}
    path, method = options.pop("path"), options.pop("method")
    sent = sign(body) if headers is None else headers
    return made.call(method, f"/hooks/acct-acme/{path}", role=None, content=body, headers=sent, **options)


def runs(made: Service) -> int:
    """How many runs there are."""
    return len(made.call("GET", "/v1/runs").json()["items"])


def test_a_signed_message_starts_a_run(served: Service) -> None:
    """The answer names the run and where to look; what is there says what started it."""
    answer = post(served)
    assert answer.status_code == 202
    run = answer.json()["run_id"]
    assert answer.json()["status_url"] == f"https://flows.example.com/v1/runs/{run}"
    shown = served.call("GET", f"/v1/runs/{run}").json()
    assert shown["started_by"] == "hook:orders"
    assert shown["labels"] == {"correlation_id": answer.headers["x-correlation-id"]}
    assert answer.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method: str) -> None:
    """A hook is called with the method that its trigger names; another one is told which."""
    with service() as made:
        made.flow(flow("path: deep/er", f"method: {method}"))
        other = "PUT" if method != "PUT" else "POST"
        assert post(made, b"", {}, path="deep/er?a=1", method=method).status_code == 202
        refused = post(made, b"", {}, path="deep/er", method=other)
        assert (refused.status_code, refused.headers["allow"]) == (405, method)
        assert refused.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
        run = made.call("GET", "/v1/runs").json()["items"][0]["id"]
        seen = made.call("GET", f"/v1/runs/{run}").json()["input"]
        assert (seen["method"], seen["query"], seen["body"]) == (method, {"a": "1"}, None)


def test_repeated_headers_are_joined() -> None:
    """A header that is there twice reaches the flow with both values, separated by a comma."""
    with service() as made:
        made.flow(flow("path: orders"))
        made.client.post("/hooks/acct-acme/orders", headers=[("X-A", "1"), ("X-A", "2")])
        run = made.call("GET", "/v1/runs").json()["items"][0]["id"]
        assert made.call("GET", f"/v1/runs/{run}").json()["input"]["headers"]["x-a"] == "1, 2"


def test_a_sync_hook_waits_for_its_run() -> None:
    """The answer is the run's output, with status and headers, as soon as the run has ended."""
    more = "outputs: {status: 201, headers: {X-Order: a, Set-Cookie: b}, body: '${nodes.a.output.body}'}\n"
    with service() as made, ThreadPoolExecutor(1) as pool:
        made.flow(flow("path: orders", "respond: sync", more=more))
        waiting = pool.submit(post, made, b'{"n": 1}', {"content-type": "application/json"})
        while not waiting.done():
            made.work()
        answer = waiting.result()
        assert (answer.status_code, answer.json(), answer.headers["x-order"]) == (201, {"n": 1}, "a")
        assert "set-cookie" not in answer.headers
        assert answer.headers["content-security-policy"] == "sandbox"


def test_a_sync_hook_that_takes_too_long() -> None:
    """When the run has not ended in time the answer says where to look."""
    with service({"hooks": {"max_wait": 0}}) as made:
        made.flow(flow("path: orders", "respond: sync"))
        answer = post(made, headers={})
        assert answer.status_code == 202
        assert answer.json()["status_url"] == f"/v1/runs/{answer.json()['run_id']}"


def test_hooks_are_listed(served: Service) -> None:
    """Members see the account's hooks with address and scheme; the list goes on behind a cursor."""
    served.flow(flow("path: zebra", "respond: sync", name="zebra"))
    first = served.call("GET", "/v1/hooks?limit=1", role=Role.VIEWER).json()
    second = served.call("GET", f"/v1/hooks?cursor={first['next_cursor']}").json()
    by_path = {one["path"]: one for one in (*first["items"], *second["items"])}
    assert second["next_cursor"] is None
    assert by_path["orders"]["url"] == "https://flows.example.com/hooks/acct-acme/orders"
    assert (by_path["orders"]["scheme"], by_path["orders"]["secret"]) == ("standard-webhooks", "SIGNING")
    assert (by_path["zebra"]["scheme"], by_path["zebra"]["respond"]) == (None, "sync")
    assert served.call("GET", "/v1/hooks", team="other").json()["items"] == []
    assert KEY not in str(by_path)


def test_a_taken_path(served: Service) -> None:
    """A second flow with the same path is refused with the place that is taken."""
    answer = served.call(
        "POST", "/v1/flows", content=flow("path: orders", name="two"), headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 409
    assert answer.json()["error"]["details"]["path"] == "orders"


async def call_with(made: Service, chunks: Iterator[bytes], headers: dict[str, str]) -> tuple[int, int]:
    """Send chunks to the hook as they are asked for; the status, and how many bytes were asked for."""
    asked = 0
    status = 0

    async def receive() -> Message:
        nonlocal asked
        chunk = next(chunks)
        asked += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/hooks/acct-acme/orders",
        "raw_path": b"/hooks/acct-acme/orders",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 1234),
        "server": ("testserver", 80),
    }
    await made.client.app(scope, receive, send)
    return status, asked


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 65_536


def test_a_body_that_never_ends(served: Service) -> None:
    """auth-11: a chunked body is read up to the limit and no further."""
    status, asked = asyncio.run(call_with(served, endless(), {"transfer-encoding": "chunked"}))
    assert status == 413
    assert asked <= MIB + 65_536


def test_a_body_that_says_it_is_large(served: Service) -> None:
    """auth-10, webhook_in-28: a body that is announced as too large is not read at all."""
    for length in ("1048577", "11534336", "9" * 40):
        assert asyncio.run(call_with(served, endless(), {"content-length": length})) == (413, 0)
    status, asked = asyncio.run(call_with(served, endless(), {"content-length": "0" * 5_000}))
    assert (status, asked <= MIB + 65_536) == (413, True)


def _body(value: Any) -> bytes:
    return ("".join(text * times for text, times in value["parts"]) if isinstance(value, dict) else value).encode()


WEBHOOK_IN = {
    "webhook_in-01": 202,
    "webhook_in-03": 202,
    "webhook_in-06": 202,
    "webhook_in-27": 202,
    "webhook_in-28": 413,
    "webhook_in-30": 415,
    "webhook_in-31": 409,
    "webhook_in-33": 400,
    "webhook_in-34": 400,
}
"""What is answered; 401 for all others."""


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "webhook_in"), ids=lambda entry: str(entry["id"]))
def test_the_broad_corpus(entry: dict[str, Any]) -> None:
    """Every entry ends as the corpus says, sent to the application; what is refused starts nothing."""
    given = entry["input"]
    before = {one["id"]: one["input"] for one in attacks("corpus.json", "webhook_in")}
    with service() as made:
        give_secret(made, "\n".join(given["secrets"]))
        first = before[given["after"]] if "after" in given else None
        # The corpus is about 2023, the harness begins later: the application's clock is set back before it is used.
        made.clock._now = (first or given)["now"] * 1000
        made.flow(SIGNED)
        if first is not None:
            assert post(made, _body(first["body"]), _headers(first)).status_code == 202
            made.clock.turn_to(given["now"] * 1000)
        answer = post(made, _body(given["body"]), _headers(given))
        wanted = WEBHOOK_IN.get(entry["id"], 401)
        assert answer.status_code == wanted, answer.text
        assert runs(made) == (1 if wanted == 202 else 0)
        if entry["id"] == "webhook_in-27":
            run = made.call("GET", "/v1/runs").json()["items"][0]["id"]
            seen = made.call("GET", f"/v1/runs/{run}").json()["input"]["body"]
            assert seen == {"$bytes": base64.b64encode(_body(given["body"])).decode()}


def _headers(given: dict[str, Any]) -> dict[str, str]:
    headers = {name: _body(value).decode() for name, value in given["headers"].items()}
    return {"content-type": "application/json", **headers}


def too_old(made: Service) -> tuple[int, int]:
    return post(made, b"{}", sign(b"{}", moment=NOW - 360)).status_code, 0


def too_early(made: Service) -> tuple[int, int]:
    return post(made, b"{}", sign(b"{}", moment=NOW + 360)).status_code, 0


def twice(made: Service) -> tuple[int, int]:
    first, second = post(made), post(made)
    assert first.json() == second.json()
    return second.status_code, 1


def of_another_account(made: Service) -> tuple[int, int]:
    return post(made, b"{}", sign(b"{}", key=OTHER)).status_code, 0


def fifty_candidates(made: Service) -> tuple[int, int]:
    headers = sign(b"{}")
    headers["webhook-signature"] = "v1,AAAA " * 49 + headers["webhook-signature"]
    return post(made, b"{}", headers).status_code, 0


def a_changed_byte(made: Service) -> tuple[int, int]:
    return post(made, b"[]", sign(b"{}")).status_code, 0


def no_signature(made: Service) -> tuple[int, int]:
    headers = sign(b"{}")
    del headers["webhook-signature"]
    return post(made, b"{}", headers).status_code, 0


def only_v2(made: Service) -> tuple[int, int]:
    headers = sign(b"{}")
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
    return post(made, b"{}", headers).status_code, 0


def junk(made: Service) -> tuple[int, int]:
    for text in ("v1,????", "v1,=", "v1,abc", "\x7f", "v1,é"):
        headers = {**sign(b"{}"), "webhook-signature": text}
        coded = [(name.encode(), value.encode()) for name, value in headers.items()]
        assert made.client.post("/hooks/acct-acme/orders", content=b"{}", headers=coded).status_code == 401
    return 401, 0


def eleven_megabytes(made: Service) -> tuple[int, int]:
    return post(made, b"x" * 11 * MIB).status_code, 0


def never_ending(made: Service) -> tuple[int, int]:
    return asyncio.run(call_with(made, endless(), {}))[0], 0


def disabled(made: Service) -> tuple[int, int]:
    known = made.call("GET", "/v1/flows").json()["items"][0]["id"]
    made.call("POST", f"/v1/flows/{known}/archive")
    archived = post(made)
    made.call("DELETE", f"/v1/flows/{known}")
    deleted = post(made)
    unknown = post(made, path="never-was")
    messages = {one.json()["error"]["message"] for one in (archived, deleted, unknown)}
    assert len(messages) == 1
    return archived.status_code, 0


def with_get(made: Service) -> tuple[int, int]:
    return post(made, b"", {}, method="GET").status_code, 0


def not_utf8(made: Service) -> tuple[int, int]:
    body = b'{"a": "\xff"}'
    return post(made, body, sign(body)).status_code, 0


ENTRIES = {
    "auth-01": (too_old, 401),
    "auth-02": (too_early, 401),
    "auth-03": (twice, 202),
    "auth-04": (of_another_account, 401),
    "auth-05": (fifty_candidates, 401),
    "auth-06": (a_changed_byte, 401),
    "auth-07": (no_signature, 401),
    "auth-08": (only_v2, 401),
    "auth-09": (junk, 401),
    "auth-10": (eleven_megabytes, 413),
    "auth-11": (never_ending, 413),
    "auth-12": (disabled, 404),
    "auth-13": (with_get, 405),
    "auth-14": (not_utf8, 400),
}


@needs_corpus
@pytest.mark.parametrize("entry", attacks("webhooks_and_auth.json", "webhook"), ids=lambda entry: str(entry["id"]))
def test_the_corpus_of_webhooks(served: Service, entry: dict[str, Any]) -> None:
    """Every entry is sent to the application and ends as the corpus says."""
    attempt, wanted = ENTRIES[entry["id"]]
    status, started = attempt(served)
    assert status == wanted
    assert runs(served) == started
