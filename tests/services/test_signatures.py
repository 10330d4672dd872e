"""Signatures of inbound webhooks, against the official package and the vectors of GitHub, Stripe and Slack."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flowrunner.services.signatures import BadSignature, Received, unsigned_id, verify
from standardwebhooks import Webhook

from tests.attacks import attacks, needs_corpus

KEY = "whsec_" + base64.b64encode(b"k" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = b'{"type":"contact.created","data":{"id":"1"}}'
NOW = 1_700_000_005


def official(key: str = KEY, message: str = "msg_1", moment: int = NOW, body: bytes = BODY) -> dict[str, str]:
    """The headers that the official package makes."""
    signature = Webhook(key).sign(message, datetime.fromtimestamp(moment, UTC), body.decode())
    return {"webhook-id": message, "webhook-timestamp": str(moment), "webhook-signature": signature}


def standard(headers: dict[str, str], secret: str = KEY, body: bytes = BODY, now: float = NOW) -> str | None:
    return verify("standard-webhooks", secret, Received(headers, body, int(now * 1000)))


def reason(scheme: str, secret: str, headers: dict[str, str], body: bytes = BODY, header: str | None = None) -> str:
    """Why a request is refused."""
    with pytest.raises(BadSignature) as refused:
        verify(scheme, secret, Received(headers, body, NOW * 1000), header)
    return refused.value.reason


def test_what_the_official_package_signs_is_accepted() -> None:
    """A message of the official Standard Webhooks package is accepted, and its id told."""
    assert standard(official()) == "msg_1"


def test_a_changed_message_is_refused() -> None:
    """Body, id and time are signed: a change of any of them is refused."""
    headers = official()
    assert reason("standard-webhooks", KEY, headers, BODY + b" ") == "signature"
    assert reason("standard-webhooks", KEY, {**headers, "webhook-id": "msg_2"}) == "signature"
    assert reason("standard-webhooks", KEY, {**headers, "webhook-timestamp": str(NOW - 1)}) == "signature"
    assert reason("standard-webhooks", OTHER, headers) == "signature"


@pytest.mark.parametrize("offset", [-300, 300, 300.999])
def test_the_tolerance_is_five_minutes(offset: float) -> None:
    """A time up to 300 s away in either direction is accepted, in whole seconds."""
    assert standard(official(), now=NOW + offset) == "msg_1"


@pytest.mark.parametrize("offset", [-301, 301])
def test_beyond_the_tolerance(offset: int) -> None:
    """A time further away is refused, however well it is signed."""
    with pytest.raises(BadSignature) as refused:
        standard(official(), now=NOW + offset)
    assert refused.value.reason == "timestamp"


@pytest.mark.parametrize(
    "text",
    ["1e9", "-1", "+1700000005", "1700000005.0", "\u0661\u0667" + "\u0660" * 7 + "\u0665", "1_700_000_005", "9" * 300],
)
def test_times_are_ascii_digits(text: str) -> None:
    """Only ASCII digits make a time: readers must not differ in what was signed."""
    assert reason("standard-webhooks", KEY, {**official(), "webhook-timestamp": text}) == "timestamp"


def test_two_secrets_live_while_rotating() -> None:
    """A value with two secrets accepts messages signed with either, and messages signed with both."""
    both = f"{KEY}\n{OTHER}\n"
    assert standard(official(KEY), both) == "msg_1"
    assert standard(official(OTHER), both) == "msg_1"
    assert standard(official(KEY), f"{OTHER} {KEY}") == "msg_1"
    mixed = official(OTHER)
    mixed["webhook-signature"] = f"v1a,abc v2,x {official(KEY)['webhook-signature']}"
    assert standard(mixed, KEY) == "msg_1"


def test_at_most_ten_signatures_are_looked_at() -> None:
    """Ten signatures may be in the header, the right one last; eleven are refused unseen."""
    headers = official()
    filler = "v1,AAAA "
    assert standard({**headers, "webhook-signature": filler * 9 + headers["webhook-signature"]}) == "msg_1"
    eleven = {**headers, "webhook-signature": filler * 10 + headers["webhook-signature"]}
    assert reason("standard-webhooks", KEY, eleven) == "too_many_signatures"


@pytest.mark.parametrize("signature", ["v1,", "v1", ",", "v1,=", "v1,!!!!", "v1,ÿ", "v2,", "x" * 500])
def test_junk_signatures(signature: str) -> None:
    """What is no signature is refused like a wrong one."""
    assert reason("standard-webhooks", KEY, {**official(), "webhook-signature": signature}) == "signature"


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_headers(missing: str) -> None:
    """Each of the three headers is needed; an empty one is missing."""
    assert reason("standard-webhooks", KEY, {**official(), missing: ""}) == "missing_header"


@pytest.mark.parametrize("message", ["a.b", "a b", "é", "x" * 256])
def test_message_ids_are_bounded(message: str) -> None:
    """An id with a dot could move the border to the time; long and odd ones are refused as well."""
    assert reason("standard-webhooks", KEY, official(message=message)) == "id"


@pytest.mark.parametrize(
    "secret",
    ["", " \n", "whsec_", "whsec_" + base64.b64encode(b"k" * 23).decode(), KEY.removeprefix("whsec_"), "whsec_*"],
)
def test_without_a_usable_secret_nothing_is_accepted(secret: str) -> None:
    """Empty, short and malformed secrets never verify anything, not even what was signed with them."""
    key = base64.b64decode(secret.strip().removeprefix("whsec_") + "==")
    content = f"msg_1.{NOW}.".encode() + BODY
    signature = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert reason("standard-webhooks", secret, {**official(), "webhook-signature": signature}) == "config"


def test_unpadded_secrets() -> None:
    """The padding of a secret's base64 may be missing, as the official package allows."""
    assert standard(official(OTHER), OTHER.rstrip("=")) == "msg_1"


