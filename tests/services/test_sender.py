"""Sending: signed so that receivers can be sure, tried for a day, limited per target, harmless to everybody else."""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.core.ids import AccountId
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, InvalidInput, NodeTimeout, NotFound, StoreError
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.services.deliveries import SCHEDULE, Delivery, DeliveryStatus, Try
from flowrunner.services.endpoints import FAILING_LIMIT
from flowrunner.services.sender import LEASE, Sender
from flowrunner.services.webhooks import NewWebhook, WebhookChange
from flowrunner.testing import START
from standardwebhooks import Webhook, WebhookVerificationError

from tests.attacks import attacks, needs_corpus
from tests.engine.harness import ACCOUNT
from tests.engine.test_runs import flow
from tests.servers import RecordingServer, Reply, redirect
from tests.services.outbound import OWNER, URL, VIEWER, Answer, Post, post

DAY = 86_400_000
DONE = flow("a: {type: transform}")


def answering(*statuses: int, **headers: str) -> Answer:
    """One status after the other, the last one for ever."""
    left = list(statuses)

    def answer(request: HttpRequest) -> HttpResponse:
        status = left.pop(0) if len(left) > 1 else left[0]
        return HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"said")

    return answer


def headers(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


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


# -- when it fails ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    """And never sent again."""
    with post(answering(status)) as p:
        endpoint = p.webhook().endpoint.id
        p.run(DONE)
        p.settle(p.now() + 2 * DAY)
        assert p.only(endpoint).status is DeliveryStatus.DELIVERED
        assert len(p.receiver.requests) == 1


@pytest.mark.parametrize("status", [301, 304, 400, 401, 404, 408, 429, 500, 503])
def test_everything_else_is_tried_for_a_day(status: int) -> None:
    """Ten tries along the schedule, each wait shortened by at most a fifth; then it has failed for good."""
    with post(answering(status)) as p:
        endpoint = p.webhook().endpoint.id
        p.run(DONE)
        p.settle(p.now() + 2 * DAY)
        delivery = p.only(endpoint)
        moments = [one.at - START for one in delivery.tries]
        assert (delivery.status, delivery.reason) == (DeliveryStatus.FAILED, "every try has failed")
        assert len(moments) == len(SCHEDULE) == 10
        assert all(0.8 * due <= moment <= due for moment, due in zip(moments, SCHEDULE, strict=True))
        assert all(one.status == status for one in delivery.tries)


def test_waits_differ() -> None:
    """Many deliveries that fail together do not come back together."""
    one = Delivery(ACCOUNT, "msg_1", "account.x", "run.completed", "{}", START)
    failed = Try(START, 100, 500)
    assert one.tried(failed, 0, 0.0).next_try == START + 100 + 5_000
    assert one.tried(failed, 0, 0.5).next_try == START + 100 + 4_500


@pytest.mark.parametrize(
    ("status", "asked", "wait"),
    [
        (429, "60", 60_000),
        (503, "60", 60_000),
        (502, "3", 5_000),
        (504, "999999999", 3_600_000),
        (500, "60", 5_000),
        (429, "soon", 5_000),
        (429, "Thu, 01 Jan 2026 00:02:00 GMT", 120_000),
    ],
)
def test_what_the_receiver_asks_for(status: int, asked: str, wait: int) -> None:
    """`Retry-After` of 429, 502, 503 and 504 lengthens the wait, up to an hour, and never shortens it."""
    with post(answering(status, retry_after=asked)) as p:
        endpoint = p.webhook().endpoint.id
        p.run(DONE)
        next_try = p.only(endpoint).next_try
        assert next_try is not None
        assert 0.8 * wait <= next_try - START <= wait


def test_410_disables_the_endpoint() -> None:
    """Its delivery has failed, what else is pending is not sent, the audit log says so, and it can be enabled again."""
    with post(answering(500, 410, 200)) as p:
        endpoint = p.webhook("run.started", "run.completed").endpoint.id
        p.run(DONE)
        assert {one.reason for one in p.to(endpoint)} == {None, "the receiver wants no more (410)"}
        p.settle(p.now() + DAY)
        assert {one.reason for one in p.to(endpoint)} == {
            "the webhook is disabled",
            "the receiver wants no more (410)",
        }
        assert len(p.receiver.requests) == 2
        found = p.out.webhooks.get(OWNER, endpoint)
        assert (found.enabled, found.disabled_reason) == (False, "the receiver wants no more (it answered 410)")
        assert p.acts()[-1] == "webhook.disabled"
        p.run(DONE)
        assert len(p.to(endpoint)) == 2


def test_an_endpoint_that_fails_for_five_days_is_disabled() -> None:
    """With a reason, in the audit log; one success in between starts the count anew."""
    with post(answering(500, 500, 200, 500)) as p:
        endpoint = p.webhook().endpoint.id

        def fail() -> None:
            delivery = p.out.webhooks.test(OWNER, endpoint)
            p.out.sender.send()
            p.out.deliveries.drop(p.out.deliveries.get(OWNER, endpoint, delivery.id))

        fail()
        p.turn(FAILING_LIMIT - 1)
        fail()
        p.turn(1)
        fail()  # which it does not, this time
        fail()
        p.turn(FAILING_LIMIT - 1)
        fail()
        assert p.out.webhooks.get(OWNER, endpoint).enabled
        p.turn(1)
        fail()
        found = p.out.webhooks.get(OWNER, endpoint)
        assert (found.enabled, found.disabled_reason) == (False, "no delivery has succeeded for 5 days")
        assert p.acts()[-1] == "webhook.disabled"


def test_trouble_that_is_no_answer_is_a_failed_try() -> None:
    """A timeout, a broken connection, a fault of ours: seen in the tries, and tried again."""
    errors = iter([NodeTimeout("no answer within 15 s"), ValueError("a fault")])

    def answer(request: HttpRequest) -> HttpResponse:
        error = next(errors, None)
        if error is not None:
            raise error
        return HttpResponse(200)

    with post(answer) as p:
        endpoint = p.webhook().endpoint.id
        p.run(DONE)
        p.settle(p.now() + DAY)
        delivery = p.only(endpoint)
        assert [one.error for one in delivery.tries] == ["NodeTimeout: no answer within 15 s", "ValueError", None]
        assert delivery.status is DeliveryStatus.DELIVERED


def test_a_deleted_endpoint_gets_nothing_more() -> None:
    """What was pending for it is gone."""
    with post(answering(500)) as p:
        endpoint = p.webhook().endpoint.id
        p.run(DONE)
        p.out.webhooks.delete(OWNER, endpoint)
        p.settle(p.now() + DAY)
        assert len(p.receiver.requests) == 1
        assert p.bench.engine.parts.backend.entities.list(ACCOUNT, "delivery", p.now()) == []


# -- by hand ------------------------------------------------------------------------------------------------------------


def test_a_failed_delivery_is_sent_again_by_hand() -> None:
    """Once, at once, under the same id; when that fails too it has failed again, and the act is recorded."""
    with post(answering(*[500] * 11, 200)) as p:
        endpoint = p.webhook().endpoint.id
        p.run(DONE)
        p.settle(p.now() + 2 * DAY)
        failed = p.only(endpoint)
        again = p.out.deliveries.retry(OWNER, endpoint, failed.id)
        assert (again.status, again.next_try) == (DeliveryStatus.PENDING, p.now())
        p.out.sender.send()
        assert p.only(endpoint).status is DeliveryStatus.FAILED
        p.out.deliveries.retry(OWNER, endpoint, failed.id)
        p.out.sender.send()
        done = p.only(endpoint)
        assert (done.status, done.reason, len(done.tries)) == (DeliveryStatus.DELIVERED, None, 12)
        assert len({headers(one)["webhook-id"] for one in p.receiver.requests}) == 1
        assert p.acts()[-1] == "delivery.retried"


def test_a_retry_needs_an_endpoint_that_is_enabled_and_ones_own() -> None:
    """A disabled one is a conflict; another endpoint, another account or a made-up id are all the same: not found."""
    with post() as p:
        mine, other = p.webhook().endpoint.id, p.webhook().endpoint.id
        p.run(DONE)
        delivery = p.only(mine).id
        for actor, endpoint, id in (
            (OWNER, other, delivery),
            (OWNER, mine, "msg_0"),
            (OWNER, "account.none", delivery),
            (replace(OWNER, account=AccountId("theirs")), mine, delivery),
        ):
            with pytest.raises(NotFound):
                p.out.deliveries.retry(actor, endpoint, id)
            with pytest.raises(NotFound):
                p.out.deliveries.get(actor, endpoint, id)
        p.out.webhooks.update(OWNER, mine, WebhookChange(enabled=False))
        with pytest.raises(Conflict, match="disabled"):
            p.out.deliveries.retry(OWNER, mine, delivery)


def test_a_retry_while_a_try_is_under_way_keeps_both_tries() -> None:
    """What the first one brings is recorded on the delivery as it is then."""
    with post(answering(500, 200)) as p:
        endpoint = p.webhook().endpoint.id
        p.executor.hold = True
        p.run(DONE)
        p.out.deliveries.retry(OWNER, endpoint, p.only(endpoint).id)
        p.out.sender.send()
        p.executor.release()
        done = p.only(endpoint)
        assert (done.status, [one.status for one in done.tries]) == (DeliveryStatus.DELIVERED, [500, 200])


def test_a_late_failure_does_not_undo_a_delivery() -> None:
    """The lease lapsed, another process delivered it, then the first try's failure comes in."""
    with post(answering(200, 500)) as p:
        endpoint = p.webhook().endpoint.id
        p.executor.hold = True
        p.run(DONE)
        p.turn(LEASE)
        p.out.sender.send()
        first, second = p.executor.held
        second()
        first()
        done = p.only(endpoint)
        assert (done.status, [one.status for one in done.tries]) == (DeliveryStatus.DELIVERED, [200, 500])


def test_deliveries_are_kept_for_a_week_once_they_are_over() -> None:
    """A pending one never expires, whatever happens to the senders."""
    with post(answering(200, 500)) as p:
        endpoint = p.webhook("run.started", "run.completed").endpoint.id
        p.run(DONE)
        p.turn(7 * DAY)
        p.bench.engine.parts.backend.entities.purge(p.now())
        assert [one.status for one in p.to(endpoint)] == [DeliveryStatus.PENDING]


def test_the_newest_deliveries_come_first_in_pages() -> None:
    """Each page begins behind the last delivery of the one before; reading needs the permission only."""
    with post() as p:
        endpoint = p.webhook().endpoint.id
        for _ in range(5):
            p.turn(1_000)
            p.out.webhooks.test(OWNER, endpoint)
        first = p.out.deliveries.list(VIEWER, endpoint, limit=3)
        second = p.out.deliveries.list(VIEWER, endpoint, after=first[-1].key, limit=3)
        moments = [one.created_at for one in (*first, *second)]
        assert moments == sorted(moments, reverse=True)
        assert len(set(moments)) == 5


# -- several at once ----------------------------------------------------------------------------------------------------


def test_two_processes_send_each_delivery_once() -> None:
    """Whoever leases it first sends it."""
    with post(limits={"in_flight": 8}) as p, post(beside=p) as other:
        p.executor.hold = other.executor.hold = True
        p.webhook("run.started", "step.scheduled", "step.started", "step.succeeded", "run.completed")
        p.run(DONE)
        other.out.sender.send()
        p.executor.release()
        other.executor.release()
        assert len(p.receiver.requests) + len(other.receiver.requests) == 5


def test_a_sender_that_dies_leaves_its_deliveries_to_others() -> None:
    """When the lease is over they come due again, under the same id."""
    with post() as p:
        endpoint = p.webhook().endpoint.id
        p.executor.hold = True
        p.run(DONE)
        with post(beside=p) as other:
            other.out.sender.send()
            assert other.receiver.requests == []
            other.turn(LEASE)
            other.out.sender.send()
            assert headers(other.receiver.requests[0])["webhook-id"] == p.only(endpoint).id
            assert p.only(endpoint).status is DeliveryStatus.DELIVERED


def test_one_host_gets_so_many_a_second() -> None:
    """Whatever endpoints they go to; the rest is put off to slots of its own, and another host does not wait."""
    with post(limits={"per_second": 10, "threads": 256, "in_flight": 64}) as p:
        a, b = (p.webhook(url=f"https://busy.example.com/{name}").endpoint.id for name in "ab")
        other = p.webhook(url="https://quiet.example.com/").endpoint.id
        for endpoint in (a, b, other):
            for _ in range(30 if endpoint != other else 1):
                p.out.webhooks.test(OWNER, endpoint)
        seconds: dict[int, int] = {}

        def count(request: HttpRequest) -> HttpResponse:
            if "busy" in request.url:
                second = (p.now() - START) // 1_000
                seconds[second] = seconds.get(second, 0) + 1
            return HttpResponse(200)

        p.receiver.answer = count
        p.out.sender.send()
        assert [one.url for one in p.receiver.requests if "quiet" in one.url]
        p.settle(p.now() + DAY)
        assert sum(seconds.values()) == 60
        assert seconds[0] <= 20
        assert all(amount <= 10 for second, amount in seconds.items() if second)
        assert max(seconds) <= 6


def test_a_host_that_others_send_to_as_well_is_not_taken_from_them() -> None:
    """Thousands of messages of one account to a host put off those of the others by minutes."""
    with post(limits={"per_second": 10, "threads": 256, "in_flight": 64}) as p:
        theirs = replace(OWNER, account=AccountId("theirs"))
        mine = p.webhook(url="https://shared.example.com/mine").endpoint.id
        for _ in range(600):
            p.out.webhooks.test(OWNER, mine)
        p.out.sender.send()
        made = p.out.webhooks.create(theirs, NewWebhook("https://shared.example.com/theirs", ["run.completed"]))
        p.out.webhooks.test(theirs, made.endpoint.id)
        p.out.sender.send()
        assert p.receiver.requests[-1].url == "https://shared.example.com/theirs"


def test_slots_that_were_missed_are_no_burst() -> None:
    """A process that slept through its slots asks for new ones."""
    with post(limits={"per_second": 10, "threads": 256, "in_flight": 64}) as p:
        endpoint = p.webhook().endpoint.id
        for _ in range(50):
            p.out.webhooks.test(OWNER, endpoint)
        p.out.sender.send()
        sent = len(p.receiver.requests)
        p.turn(3_600_000)
        p.out.sender.send()
        assert len(p.receiver.requests) - sent <= 11


def test_a_slow_receiver_holds_up_nobody_else() -> None:
    """While an endpoint has its share in flight, its other deliveries step aside, and those of others go out."""
    with post(limits={"in_flight": 2, "threads": 16, "per_second": 1000}) as p:
        slow = p.webhook(url="https://slow.example.com/").endpoint.id
        for _ in range(300):
            p.out.webhooks.test(OWNER, slow)
        p.executor.hold = True
        p.out.sender.send()
        assert len(p.executor.held) == 2
        quick = p.webhook(url="https://quick.example.com/").endpoint.id
        p.out.webhooks.test(OWNER, quick)
        p.out.sender.send()
        assert len(p.executor.held) == 3
        p.executor.release()
        assert {one.url for one in p.receiver.requests} == {"https://slow.example.com/", "https://quick.example.com/"}
        p.executor.hold = False
        p.settle(p.now() + DAY)
        assert len(p.receiver.requests) == 301


def test_an_account_has_half_of_the_threads() -> None:
    """However many endpoints it has, another account's deliveries find a free one."""
    with post(limits={"in_flight": 4, "threads": 8, "per_second": 1000}) as p:
        theirs = replace(OWNER, account=AccountId("theirs"))
        p.executor.hold = True
        for _ in range(10):
            p.out.webhooks.test(OWNER, p.webhook().endpoint.id)
        made = p.out.webhooks.create(theirs, NewWebhook("https://theirs.example.com/", ["run.completed"]))
        p.turn(1)
        p.out.webhooks.test(theirs, made.endpoint.id)
        p.out.sender.send()
        assert len(p.executor.held) == 5
        p.executor.release()
        assert p.receiver.requests[-1].url == "https://theirs.example.com/"


def test_a_few_threads_are_left_however_many_accounts_are_slow() -> None:
    """Each has half of what is free at most; two of them had everything between them."""
    with post(limits={"in_flight": 16, "threads": 16, "per_second": 1000}) as p:
        p.executor.hold = True
        counts = []
        for number in range(4):
            slow = replace(OWNER, account=AccountId(f"slow{number}"))
            made = p.out.webhooks.create(slow, NewWebhook(f"https://slow{number}.example.com/", ["run.completed"]))
            for _ in range(20):
                p.out.webhooks.test(slow, made.endpoint.id)
            p.out.sender.send()
            counts.append(len(p.executor.held))
        assert counts == [8, 12, 14, 15]


def test_a_full_pool_comes_back_when_a_thread_is_free() -> None:
    """Nothing is taken that cannot be sent, and whoever finishes says so."""
    with post(limits={"threads": 1, "in_flight": 4}) as p:
        freed: list[bool] = []
        p.out.sender.on_free = lambda: freed.append(True)
        p.out.webhooks.test(OWNER, p.webhook().endpoint.id)
        p.out.webhooks.test(OWNER, p.webhook(url="https://b.example.com/").endpoint.id)
        p.executor.hold = True
        assert p.out.sender.send() == p.now() + 1_000
        assert len(p.executor.held) == 1
        p.executor.release()
        assert freed == [True]
        p.out.sender.send()
        p.executor.release()
        assert len(p.receiver.requests) == 2


def test_a_try_that_cannot_be_recorded_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store failed behind the send: the lease lapses, and the receiver sees the same id again."""
    with post() as p:
        endpoint = p.webhook().endpoint.id
        p.executor.hold = True
        p.run(DONE)

        def broken(*args: Any) -> None:
            raise StoreError

        with monkeypatch.context() as patch:
            patch.setattr(p.out.deliveries, "write", broken)
            p.executor.release()
        p.executor.hold = False
        p.turn(LEASE)
        p.out.sender.send()
        assert p.only(endpoint).status is DeliveryStatus.DELIVERED
        assert len({headers(one)["webhook-id"] for one in p.receiver.requests}) == 1
        assert len(p.receiver.requests) == 2


def test_sending_happens_in_threads_of_its_own() -> None:
    """Without an executor the sender has a pool, and `close` waits for what is in flight."""
    started, release = threading.Event(), threading.Event()

    def slow(request: HttpRequest) -> HttpResponse:
        started.set()
        assert release.wait(120)
        return HttpResponse(200)

    with post(slow) as p:
        endpoint = p.webhook().endpoint.id
        p.out.webhooks.test(OWNER, endpoint)
        made = p.out.sender
        sender = Sender(
            p.out.deliveries,
            made._endpoints,
            made._keys,
            made._secrets,
            made._http,
            p.audit,
            p.bench.clock,
            made._draws,
        )
        sender.send()
        assert started.wait(120)
        assert p.only(endpoint).status is DeliveryStatus.PENDING
        release.set()
        sender.close()
        assert p.only(endpoint).status is DeliveryStatus.DELIVERED
    Sender(
        p.out.deliveries, made._endpoints, made._keys, made._secrets, made._http, p.audit, p.bench.clock, made._draws
    ).close()


# -- the corpus ---------------------------------------------------------------------------------------------------------


@needs_corpus
@pytest.mark.parametrize("entry", attacks("corpus.json", "webhook_out"), ids=lambda entry: entry["id"])
def test_webhook_out_corpus(entry: dict[str, Any]) -> None:
    """Every entry on outbound webhooks of the shared corpus, on endpoints and their deliveries."""
    given = entry["input"]
    match entry["id"]:
        case "webhook_out-01":
            _denied_at_save_and_at_send(given["url"])
        case "webhook_out-02":
            _denied_at_send(given["url"], given["dns_at_save"], given["dns_at_send"])
        case "webhook_out-04":
            with post(answering(given["status"])) as p:
                endpoint = p.webhook().endpoint.id
                p.run(DONE)
                assert not p.out.webhooks.get(OWNER, endpoint).enabled
        case "webhook_out-05":
            with post(answering(given["status"], retry_after=given["retry-after"])) as p:
                endpoint = p.webhook().endpoint.id
                p.run(DONE)
                assert p.only(endpoint).next_try == p.now() + 3_600_000
        case "webhook_out-07":
            with post() as p:
                p.webhook()
                p.executor.hold = True
                run = p.run(DONE)
                assert p.bench.result(run).status == "completed"
                p.executor.release()
                assert p.receiver.requests[0].timeout <= 15
        case "webhook_out-08":
            body = given["response_body"].encode() * 1000
            with RecordingServer(lambda _: Reply(500, body)) as server, _loopback() as client, post(http=client) as p:
                endpoint = p.webhook(url=server.url).endpoint.id
                p.run(DONE)
                shown = p.only(endpoint).tries[0].response
                assert shown.startswith(html.escape(given["response_body"]))
                assert len(shown) <= 1024
                assert "<" not in shown
        case "webhook_out-10":
            with post(secrets={"TOKEN": "canary-7f3a91"}) as p:
                endpoint = p.webhook("step.log", "step.event", "step.failed").endpoint.id
                p.run(LEAKS)
                assert {one.type for one in p.to(endpoint)} == {"step.log", "step.event", "step.failed"}
                assert all(b"canary-7f3a91" not in (one.content or b"") for one in p.receiver.requests)
        case other:
            pytest.fail(f"the corpus has {other}, which this test does not know")


LEAKS = flow("""
a: {type: script, hooks: {exec: "log(secrets.TOKEN); emit('e', {v: secrets.TOKEN}); return 1"}, next: b}
b: {type: script, hooks: {exec: "throw new Error(secrets.TOKEN)"}}""")


def _loopback() -> Any:
    return closing(GuardedClient(Guard(["127.0.0.1"])))


def _denied_at_save_and_at_send(url: str) -> None:
    with closing(GuardedClient(Guard())) as client, post(http=client) as p:
        made = p.webhook().endpoint
        p.check.guard = Guard()
        with pytest.raises(InvalidInput, match="not public"):
            p.webhook(url=url)
        p.out.relay._endpoints.change(ACCOUNT, made.id, lambda one: replace(one, url=url))
        p.run(DONE)
        assert (p.only(made.id).tries[0].error or "").startswith("EGRESS_DENIED")


def _denied_at_send(url: str, at_save: list[str], at_send: list[str]) -> None:
    answers = iter([at_save])
    guard = Guard(resolver=lambda *_: next(answers, at_send))
    with closing(GuardedClient(guard)) as client, post(http=client) as p:
        p.check.guard = guard
        made = p.webhook(url=url).endpoint
        p.run(DONE)
        assert (p.only(made.id).tries[0].error or "").startswith("EGRESS_DENIED")


def test_a_redirect_is_no_way_around_the_guard(client: GuardedClient) -> None:
    """The answer counts as a failure, and nothing is sent to where it points."""
    with RecordingServer(lambda _: redirect("/elsewhere", 307)) as server, post(http=client) as p:
        endpoint = p.webhook(url=server.url).endpoint.id
        p.run(DONE)
        assert p.only(endpoint).tries[0].status == 307
        assert [one.path for one in server.requests] == ["/"]
