"""The function behind the table's stream: everything that follows from commits, and batches that come again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError
from flowrunner.functions.observing import Observed
from flowrunner.functions.stream import Stream
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.services.audit import Audit
from flowrunner.services.authentication import Credentials
from flowrunner.services.deliveries import DeliveryStatus
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.outbound import Outbound, make_outbound
from flowrunner.services.run_news import RunNews
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.sender import SOON
from flowrunner.services.sockets import Hail, Sockets
from flowrunner.services.stream_usage import StreamUsage
from flowrunner.services.usage import Counts, Usage
from flowrunner.services.webhooks import NewWebhook
from flowrunner.settings import Settings, WebhookSettings

from tests.adapters.aws.streaming import Record, Streamed, streamed
from tests.engine.harness import ACCOUNT
from tests.engine.test_runs import flow
from tests.functions.installation import Context
from tests.services.gateway import Gateway
from tests.services.outbound import OWNER, URL, Receiver

pytestmark = pytest.mark.usefixtures("quiet_logging")

TWO = flow("a: {type: transform, params: {value: 1}, next: b}\nb: {type: log, params: {message: hm}}")
FAILS = flow("a: {type: script, hooks: {exec: \"throw new Error('no')\"}}")


class Trusting:
    """Knows everybody as a viewer of the tests' account."""

    def authenticate(self, _given: Credentials) -> Actor:
        return Actor(ACCOUNT, "vic", PERMISSIONS[Role.VIEWER], user="vic")

    def recheck(self, actor: Actor) -> Actor:
        return replace(actor, permissions=PERMISSIONS[Role.VIEWER])


@dataclass
class Deployed:
    """An engine whose table has a stream, and the function behind it."""

    streamed: Streamed
    handler: Stream
    news: RunNews
    out: Outbound
    gateway: Gateway
    sockets: Sockets
    receiver: Receiver
    usage: Usage

    def invoke(self, records: list[Record] | None = None) -> list[str]:
        """One invocation; the sequence numbers that it answers as failed."""
        batch = self.streamed.table.batch() if records is None else records
        answer = self.handler({"Records": batch}, Context())
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def watch(self, **subscription: Any) -> str:
        self.sockets.hear(Hail("c1"), json.dumps({"type": "auth", "token": "t"}), self.now() + 20_000)
        self.sockets.hear(Hail("c1"), json.dumps({"type": "subscribe", **subscription}), self.now() + 20_000)
        return "c1"

    def heard(self) -> list[str]:
        """The types of the events that the client was sent since."""
        return [one["event"]["type"] for one in self.gateway.sent.pop("c1", []) if one["type"] == "event"]

    def total(self) -> Counts:
        return self.usage.report(OWNER, "2026-01-01", "2026-01-01").total

    def now(self) -> int:
        return self.streamed.bench.clock.now()


@contextmanager
def deployed(answer: Callable[[HttpRequest], HttpResponse] | None = None) -> Iterator[Deployed]:
    """A new installation."""
    receiver = Receiver(answer)
    with streamed(http=receiver) as s:
        engine, clock, entities = s.bench.engine, s.bench.clock, s.backend.entities
        box = SecretBox(entities, MemoryKeyRing(), clock)
        out = make_outbound(engine, box, Audit(entities, clock), lambda url: None, WebhookSettings(), streamed=True)
        gateway = Gateway()
        trusting = cast("Any", Trusting())
        sockets = Sockets(entities, engine.feed, gateway, trusting, cast("Any", None), clock, LiveLimits())
        news = RunNews(StreamUsage(entities, clock, lambda change: "test"), out, sockets)
        handler = Stream(s.backend.changes, news, Observed("stream", Settings()), clock)
        yield Deployed(s, handler, news, out, gateway, sockets, receiver, Usage(entities, clock, streamed=True))
        out.close()


def webhook(d: Deployed, *events: str) -> str:
    return d.out.webhooks.create(OWNER, NewWebhook(URL, events or ("run.completed",))).endpoint.id


