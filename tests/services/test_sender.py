"""Sending: signed so that receivers can be sure, with the keys of documents, and to nobody else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.engine.starter import StartRequest
from flowrunner.ports.http import HttpRequest
from flowrunner.services.deliveries import DeliveryStatus
from standardwebhooks import Webhook, WebhookVerificationError

from tests.engine.harness import ACCOUNT
from tests.servers import RecordingServer, redirect
from tests.services.outbound import DAY, DONE, OWNER, URL, Post, answering, headers, post


def signatures(key: str, request: HttpRequest) -> bool:
    """Whether the reference implementation's signature with `key` is among those of a request, whatever the time."""
    found = headers(request)
    moment = datetime.fromtimestamp(int(found["webhook-timestamp"]), UTC)
    expected = Webhook(key).sign(found["webhook-id"], moment, (request.content or b"").decode())
    return expected in found["webhook-signature"].split(" ")


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[GuardedClient]:
    """The guarded client, with loopback open."""
    made = GuardedClient(Guard(["127.0.0.1"]))
    yield made
    made.close()


def test_a_receiver_verifies_what_came_over_the_wire(client: GuardedClient) -> None:
    """The official package accepts, with its own clock, what a real server got byte for byte; a changed byte not."""
    with RecordingServer() as server, post(http=client) as p:
        p.bench.clock.turn_to(int(datetime.now(UTC).timestamp() * 1000))  # noqa: TID251  # the package compares with the real time
        made = p.webhook(url=server.url + "/hook?x=1", headers={"X-Team": "blue"})
        p.run(DONE)
        got = server.requests[0]
        assert (got.method, got.target, got.headers["content-type"]) == ("POST", "/hook?x=1", "application/json")
        assert (got.headers["x-team"], got.headers["user-agent"]) == ("blue", "flowrunner")
        event = Webhook(made.key).verify(got.body, got.headers)
        assert event["type"] == "run.completed"
        delivery = p.only(made.endpoint.id)
        assert got.headers["webhook-id"] == delivery.id
        assert (delivery.status, delivery.tries[0].status, delivery.tries[0].response) == ("delivered", 200, "ok")
        with pytest.raises(WebhookVerificationError):
            Webhook(made.key).verify(got.body.replace(b"completed", b"Completed"), got.headers)


def test_the_id_stays_and_the_time_moves() -> None:
    """Every try of a message has the same id and body, a time of its own, and a signature that fits it."""
    with post(answering(500, 500, 200)) as p:
        made = p.webhook()
        p.run(DONE)
        p.settle(p.now() + DAY)
        sent = p.receiver.requests
        assert len(sent) == 3
        assert len({headers(one)["webhook-id"] for one in sent}) == len({one.content for one in sent}) == 1
        assert len({headers(one)["webhook-timestamp"] for one in sent}) == 3
        assert all(signatures(made.key, one) for one in sent)
        assert "." not in headers(sent[0])["webhook-id"]


def test_both_keys_sign_while_a_receiver_changes_over() -> None:
    """For 24 hours after a rotation the old key signs as well; then the new one alone."""
    with post() as p:
        old = p.webhook()
        new = p.out.webhooks.rotate(OWNER, old.endpoint.id)
        assert new.key != old.key
        p.run(DONE)
        p.turn(DAY - 1)
        p.out.webhooks.test(OWNER, old.endpoint.id)
        p.pass_on()
        p.turn(1)
        p.out.webhooks.test(OWNER, old.endpoint.id)
        p.pass_on()
        first, during, after = p.receiver.requests
        assert signatures(old.key, first)
        assert signatures(new.key, first)
        assert signatures(old.key, during)
        assert signatures(new.key, after)
        assert not signatures(old.key, after)
        assert headers(first)["webhook-signature"].startswith(headers(first)["webhook-signature"].split(" ")[0])
        newest = p.out.webhooks.rotate(OWNER, old.endpoint.id)
        assert [key.until for key in newest.endpoint.keys] == [None, p.now() + DAY]
        box = p.bench.engine.parts.backend.entities.list(ACCOUNT, "secret", p.now())
        assert len([one for one in box if one.id.startswith("webhook/")]) == 2