GITHUB = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}


def test_the_vector_of_github() -> None:
    """GitHub's documentation: secret "It's a Secret to Everybody", payload "Hello, World!"."""
    received = Received({**GITHUB, "x-github-delivery": "72d3162e"}, b"Hello, World!", 0)
    assert verify("github", "It's a Secret to Everybody", received) == "72d3162e"
    assert reason("github", "It's a Secret to Everybody", GITHUB, b"Hello, World?") == "signature"
    assert reason("github", "It's a secret to everybody", GITHUB, b"Hello, World!") == "signature"
    assert reason("github", "", GITHUB, b"Hello, World!") == "config"
    assert reason("github", "x", {}) == "missing_header"


@pytest.mark.parametrize("value", ["sha1=00", "757107ea", "sha256=", "sha256=zz", "sha256=7", "sha256=ÿÿ"])
def test_junk_of_github(value: str) -> None:
    """Another algorithm, no prefix, or no hexadecimal is refused."""
    assert (
        reason("github", "It's a Secret to Everybody", {"x-hub-signature-256": value}, b"Hello, World!") == "signature"
    )


def test_github_without_a_delivery_id() -> None:
    """Without X-GitHub-Delivery the signature names the message."""
    first = verify("github", "It's a Secret to Everybody", Received(GITHUB, b"Hello, World!", 0))
    assert first is not None
    assert first.startswith("sha256:")


def stripe(secret: str, body: bytes, moment: int = NOW, name: str = "v1") -> str:
    """The header as Stripe's documentation makes it: HMAC-SHA256 of `<t>.<body>`, the secret taken as it is written."""
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},{name}={mac}"


def test_stripe() -> None:
    """A Stripe signature is accepted, the event's id tells the message, other schemes in the header are ignored."""
    body = b'{"id": "evt_1", "object": "event"}'
    header = stripe("whsec_test", body) + ",v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
    assert verify("stripe", "whsec_test", Received({"stripe-signature": header}, body, NOW * 1000)) == "evt_1"
    assert verify("stripe", "old\nwhsec_test", Received({"stripe-signature": header}, body, NOW * 1000)) == "evt_1"
    assert reason("stripe", "whsec_other", {"stripe-signature": header}, body) == "signature"
    assert reason("stripe", "whsec_test", {"stripe-signature": header}, body + b" ") == "signature"