def test_all_that_follows_from_runs_is_done() -> None:
    """Those who watch hear of them, receivers of webhooks are told, and usage is counted: from one batch."""
    with deployed() as d:
        webhook(d, "run.completed", "step.succeeded")
        d.watch(account=True, steps=True)
        d.streamed.bench.run(TWO)
        assert d.invoke() == []
        heard = d.heard()
        assert (heard[0], heard[-1]) == ("run.started", "run.completed")
        assert heard.count("step.succeeded") == 2
        assert d.total() == Counts(1, 2, 0)
        assert sorted(_types(d.receiver)) == ["run.completed", "step.succeeded", "step.succeeded"]
        d.watch(account=True)
        run = d.streamed.bench.start(FAILS)
        d.invoke()
        assert d.heard() == ["run.started"]
        d.sockets.hear(Hail("c1"), json.dumps({"type": "subscribe", "run": run}), d.now() + 20_000)
        d.streamed.bench.work()
        d.invoke()
        assert d.heard().count("run.failed") == 2, "to the account's subscription and to the run's"


def _types(receiver: Receiver) -> list[str]:
    return [json.loads(request.content or b"{}")["type"] for request in receiver.requests]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_an_invocation_with_the_same_batch_changes_nothing(size: int) -> None:
    """Not one item of the table, no second webhook, and no event to who watches a run."""
    with deployed() as d:
        webhook(d)
        run = d.streamed.bench.start(TWO)
        d.watch(run=run)
        d.streamed.bench.work()
        batch = d.streamed.table.batch()
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            assert d.invoke(part) == []
            d.heard()
            sent, items = len(d.receiver.requests), dict(d.streamed.table.items)
            assert d.invoke(part) == []
            assert d.invoke(part[-1:]) == []
            assert d.heard() == []
            assert len(d.receiver.requests) == sent
            assert d.streamed.table.items == items
        assert d.total() == Counts(1, 2, 0)
        assert _types(d.receiver) == ["run.completed"]


def test_a_store_that_fails_at_any_call_loses_nothing_and_counts_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The batch is answered as failed from its beginning; when it comes again all is as if nothing had happened."""
    number = 0
    while True:
        number += 1
        with deployed() as d:
            webhook(d)
            run = d.streamed.bench.start(TWO)
            d.watch(run=run)
            d.streamed.bench.work()
            batch, calls = d.streamed.table.batch(), 0
            entities = d.streamed.backend.entities

            def failing(call: Callable[..., Any], fail_at: int = number) -> Callable[..., Any]:
                def wrapped(*args: Any, **options: Any) -> Any:
                    nonlocal calls
                    calls += 1
                    if calls == fail_at:
                        raise StoreError("DynamoDB did not answer")
                    return call(*args, **options)

                return wrapped

            with monkeypatch.context() as patch:
                for name in ("get", "put", "list", "find", "delete"):
                    patch.setattr(entities, name, failing(getattr(entities, name)))
                failed = d.invoke(batch)
            assert failed in ([], [batch[0]["dynamodb"]["SequenceNumber"]])
            while failed:
                d.streamed.bench.clock.turn_to(d.now() + 1_000)
                failed = d.invoke(batch)
            d.streamed.bench.clock.turn_to(d.now() + 120_000)
            d.sockets.sweep()
            d.out.relay.sweep()
            d.out.sender.send()
            assert d.total() == Counts(1, 2, 0)
            assert d.heard()[-1:] == ["run.completed"]
            assert set(_types(d.receiver)) == {"run.completed"}
        if calls < number:
            assert number > 10
            return


def test_what_cannot_be_read_keeps_nobody_waiting() -> None:
    """A record that is none is logged and passed over; the others of its batch are done."""
    with deployed() as d:
        d.streamed.bench.run(TWO)
        batch = d.streamed.table.batch()
        broken: Record = {"eventName": "MODIFY", "dynamodb": {"Keys": {}, "SequenceNumber": "1"}}
        assert d.invoke([broken, *batch[:2], broken, *batch[2:]]) == []
        assert d.total() == Counts(1, 2, 0)
        assert d.invoke([]) == []


def test_a_change_that_makes_us_fail_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours costs what one run's change would have led to, and no other's."""
    with deployed() as d:
        poison = d.streamed.bench.run(TWO).id
        d.streamed.bench.run(TWO)
        tell = d.news.tell

        def fail(changes: Any, until: int) -> None:
            if any(getattr(one, "row", one).id == poison for one in changes):
                raise ZeroDivisionError
            tell(changes, until)

        monkeypatch.setattr(d.news, "tell", fail)
        assert d.invoke() == []
        assert d.total() == Counts(1, 2, 0)


