"""Deliveries that fail are tried for a day, and again by hand; an endpoint that fails for good is disabled."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flowrunner.core.ids import AccountId
from flowrunner.errors import Conflict, NodeTimeout, NotFound
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.services.deliveries import SCHEDULE, Delivery, DeliveryStatus, Try
from flowrunner.services.endpoints import FAILING_LIMIT
from flowrunner.services.sender import LEASE
from flowrunner.services.webhooks import WebhookChange
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT
from tests.services.outbound import DAY, DONE, OWNER, VIEWER, answering, headers, post

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