def test_headers_of_the_endpoint_replace_none_of_ours() -> None:
    """Even those that got past the check, such as from a document that was saved before there was one."""
    with post() as p:
        made = p.webhook()
        bad = {"Host": "evil.example", "Webhook-Signature": "v1,x", "content-type": "text/plain", "X-Mine": "1"}
        p.out.relay._endpoints.change(ACCOUNT, made.endpoint.id, lambda one: replace(one, headers=bad))
        p.run(DONE)
        found = headers(p.receiver.requests[0])
        assert (found["content-type"], found["x-mine"]) == ("application/json", "1")
        assert "host" not in found
        assert signatures(made.key, p.receiver.requests[0])


def test_no_redirect_is_followed_and_little_is_read() -> None:
    """What the client is asked for: POST, 15 s, no redirects, the first KiB of an answer."""
    with post() as p:
        p.webhook()
        p.run(DONE)
        sent = p.receiver.requests[0]
        assert (sent.method, sent.timeout, sent.max_redirects) == ("POST", 15.0, 0)
        assert (sent.max_bytes, sent.cut) == (1024, True)


@pytest.mark.parametrize(("host", "depth"), [("flows.example.com", "4"), ("receiver.example.com", None)])
def test_a_hook_of_this_server_is_told_how_deep_it_is_called(host: str, depth: str | None) -> None:
    """So that a flow which its own webhook starts ends somewhere; strangers are not told."""
    with post(public_url="https://flows.example.com") as p:
        p.webhook(url=f"https://{host}/hooks/acct/again")
        row = p.bench.engine.save_flow(ACCOUNT, DONE)
        p.bench.engine.start(StartRequest(ACCOUNT, row.id, row.revision, depth=3))
        p.bench.work()
        p.pass_on()
        assert headers(p.receiver.requests[0]).get("x-flowrunner-depth") == depth


# -- keys of documents --------------------------------------------------------------------------------------------------

KEY, OTHER_KEY = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@pytest.mark.parametrize(
    ("secret", "keys"),
    [(KEY, [KEY]), (f"{OTHER_KEY} {KEY}", [OTHER_KEY, KEY])],
)
def test_a_document_names_a_secret_of_the_vault(secret: str, keys: list[str]) -> None:
    """It signs; one that holds two keys signs with both, so that it can be rotated."""
    with post(secrets={"HOOK": secret}) as p:
        _saved(p, "secret: HOOK")
        p.run(_with_webhook("secret: HOOK"))
        assert all(signatures(key, p.receiver.requests[0]) for key in keys)


def test_a_document_without_a_secret_sends_unsigned() -> None:
    """With an id and a time, and no signature."""
    with post() as p:
        _saved(p, "")
        p.run(_with_webhook(""))
        assert {name for name in headers(p.receiver.requests[0]) if name.startswith("webhook-")} == {
            "webhook-id",
            "webhook-timestamp",
        }


@pytest.mark.parametrize("secrets", [{}, {"HOOK": ""}, {"HOOK": "hunter2hunter2"}, {"HOOK": f"{KEY} whsec_short"}])
def test_a_key_that_is_missing_or_none_means_nothing_is_sent(secrets: dict[str, str]) -> None:
    """Never unsigned instead: the try fails, is seen, and is made again later; no text shows the value."""
    with post(secrets=secrets) as p:
        endpoint = _saved(p, "secret: HOOK")
        p.run(_with_webhook("secret: HOOK"))
        delivery = p.only(endpoint)
        assert p.receiver.requests == []
        assert delivery.status is DeliveryStatus.PENDING
        assert delivery.tries[0].error
        assert "hunter2" not in delivery.tries[0].error


def _with_webhook(extra: str) -> str:
    return DONE.replace("nodes:", f"webhooks:\n  - {{url: '{URL}', events: [run.completed], {extra}}}\nnodes:")


def _saved(p: Post, extra: str) -> str:
    """Save the flow with a webhook and make its endpoint, as the flow service does; answers the endpoint's id."""
    engine = p.bench.engine
    row = engine.save_flow(ACCOUNT, _with_webhook(extra))
    p.out.webhooks.sync(ACCOUNT, row.id, engine.programs.get(ACCOUNT, row.id, row.revision).flow, active=True)
    return p.out.webhooks.list(OWNER, row.id)[0].id


def test_a_redirect_is_no_way_around_the_guard(client: GuardedClient) -> None:
    """The answer counts as a failure, and nothing is sent to where it points."""
    with RecordingServer(lambda _: redirect("/elsewhere", 307)) as server, post(http=client) as p:
        endpoint = p.webhook(url=server.url).endpoint.id
        p.run(DONE)
        assert p.only(endpoint).tries[0].status == 307
        assert [one.path for one in server.requests] == ["/"]
