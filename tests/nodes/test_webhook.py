"""The node webhook: body, signature, and what counts as delivered."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError
from flowrunner.nodes.webhook import WebhookNode
from flowrunner.ports.http import HttpRequest, HttpResponse
from pydantic import ValidationError
from standardwebhooks import Webhook

from tests.attacks import attacks, needs_corpus
from tests.nodes.context import NOW, RUN, FakeHttp, context
from tests.servers import RecordingServer, Reply

NODE = WebhookNode()
URL = "https://example.com/hook"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The example of the Standard Webhooks specification."""


def sent(params: dict[str, Any], **given: Any) -> HttpRequest:
    http = FakeHttp()
    NODE.execute(context(NODE, {"url": URL, **params}, http=http, **given))
    return http.sent[0]


def headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def refused(answer: HttpResponse) -> StepError:
    with pytest.raises(StepError) as caught:
        NODE.execute(context(NODE, {"url": URL}, http=FakeHttp([answer])))
    return caught.value


def verified(request: HttpRequest, secret: str = SECRET) -> Any:
    """The body as the reference implementation verifies it, whatever the time."""
    found = headers(request)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    moment = datetime.fromtimestamp(int(found["webhook-timestamp"]), UTC)
    body = (request.content or b"").decode()
    assert found["webhook-signature"] == Webhook(key).sign(found["webhook-id"], moment, body)
    return json.loads(body)


@pytest.mark.parametrize(
    ("params", "input", "expected"),
    [
        ({}, {"order": 7}, {"order": 7}),
        ({}, None, None),
        ({"body": {"mine": "ü"}}, {"order": 7}, {"mine": "ü"}),
        ({"body": None}, {"order": 7}, None),
        ({"body": "\ud800"}, None, "\ud800"),
    ],
)
def test_sends_its_input_or_the_body_as_json(params: dict[str, Any], input: Any, expected: Any) -> None:
    """A body that is given, even null, replaces the input; what UTF-8 cannot hold is escaped."""
    request = sent({**params, "secret": SECRET}, input=input)
    assert verified(request) == expected
    assert headers(request)["content-type"] == "application/json"


def test_sends_by_its_own_rules() -> None:
    """POST unless told, 15 s, no redirects, and the allow-lists of flow and node."""
    request = sent({"headers": {"X-Mine": "1", "user-agent": "me"}}, egress=[["example.com"]])
    assert (request.method, request.timeout, request.max_redirects) == ("POST", 15.0, 0)
    assert request.allow == [["example.com"]]
    found = headers(request)
    assert (found["x-mine"], found["user-agent"], found["idempotency-key"]) == (
        "1",
        "me",
        RUN.idempotency_key,
    )
    assert not [name for name in found if name.startswith("webhook-")]
    assert sent({"method": "PUT", "timeout": "2s"}, left=1.0).timeout == 1.0


def test_signs_by_the_specification() -> None:
    """The example of the specification's reference implementation gives the known signature."""
    moment = 1_614_265_330
    request = sent({"secret": SECRET, "body": {"test": 2432232314}}, time=moment * 1000 + 999)
    found = headers(request)
    assert found["webhook-timestamp"] == str(moment)
    assert verified(request) == {"test": 2432232314}
    assert found["webhook-signature"].startswith("v1,")


def test_the_message_id_stays_and_the_time_moves() -> None:
    """A retry has the same id, another step another one, and the time is that of the attempt; no id has a dot."""
    first, again = sent({"secret": SECRET}), sent({"secret": SECRET}, time=NOW + 60_000, attempt=2)
    assert headers(first)["webhook-id"] == headers(again)["webhook-id"]
    assert headers(first)["webhook-timestamp"] != headers(again)["webhook-timestamp"]
    assert headers(first)["webhook-signature"] != headers(again)["webhook-signature"]
    assert headers(first)["webhook-id"].startswith("msg_")
    assert "." not in headers(first)["webhook-id"]