STRIPE_EVENT = {
    "id": "evt_123",
    "object": "event",
    "account": "acct_123",
    "api_version": "2017-05-25",
    "created": 1533204620,
    "data": {
        "object": {
            "id": "ii_123",
            "object": "invoiceitem",
            "amount": 1000,
            "currency": "usd",
            "customer": "cus_123",
            "date": 1533204620,
            "description": "Test Invoice Item",
            "discountable": False,
            "invoice": "in_123",
            "livemode": False,
            "metadata": {},
            "period": {"start": 1533204620, "end": 1533204620},
            "plan": None,
            "proration": False,
            "quantity": None,
            "subscription": None,
        }
    },
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": "req_123", "idempotency_key": "idempotency-key-123"},
    "type": "invoiceitem.created",
}


def test_the_vector_of_stripe() -> None:
    """Stripe's documentation has no full vector; this is the one that its official .NET library is tested with."""
    v1 = "f0bdba6d4eacbd8ad8a3bbadd7248e633ec1477f7899c124c51b39405fa36613"
    v0 = "63f3a72374a733066c4be69ed7f8e5ac85c22c9f0a6a612ab9a025a9e4ee7eef"
    body = (json.dumps(STRIPE_EVENT, indent=2) + "\n").encode()
    headers = {"stripe-signature": f"t=1533204620,v1={v1},v0={v0}"}
    assert verify("stripe", "webhook_secret", Received(headers, body, 1_533_204_720_000)) == "evt_123"
    with pytest.raises(BadSignature) as refused:
        verify("stripe", "webhook_secret", Received(headers, body, 1_533_205_020_000))
    assert refused.value.reason == "timestamp"


def test_bad_headers_of_stripe() -> None:
    """Old and doubled times, only v0, and too many signatures are refused."""
    good = stripe("s", BODY)
    assert reason("stripe", "s", {"stripe-signature": stripe("s", BODY, NOW - 301)}) == "timestamp"
    assert reason("stripe", "s", {"stripe-signature": good + f",t={NOW}"}) == "timestamp"
    assert reason("stripe", "s", {"stripe-signature": good.partition(",")[2]}) == "timestamp"
    assert reason("stripe", "s", {"stripe-signature": stripe("s", BODY, name="v0")}) == "signature"
    assert reason("stripe", "s", {"stripe-signature": good + ",v1=00" * 10}) == "too_many_signatures"
    assert reason("stripe", "s", {"stripe-signature": "v1=00," * 5000}) == "too_many_signatures"
    assert reason("stripe", "s", {}) == "missing_header"


def test_stripe_without_an_event_id() -> None:
    """A body without an id is named by what was signed."""
    header = stripe("s", b"[]")
    first = verify("stripe", "s", Received({"stripe-signature": header}, b"[]", NOW * 1000))
    assert first == "sha256:" + hashlib.sha256(f"{NOW}.[]".encode()).hexdigest()


SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SLACK = {
    "x-slack-request-timestamp": "1531420618",
    "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
}


def test_the_vector_of_slack() -> None:
    """The example of Slack's documentation is accepted at its time, and refused five minutes later."""
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    message = verify("slack", secret, Received(SLACK, SLACK_BODY, 1_531_420_618_000))
    assert message == "sha256:" + hashlib.sha256(b"v0:1531420618:" + SLACK_BODY).hexdigest()
    with pytest.raises(BadSignature) as refused:
        verify("slack", secret, Received(SLACK, SLACK_BODY, 1_531_420_919_000))
    assert refused.value.reason == "timestamp"


