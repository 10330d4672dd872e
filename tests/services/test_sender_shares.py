"""Senders at once: each delivery once, so many a second to a host, and nobody held up by others."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import AccountId
from flowrunner.errors import StoreError
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.services.deliveries import DeliveryStatus
from flowrunner.services.sender import LEASE, Sender
from flowrunner.services.webhooks import NewWebhook
from flowrunner.testing import START

from tests.services.outbound import DAY, DONE, OWNER, headers, post


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
