"""The node notification: Slack and plain webhooks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, ParamsInvalid, StepError
from flowrunner.nodes.mail_server import SmtpServer
from flowrunner.nodes.notification import NotificationNode
from flowrunner.nodes.registry import Registry
from flowrunner.ports.http import HttpRequest, HttpResponse
from pydantic import ValidationError

from tests.mail import MailServer, dialer
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
        ({"channel": "email"}, "${secrets.SMTP_URL}"),
        ({"channel": "webhook"}, None),
        ({"channel": ["slack"]}, None),
        ({}, None),
    ],
)
def test_the_address_is_a_secret_unless_given(params: dict[str, Any], url: str | None) -> None:
    """For Slack and mail a missing URL is filled in, and before expressions are evaluated."""
    before = dict(params)
    assert NotificationNode.complete(params).get("url") == url
    assert params == before


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"channel": "sms", "url": SLACK}, "no channel 'sms'; the channels are slack, email, webhook"),
        ({"channel": ["slack"], "url": SLACK}, "the channels are slack, email, webhook"),
        ({"channel": "webhook"}, "url"),
        ({"channel": "slack", "message": ""}, "message"),
        ({"channel": "slack", "message": "x" * 40_001}, "message"),
        ({"channel": "slack", "blocks": [{}] * 51}, "blocks"),
        ({"channel": "slack", "to": "me"}, "to"),
        ({"channel": "slack", "url": SLACK, "to": "a@x.example"}, "for the channel email"),
        ({"channel": "email", "url": "smtp://x", "to": "a@x.example"}, "needs `from` and `to`"),
        ({"channel": "email", "url": "smtp://x", "from": "a@x.example"}, "needs `from` and `to`"),
        ({"channel": "email", "url": "smtp://x", "to": "a@x", "from": "a@x", "title": "a\nb"}, "title|header"),
    ],
)
def test_parameters_that_are_refused(params: dict[str, Any], says: str) -> None:
    """A channel that does not exist gets the list of those that do; each other mistake is named."""
    with pytest.raises(ValidationError, match=says):
        context(NODE, {"message": "hi", **params})


def test_the_registry_tells_authors_which_channels_there_are() -> None:
    """The words reach the author of a flow through the registry's own way of telling problems."""
    with pytest.raises(ParamsInvalid, match="the channels are slack, email, webhook"):
        Registry([]).validate("notification", {"channel": "sms", "message": "hi", "url": SLACK})


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


MAIL = {"channel": "email", "from": "Robot <r@mail.example>", "to": ["a@mail.example", "A <a@mail.example>"]}


@pytest.mark.parametrize(("title", "subject"), [("Shipped", "Shipped"), (None, RUN.flow)])
def test_by_mail(title: str | None, subject: str) -> None:
    """A plain message, with the title or the flow as its subject."""
    with MailServer(users={"r@x": "p:ss"}) as server:
        url = f"smtp://r%40x:p%3Ass@127.0.0.1:{server.port}\n"
        params = {**MAIL, "message": "grüße", "title": title, "url": url}
        result = NODE.execute(context(NODE, params, dialer=dialer()))
    assert result.output == {"channel": "email", "status": 250}
    assert [mail.recipients for mail in server.mails] == [["a@mail.example"]]
    message = server.mails[0].message
    assert (message["Subject"], message.get_content().strip()) == (subject, "grüße")
    assert RUN.idempotency_key in message["Message-ID"]


@pytest.mark.parametrize(
    "url",
    [
        "https://hunter2:hunter2@x",
        "smtp://",
        "smtp://hunter2@x",
        "smtp://a:hunter2@x:port",
        "smtp://a:hunter2@x/path",
        "smtp://a:hunter2%0a@x",
        "smtp://[hunter2",
    ],
)
def test_addresses_of_mail_servers_that_are_refused(url: str) -> None:
    """They say how it is written, and show nothing of it."""
    with pytest.raises(ParamsInvalid, match="smtp://user:password@host:587") as caught:
        NODE.execute(context(NODE, {**MAIL, "message": "hi", "url": url}, dialer=dialer()))
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_a_mail_that_is_refused() -> None:
    """Fails as email.send does."""
    with MailServer(refusals={"a@mail.example": "550 5.1.1 No such user"}) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        with pytest.raises(StepError) as caught:
            NODE.execute(context(NODE, {**MAIL, "message": "hi", "url": url}, dialer=dialer()))
        with pytest.raises(EgressDenied):
            NODE.execute(context(NODE, {**MAIL, "message": "hi", "url": url}, dialer=dialer(), egress=[["x.example"]]))
    assert caught.value.code == "SmtpRejected:550"


def test_smtps_is_tls_from_the_first_byte() -> None:
    """By the scheme, whatever the port."""
    assert SmtpServer.from_url("smtps://mail.example").place == ("mail.example", 465)
    assert SmtpServer.from_url("smtps://mail.example:2465").mode == "tls"
    assert SmtpServer.from_url("smtp://mail.example").place == ("mail.example", 587)