def test_events_of_slack_have_an_id() -> None:
    """An event that Slack sends again has a new time and the same event_id, which is what counts."""
    body = b'{"event_id": "Ev08MFMKH6", "type": "event_callback"}'
    mac = hmac.new(b"s", f"v0:{NOW}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"x-slack-request-timestamp": str(NOW), "x-slack-signature": f"v0={mac}"}
    assert verify("slack", "s", Received(headers, body, NOW * 1000)) == "Ev08MFMKH6"
    assert reason("slack", "s", headers, body + b" ") == "signature"
    assert reason("slack", "s", {**headers, "x-slack-signature": f"v1={mac}"}, body) == "signature"


def test_shared_secrets() -> None:
    """The header must hold the secret, or one of two; spaces inside belong to it."""
    received = Received({"x-token": "Bearer übung".encode().decode("latin-1")}, BODY, 0)
    assert verify("shared-secret", "Bearer übung", received, "X-Token") is None
    assert verify("shared-secret", "old\r\nBearer übung\n", received, "x-token") is None
    assert reason("shared-secret", "Bearer other", {"x-token": "Bearer"}, header="x-token") == "signature"
    assert reason("shared-secret", "s", {"x-token": "€"}, header="x-token") == "signature"
    assert reason("shared-secret", "s", {"x-token": " "}, header="x-token") == "missing_header"
    assert reason("shared-secret", "", {"x-token": ""}, header="x-token") == "config"


def test_ids_of_unsigned_messages() -> None:
    """Where nothing is signed, a usable Idempotency-Key or webhook-id names the message."""
    assert unsigned_id(Received({"idempotency-key": "a", "webhook-id": "b"}, b"", 0)) == "a"
    assert unsigned_id(Received({"idempotency-key": "a b", "webhook-id": "b"}, b"", 0)) == "b"
    assert unsigned_id(Received({}, b"", 0)) is None
    secret = Received({"x-token": "s", "webhook-id": "b"}, b"", 0)
    assert verify("shared-secret", "s", secret, "x-token") == "b"


VERDICTS = {
    "webhook_in-01": "accept",
    "webhook_in-03": "accept",
    "webhook_in-04": "timestamp",
    "webhook_in-06": "accept",
    "webhook_in-07": "signature",
    "webhook_in-09": "signature",
    "webhook_in-10": "signature",
    "webhook_in-12": "too_many_signatures",
    "webhook_in-13": "signature",
    "webhook_in-15": "missing_header",
    "webhook_in-16": "missing_header",
    "webhook_in-18": "timestamp",
    "webhook_in-19": "timestamp",
    "webhook_in-21": "timestamp",
    "webhook_in-22": "id",
    "webhook_in-24": "signature",
    "webhook_in-25": "config",
}
"""What the signature decides; the other entries are about bodies (test_hooks.py)."""


@needs_corpus
@pytest.mark.parametrize(
    "entry",
    [entry for entry in attacks("corpus.json", "webhook_in") if entry["id"] in VERDICTS],
    ids=lambda entry: str(entry["id"]),
)
def test_the_corpus(entry: dict[str, Any]) -> None:
    """Every entry that is about the signature ends as it should."""
    given = entry["input"]
    wanted = VERDICTS[entry["id"]]
    headers = {name: _text(value) for name, value in given["headers"].items()}
    received = Received(headers, _text(given["body"]).encode(), given["now"] * 1000)
    if wanted == "accept":
        assert verify("standard-webhooks", "\n".join(given["secrets"]), received) == headers["webhook-id"]
        return
    assert reason_at("\n".join(given["secrets"]), received) == wanted


def reason_at(secret: str, received: Received) -> str:
    with pytest.raises(BadSignature) as refused:
        verify("standard-webhooks", secret, received)
    return refused.value.reason


def _text(value: Any) -> str:
    return "".join(text * times for text, times in value["parts"]) if isinstance(value, dict) else str(value)


def test_a_body_is_what_was_sent() -> None:
    """The id of a Stripe event is read strictly: a doubled name is no id, so no reader is fooled."""
    body = json.dumps({"id": "evt_1"}).encode()[:-1] + b', "id": "evt_2"}'
    header = stripe("s", body)
    message = verify("stripe", "s", Received({"stripe-signature": header}, body, NOW * 1000))
    assert message is not None
    assert message.startswith("sha256:")