def test_webhooks_are_tried_at_once_and_then_by_the_scheduler() -> None:
    """The first try has little time; what fails is due, and the minute's round sends it."""
    answers = [HttpResponse(503, url=URL), HttpResponse(200, url=URL)]
    with deployed(lambda request: answers.pop(0)) as d:
        id = webhook(d)
        d.streamed.bench.run(TWO)
        d.invoke()
        [delivery] = d.out.deliveries.list(OWNER, id)
        assert delivery.status is DeliveryStatus.PENDING
        assert d.receiver.requests[0].timeout == SOON
        d.streamed.bench.clock.turn_to(d.now() + 60_000)
        d.out.sender.send()
        [delivery] = d.out.deliveries.list(OWNER, id)
        assert delivery.status is DeliveryStatus.DELIVERED
        assert d.receiver.requests[1].timeout > SOON


def test_receivers_in_trouble_hold_up_no_shard() -> None:
    """After a failed try the stream leaves the endpoint to the scheduler until it takes something."""
    with deployed(lambda request: HttpResponse(500, url=URL)) as d:
        id = webhook(d)
        d.streamed.bench.run(TWO)
        d.invoke()
        assert len(d.receiver.requests) == 1
        d.streamed.bench.run(TWO)
        d.invoke()
        assert len(d.receiver.requests) == 1
        assert len(d.out.deliveries.list(OWNER, id)) == 2
        d.receiver.answer = lambda request: HttpResponse(200, url=URL)
        d.streamed.bench.clock.turn_to(d.now() + 60_000)
        d.out.sender.send()
        assert {one.status for one in d.out.deliveries.list(OWNER, id)} == {DeliveryStatus.DELIVERED}


def test_runs_of_which_nobody_wants_to_hear_cost_no_reading() -> None:
    """With nobody to tell, a batch is one question for watchers, two for webhooks and one write of usage."""
    with deployed() as d:
        for _ in range(3):
            d.streamed.bench.run(TWO)
        d.invoke()
        for _ in range(3):
            d.streamed.bench.run(TWO)
        batch = d.streamed.table.batch()
        asked: list[str] = []
        entities = d.streamed.backend.entities
        for name in ("get", "put", "list", "find", "due", "delete"):
            setattr(entities, name, _counted(asked, name, getattr(entities, name)))
        assert d.invoke(batch) == []
        assert asked == ["list", "put"]


def _counted(asked: list[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any, **options: Any) -> Any:
        asked.append(name)
        return call(*args, **options)

    return counted


def test_reports_of_steps_reach_who_watches() -> None:
    """What a long step says is told while it runs, though nothing is committed."""
    from tests.adapters.aws.test_table_stream import said
    from tests.engine.talking import TalkRegistry

    with streamed(registry=TalkRegistry()) as s:
        run = s.bench.start(flow("a: {type: talk}"))
        gateway = Gateway()
        trusting = cast("Any", Trusting())
        clock = s.bench.clock
        sockets = Sockets(
            s.backend.entities, s.bench.engine.feed, gateway, trusting, cast("Any", None), clock, LiveLimits()
        )
        for message in ({"type": "auth", "token": "t"}, {"type": "subscribe", "run": run}):
            sockets.hear(Hail("c1"), json.dumps(message), clock.now() + 20_000)
        gateway.sent.clear()
        claim(s, run, said(0))
        report(s, run, said(2))
        sockets.tell(s.changes(), clock.now() + 20_000)
        report(s, run, said(3))
        sockets.tell(s.changes(), clock.now() + 20_000)
        got = [one["event"]["id"] for one in gateway.sent["c1"]]
        assert got == ["1.0:1:scheduled", "1.0:1:started", "1.0:1:log0", "1.0:1:log1", "1.0:1:log2"]


def claim(s: Streamed, run: RunId, body: bytes) -> None:
    from flowrunner.core.ids import NodeId, StepId
    from flowrunner.ports.runs import ClaimRequest

    now = s.bench.clock.now()
    s.backend.runs.claim([ClaimRequest(ACCOUNT, run, StepId("1.0"), 1, NodeId("a"), "me", now, now + 60_000, body)])


def report(s: Streamed, run: RunId, body: bytes) -> None:
    from flowrunner.core.ids import StepId
    from flowrunner.ports.runs import StepReport

    s.backend.runs.report([StepReport(ACCOUNT, run, StepId("1.0"), 1, "me", body)])
