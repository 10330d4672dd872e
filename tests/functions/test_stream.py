"""The function behind the table's stream: everything that follows from commits, and batches that come again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError
from flowrunner.ports.http import HttpResponse
from flowrunner.services.cloud_costs import FOLLOWED, STEP, per_million
from flowrunner.services.deliveries import DeliveryStatus
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.sender import SOON
from flowrunner.services.sockets import Hail, Sockets
from flowrunner.services.usage import Counts
from flowrunner.services.webhooks import NewWebhook

from tests.adapters.aws.streaming import Record, Streamed, streamed
from tests.bench.aws_stream import streamed as measured
from tests.engine.harness import ACCOUNT, flow
from tests.functions.following import Deployed, Trusting, deployed
from tests.services.gateway import Gateway
from tests.services.outbound import OWNER, URL, Receiver

pytestmark = pytest.mark.usefixtures("quiet_logging")

TWO = flow("a: {type: transform, params: {value: 1}, next: b}\nb: {type: log, params: {message: hm}}")
FAILS = flow("a: {type: script, hooks: {exec: \"throw new Error('no')\"}}")


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


def test_steps_and_runs_are_counted_a_batch_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """One line of metrics for all commits of a batch, and none when it comes again."""
    with deployed() as d:
        for document in (TWO, TWO, FAILS):
            d.streamed.bench.run(document)
        batch = d.streamed.table.batch()
        assert d.invoke(batch) == []
        [line] = metrics(capsys)
        counted = {name: line[name] for name in ("Steps", "StepErrors", "RunsStarted", "RunsCompleted", "RunsFailed")}
        assert counted == {
            "Steps": [5.0],
            "StepErrors": [1.0],
            "RunsStarted": [3.0],
            "RunsCompleted": [2.0],
            "RunsFailed": [1.0],
        }
        assert len(line["StepMilliseconds"]) == 5
        assert d.invoke(batch) == []
        assert metrics(capsys) == []


def test_a_batch_that_was_half_counted_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flow by flow; what the store did not take is counted when the batch comes again."""
    with deployed() as d:
        d.streamed.bench.run(TWO)
        d.streamed.bench.run(TWO.replace("name: test", "name: other"))
        batch, entities = d.streamed.table.batch(), d.streamed.backend.entities
        put, writes = entities.put, []

        def fail_second(*args: Any, **options: Any) -> Any:
            writes.append(args)
            if len(writes) == 2:
                raise StoreError("DynamoDB did not answer")
            return put(*args, **options)

        monkeypatch.setattr(entities, "put", fail_second)
        assert d.invoke(batch) != []
        assert d.invoke(batch) == []
        first, second = metrics(capsys)
        assert (first["Steps"], first["BatchesReturned"], second["Steps"]) == ([2.0], [1.0], [2.0])
        assert "BatchesReturned" not in second


def test_what_follows_from_a_step_costs_what_the_estimates_say() -> None:
    """Counted in full batches: with it a million linear steps with effects cost four dollars at most."""
    counted = measured().units
    for name in ("write_units", "read_units", "invocations"):
        assert getattr(counted, name) == pytest.approx(getattr(FOLLOWED, name)), name
    assert 0.5 < counted.logged_gb / FOLLOWED.logged_gb <= 1
    assert per_million(STEP + FOLLOWED) <= 4.00


def metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of metrics that were written."""
    return [line for text in capsys.readouterr().out.splitlines() if "_aws" in (line := json.loads(text))]


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