@pytest.mark.parametrize(
    "secret",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_not base64 not base64 not base64",
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "hunter2hunter2hunter2hunter2hunter2",
    ],
)
def test_a_secret_that_is_no_key_is_refused(secret: str) -> None:
    """Nothing is sent with a key that is short, misread or not one, and the text does not show it."""
    http = FakeHttp()
    with pytest.raises(ParamsInvalid, match="no signing key") as caught:
        NODE.execute(context(NODE, {"url": URL, "secret": secret}, http=http))
    assert http.sent == []
    assert secret.removeprefix("whsec_")[:8] not in str(caught.value) or secret == "whsec_"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"secret": None}, "`secret` is there but empty"),
        ({"secret": ""}, "`secret` is there but empty"),
        ({"headers": {"Webhook-Id": "msg_1"}}, "made by the signature"),
        ({"headers": {"WEBHOOK-SIGNATURE": "v1,x"}}, "made by the signature"),
        ({"method": "GET"}, "method"),
        ({"timeout": "31s"}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"url": ""}, "url"),
        ({"retries": 3}, "retries"),
    ],
)
def test_parameters_that_are_refused(params: dict[str, Any], says: str) -> None:
    """A secret that came out empty does not mean unsigned, and signature headers cannot be forged."""
    with pytest.raises(ValidationError, match=says):
        context(NODE, {"url": URL, **params})


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    """The receiver's answer is the output."""
    answer = HttpResponse(status, {"content-type": "application/json"}, b'{"ok":true}', URL)
    result = NODE.execute(context(NODE, {"url": URL}, http=FakeHttp([answer])))
    assert result.output == {"status": status, "body": {"ok": True}}


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (302, False),
        (304, False),
        (400, False),
        (404, False),
        (410, False),
        (408, True),
        (429, True),
        (502, True),
    ],
)
def test_everything_else_is_refused(status: int, retryable: bool) -> None:
    """A redirect is no delivery, and 410 (the receiver wants no more) is not tried again."""
    error = refused(HttpResponse(status, {"location": "https://example.com/other"}, b"no", URL))
    assert (error.code, error.retryable) == (f"HttpStatus:{status}", retryable)


def test_a_receiver_verifies_what_came_over_the_wire() -> None:
    """The reference implementation accepts the request that a real server got, byte for byte."""
    with RecordingServer() as server:
        client = GuardedClient(Guard(["127.0.0.1"]))
        NODE.execute(context(NODE, {"url": server.url, "secret": SECRET}, http=client, input={"a": "ü€😀"}))
        client.close()
    got = server.requests[0]
    request = HttpRequest("POST", server.url, tuple(got.headers.items()), got.body)
    assert verified(request) == {"a": "ü€😀"}
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")


ELSEWHERE = {
    "webhook_out-10": "values are redacted by the engine before a node gets them to show (tests/engine)",
}
"""Entries that are not about this node, with the reason. Saved endpoints, which -01 and -04 speak of as well, come
with a later issue; here the guard refuses at send, and 410 is not retried."""


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "webhook_out", but=ELSEWHERE), ids=lambda entry: entry["id"])
def test_webhook_out_corpus(entry: dict[str, Any]) -> None:
    """Every entry on outbound webhooks of the shared corpus."""
    given = entry["input"]
    match entry["id"]:
        case "webhook_out-01" | "webhook_out-02":
            addresses = given.get("dns_at_send", [])
            client = GuardedClient(Guard(resolver=lambda *_: addresses))
            with pytest.raises(EgressDenied):
                NODE.execute(context(NODE, {"url": given["url"]}, http=client))
            client.close()
        case "webhook_out-04":
            assert not refused(HttpResponse(given["status"])).retryable
        case "webhook_out-05":
            assert refused(HttpResponse(given["status"], {"retry-after": given["retry-after"]})).retry_after == 86_400
        case "webhook_out-07":
            assert sent({}).timeout <= 15
            client = GuardedClient(Guard(["127.0.0.1"]))
            drip = Reply(chunks=iter([b"x"] * 2400), pause=0.05)
            with RecordingServer(lambda _: drip) as server, pytest.raises(NodeTimeout):
                NODE.execute(context(NODE, {"url": server.url, "timeout": "200ms"}, http=client))
            client.close()
        case "webhook_out-08":
            error = refused(HttpResponse(500, {}, given["response_body"].encode() * 1000, URL))
            assert len(error.details["body"]) == 1024
        case other:
            pytest.fail(f"the corpus has {other}, which this test does not know")


@needs_corpus
@pytest.mark.parametrize("entry", [one for one in attacks("corpus.json", "log") if one["id"] == "log-06"])
def test_no_error_shows_a_request_header(entry: dict[str, Any]) -> None:
    """What was sent in `Authorization` is in no error of any kind (log-06)."""
    name, _, _ = entry["input"]["header"].partition(":")
    canary = "Bearer canary-7f3a"
    client = GuardedClient(Guard(["127.0.0.1"]))
    with RecordingServer(lambda _: Reply(500, b"no")) as server:
        for url, value in ((server.url, canary), (server.url, f"{canary}\n"), ("http://10.0.0.1/", canary)):
            with pytest.raises(StepError) as caught:
                NODE.execute(context(NODE, {"url": url, "headers": {name: value}}, http=client))
            assert "canary" not in f"{caught.value} {caught.value.details}"
    client.close()
