"""The node notification: Slack and plain webhooks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, ParamsInvalid, StepError
from flowrunner.nodes.notification import NotificationNode
from flowrunner.nodes.registry import Registry
from flowrunner.ports.http import HttpRequest, HttpResponse
from pydantic import ValidationError

from tests.nodes.context import RUN, FakeHttp, context
from tests.servers import RecordingServer, Reply

NODE = NotificationNode()
SLACK = "https://hooks.slack.com/services/T000/B000/hunter2"


def sent(params: dict[str, Any], **given: Any) -> HttpRequest:
    http = FakeHttp()
    NODE.execute(context(NODE, {"url": SLACK, "message": "hi", **params}, http=http, **given))
    return http.sent[0]


def body(params: dict[str, Any]) -> Any:
    return json.loads(sent(params).content or b"")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {"text": "hi"}),
        ({"message": "*fett* ü", "title": None}, {"text": "*fett* ü"}),
        ({"title": "Shipped"}, {"text": "*Shipped*\nhi"}),
        ({"blocks": [{"type": "divider"}]}, {"text": "hi", "blocks": [{"type": "divider"}]}),
        ({"blocks": []}, {"text": "hi"}),
    ],
)
def test_slack_messages(params: dict[str, Any], expected: Any) -> None:
    """Text, title and blocks become an incoming webhook's payload."""
    assert body({"channel": "slack", **params}) == expected


@pytest.mark.parametrize("data", [None, {"order": 7}, [1, 2], "ü"])
def test_webhook_messages_say_where_they_come_from(data: Any) -> None:
    """The plain channel sends message, data and the place in the run."""
    assert body({"channel": "webhook", "title": "T", "data": data}) == {
        "title": "T",
        "message": "hi",
        "data": data,
        "run": RUN.id,
        "flow": RUN.flow,
        "node": "node-1",
    }


def test_sends_by_its_own_rules() -> None:
    """POST, at most 15 s and no more than the step has, no redirects, the step's idempotency key."""
    request = sent({"channel": "slack"}, egress=[["hooks.slack.com"]], left=3.0)
    assert (request.method, request.url, request.timeout, request.max_redirects) == ("POST", SLACK, 3.0, 0)
    assert request.allow == [["hooks.slack.com"]]
    found = dict(request.headers)
    assert found["Content-Type"] == "application/json"
    assert found["Idempotency-Key"] == RUN.idempotency_key
    assert sent({"channel": "slack"}).timeout == 15.0


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ({"channel": "slack"}, "${secrets.SLACK_WEBHOOK_URL}"),
        ({"channel": "slack", "url": ""}, "${secrets.SLACK_WEBHOOK_URL}"),
        ({"channel": "slack", "url": SLACK}, SLACK),
        ({"channel": "webhook"}, None),
        ({}, None),
    ],
)
def test_the_slack_address_is_a_secret_unless_given(params: dict[str, Any], url: str | None) -> None:
    """Only for Slack is a missing URL filled in, and before expressions are evaluated."""
    before = dict(params)
    assert NotificationNode.complete(params).get("url") == url
    assert params == before


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"channel": "email", "url": SLACK}, "no channel 'email'; the channels are slack and webhook"),
        ({"channel": ["slack"], "url": SLACK}, "the channels are slack and webhook"),
        ({"channel": "webhook"}, "url"),
        ({"channel": "slack", "message": ""}, "message"),
        ({"channel": "slack", "message": "x" * 40_001}, "message"),
        ({"channel": "slack", "blocks": [{}] * 51}, "blocks"),
        ({"channel": "slack", "to": "me"}, "to"),
    ],
)
def test_parameters_that_are_refused(params: dict[str, Any], says: str) -> None:
    """A channel that does not exist gets the list of those that do; each other mistake is named."""
    with pytest.raises(ValidationError, match=says):
        context(NODE, {"message": "hi", **params})


def test_the_registry_tells_authors_which_channels_there_are() -> None:
    """The words reach the author of a flow through the registry's own way of telling problems."""
    with pytest.raises(ParamsInvalid, match="the channels are slack and webhook"):
        Registry([]).validate("notification", {"channel": "email", "message": "hi", "url": SLACK})


@pytest.mark.parametrize(
    ("status", "content", "retryable"),
    [
        (400, b"invalid_payload", False),
        (403, b"invalid_token", False),
        (404, b"no_service", False),
        (410, b"channel_is_archived", False),
        (429, b"rate_limited", True),
        (500, b"rollup_error", True),
        (302, b"", False),
    ],
)
def test_a_refusal_says_why_but_not_where(status: int, content: bytes, retryable: bool) -> None:
    """Slack's one-word reason is in the text; the path of the address, which is the credential, is not."""
    answer = HttpResponse(status, {"retry-after": "30"}, content, SLACK)
    with pytest.raises(StepError) as caught:
        NODE.execute(context(NODE, {"channel": "slack", "message": "hi", "url": SLACK}, http=FakeHttp([answer])))
    error = caught.value
    assert (error.code, error.retryable, error.retry_after) == (f"HttpStatus:{status}", retryable, 30.0)
    assert content.decode() in str(error)
    assert "hunter2" not in f"{error} {error.details}"


def test_over_the_wire() -> None:
    """A server that answers `ok` as Slack does gets one message, and the output says so."""
    client = GuardedClient(Guard(["127.0.0.1"]))
    with RecordingServer(lambda _: Reply(body=b"ok")) as server:
        params = {"channel": "slack", "message": "grüße", "url": f"{server.url}/services/x\n"}
        result = NODE.execute(context(NODE, params, http=client))
        with pytest.raises(EgressDenied) as caught:
            NODE.execute(context(NODE, params, http=client, egress=[["hooks.slack.com"]]))
    client.close()
    assert result.output == {"channel": "slack", "status": 200}
    assert [json.loads(request.body) for request in server.requests] == [{"text": "grüße"}]
    assert "services" not in str(caught.value)
