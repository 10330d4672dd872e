"""From events to deliveries: nothing is lost, nothing doubled, whoever dies when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.records import RunFacts
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import InvalidInput, StoreError
from flowrunner.ports.entities import Entity
from flowrunner.ports.runs import RunRow
from flowrunner.services.relay import GRACE, SOONEST
from flowrunner.services.webhooks import NewWebhook

from tests.engine.harness import ACCOUNT, flow
from tests.services.outbound import OWNER, URL, Post, post

TWO = flow("""
a: {type: script, hooks: {exec: "log('one'); return 1"}, next: b}
b: {type: transform, params: {value: 2}}""")
WAITS = flow("""
a: {type: transform, next: c}
c: {type: approval, params: {message: "go?"}, next: {approved: d}}
d: {type: transform}""")
FAILS = flow("""
a: {type: transform, next: b}
b: {type: script, hooks: {exec: "throw new Error('no')"}}""")
ALL = ("run.started", "run.completed", "run.failed", "run.cancelled", "step.started", "step.succeeded", "step.failed")


def told(p: Post, endpoint: str) -> list[tuple[str, str | None]]:
    """Type and node of each delivery, in the order in which they were made."""
    return [(one.type, orjson.loads(one.payload)["data"].get("node")) for one in p.to(endpoint)]


def ends(p: Post, endpoint: str) -> list[str]:
    """The events that an endpoint was told of, by their ids."""
    return sorted(orjson.loads(one.payload)["data"]["event"] for one in p.to(endpoint))


def test_the_events_that_are_wanted_are_delivered() -> None:
    """Those of the run and of its steps, once each, and nothing else."""
    with post() as p:
        hook = p.webhook("run.completed", "node.completed").endpoint
        run = p.run(TWO)
        assert sorted(told(p, hook.id)) == [("run.completed", None), ("step.succeeded", "a"), ("step.succeeded", "b")]
        assert len(p.receiver.requests) == 3
        assert {one.run for one in p.to(hook.id)} == {run}
        assert p.relays() == 0


def test_a_payload_says_what_happened_where() -> None:
    """Type and time as the specification has them; run, flow, step, node, attempt and the event's own data below."""
    with post(public_url="https://flows.example.com/") as p:
        hook = p.webhook("step.log").endpoint
        run = p.run(TWO)
        body = orjson.loads(p.only(hook.id).payload)
        assert (body["type"], body["timestamp"]) == ("step.log", "2026-01-01T00:00:00.000Z")
        facts = body["data"]
        assert facts.pop("flow_id")
        assert facts == {
            "event": "1.0:1:log0",
            "run": run,
            "run_url": f"https://flows.example.com/v1/runs/{run}",
            "flow": "test",
            "revision": 1,
            "step": "a",
            "node": "a",
            "attempt": 1,
            "data": {"level": "info", "message": "one"},
        }


def test_what_is_too_large_is_cut() -> None:
    """Beyond 20 KiB the event's data is left out, and the payload says so and where to look."""
    with post() as p:
        hook = p.webhook("step.event").endpoint
        run = p.run(flow("a: {type: script, hooks: {exec: \"emit('big', 'ü'.repeat(11000)); return 1\"}}"))
        payload = p.only(hook.id).payload
        facts = orjson.loads(payload)["data"]
        assert len(payload) < 1_000
        assert (facts["data"], facts["truncated"], facts["run_url"]) == (None, True, f"/v1/runs/{run}")


def test_scopes() -> None:
    """An endpoint of a flow hears only its runs, one of nodes only those nodes' steps, one of the account all."""
    with post() as p:
        rows = [p.bench.engine.save_flow(ACCOUNT, text) for text in (TWO, TWO.replace("name: test", "name: other"))]
        events = ("run.completed", "step.succeeded")
        whole = p.webhook(*events).endpoint
        one = p.webhook(*events, flow=rows[0].id).endpoint
        node = p.webhook(*events, flow=rows[1].id, nodes=["b"]).endpoint
        for row in rows:
            p.bench.engine.start(StartRequest(ACCOUNT, row.id, row.revision))
        p.bench.work()
        p.pass_on()
        assert len(told(p, whole.id)) == 6
        assert sorted(told(p, one.id)) == [("run.completed", None), ("step.succeeded", "a"), ("step.succeeded", "b")]
        assert sorted(told(p, node.id)) == [("run.completed", None), ("step.succeeded", "b")]


def test_nobody_who_listens_costs_nothing() -> None:
    """Without an endpoint that may want them, no relay is written for runs; another account's does not count."""
    with post() as p:
        p.out.webhooks.create(replace(OWNER, account=AccountId("other")), NewWebhook(URL, ["run.completed"]))
        row = p.bench.engine.save_flow(ACCOUNT, TWO)
        other = p.bench.engine.save_flow(ACCOUNT, WAITS.replace("name: test", "name: other"))
        p.webhook("run.completed", flow=other.id)
        p.bench.engine.start(StartRequest(ACCOUNT, row.id, row.revision))
        assert p.relays() == 0
        p.webhook("run.completed", enabled=False)
        p.bench.engine.start(StartRequest(ACCOUNT, row.id, row.revision))
        assert p.relays() == 0


def test_an_endpoint_hears_nothing_from_before_it_was_there() -> None:
    """One that is made while a run is under way gets what happens from then on."""
    with post() as p:
        early = p.webhook(*ALL).endpoint
        run = p.bench.start(WAITS)
        p.bench.work()
        p.turn(1_000)
        late = p.webhook(*ALL).endpoint
        p.pass_on()
        assert told(p, late.id) == []
        p.bench.engine.control.signal(ACCOUNT, run, "c", {"approved": True})
        p.bench.work()
        p.pass_on()
        assert sorted(told(p, late.id), key=str) == [
            *(("run.completed", None), ("step.started", "d"), ("step.succeeded", "c"), ("step.succeeded", "d")),
        ]
        assert len(told(p, early.id)) == 8


def test_events_are_told_while_the_run_goes_on_and_never_twice() -> None:
    """A step under way is told at once; however often the run is read, each event makes one delivery."""
    with post() as p:
        hook = p.webhook("step.started", "step.waiting", "run.completed").endpoint
        run = p.bench.start(WAITS)
        p.bench.work()
        for _ in range(5):
            p.turn(SOONEST)
            p.pass_on()
        assert sorted(told(p, hook.id)) == [("step.started", "a"), ("step.started", "c"), ("step.waiting", "c")]
        p.bench.engine.control.signal(ACCOUNT, run, "c", {"approved": True})
        p.bench.work()
        p.pass_on()
        assert len(told(p, hook.id)) == len(p.receiver.requests) == 5
        assert p.relays() == 0


def test_a_waiting_run_is_looked_at_less_and_less() -> None:
    """The pause doubles up to five minutes, and a change in another process is found by then."""
    with post() as p:
        p.webhook("run.completed")
        p.bench.start(WAITS)
        p.bench.work()
        pauses = []
        for _ in range(8):
            due = p.out.relay.sweep()
            assert due is not None
            pauses.append((due - p.now()) // 1000)
            p.bench.clock.turn_to(due)
        assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_process_that_dies_loses_no_event() -> None:
    """All that it had in memory is gone; another one finds the run by its relay, and the events in the store."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        p.bench.start(TWO)
        p.bench.work()
        with post(beside=p) as other:
            other.turn(SOONEST)
            other.pass_on()
            assert len(told(other, hook.id)) == 6
            assert other.relays() == 0


@pytest.mark.parametrize("failing", range(1, 8))
def test_whatever_write_fails_each_event_is_delivered_once(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails at the n-th write of a sweep: the next sweep completes it, with no delivery doubled."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        p.bench.start(TWO)
        p.bench.work()
        entities, count = p.bench.engine.parts.backend.entities, 0
        put, delete = entities.put, entities.delete

        def fail(write: Any) -> Any:
            def written(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == failing:
                    raise StoreError
                return write(*args, **kwargs)

            return written

        monkeypatch.setattr(entities, "put", fail(put))
        monkeypatch.setattr(entities, "delete", fail(delete))
        with pytest.raises(StoreError):
            p.out.relay.sweep()
        p.pass_on()
        assert len({one.id for one in p.to(hook.id)}) == len(told(p, hook.id)) == 6
        assert p.relays() == 0


def test_a_run_whose_relay_cannot_be_written_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events would be lost, so the caller hears of the trouble instead."""
    with post() as p:
        p.webhook(*ALL)
        entities = p.bench.engine.parts.backend.entities

        def broken(*args: Any, **kwargs: Any) -> Entity | None:
            raise StoreError

        monkeypatch.setattr(entities, "put", broken)
        with pytest.raises(StoreError):
            p.bench.start(TWO)
        assert p.bench.engine.parts.backend.queue.next_visible() is None


def test_a_run_that_never_came_is_forgotten() -> None:
    """The process died between the relay and the run: for an hour it is waited for, then the relay goes."""
    with post() as p:
        p.webhook(*ALL)
        row = p.bench.engine.save_flow(ACCOUNT, TWO)
        p.out.relay.announced([_row(row.id)])
        p.turn(GRACE)
        p.pass_on()
        assert p.relays() == 1
        p.turn(GRACE)
        p.pass_on()
        assert p.relays() == 0


def _row(flow_id: Any, run: str = "run-x") -> RunRow:
    return RunRow(ACCOUNT, RunId(run), flow_id, 1, "test", 1, 0, RunFacts().encode(), 1, "running", b"")


def test_a_run_that_was_announced_twice_is_told_once() -> None:
    """Starting a run again by its id, under way or over, repeats nothing."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        p.bench.start(TWO, run="r1")
        p.bench.start(TWO, run="r1")
        p.bench.work()
        p.pass_on()
        assert len(told(p, hook.id)) == 6
        p.bench.start(TWO, run="r1")
        p.bench.work()
        p.pass_on()
        assert len(told(p, hook.id)) == len(p.receiver.requests) == 6


def test_a_redrive_is_told_of_too() -> None:
    """The relay is there before the run is reopened; what its first life had is not told again."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        run = p.run(FAILS)
        first = sorted(told(p, hook.id), key=str)
        assert first == [
            *(("run.failed", None), ("run.started", None), ("step.failed", "b"), ("step.started", "a")),
            *(("step.started", "b"), ("step.succeeded", "a")),
        ]
        p.turn(8 * 86_400_000)
        p.bench.engine.parts.backend.entities.purge(p.now())
        p.bench.engine.control.redrive(ACCOUNT, run)
        assert p.relays() == 1
        p.bench.work()
        p.pass_on()
        assert sorted(told(p, hook.id), key=str) == [("run.failed", None), ("step.failed", "b"), ("step.started", "b")]
        assert p.relays() == 0


def test_a_redrive_that_is_announced_and_not_there_yet_keeps_its_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep between the announcement and the commit sees the old end, and must not take it for the new one."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        run = p.run(FAILS)
        p.turn(8 * 86_400_000)
        p.bench.engine.parts.backend.entities.purge(p.now())
        services = p.bench.engine.services

        def sweep(rows: Sequence[RunRow]) -> None:
            p.turn(SOONEST)
            p.out.relay.sweep()

        services.before_start.append(sweep)
        p.bench.engine.control.redrive(ACCOUNT, run)
        services.before_start.remove(sweep)
        assert p.relays() == 1
        p.bench.work()
        p.pass_on()
        assert sorted(told(p, hook.id), key=str) == [("run.failed", None), ("step.failed", "b"), ("step.started", "b")]


def test_a_redrive_before_the_end_was_read_loses_nothing_of_the_first_life() -> None:
    """The relay that is still there goes on from where it was."""
    with post() as p:
        hook = p.webhook("run.started", "step.failed", "step.succeeded").endpoint
        run = p.bench.start(FAILS)
        p.bench.work()
        p.bench.engine.control.redrive(ACCOUNT, run)
        p.bench.work()
        p.pass_on()
        assert sorted(told(p, hook.id), key=str) == [
            *(("run.started", None), ("step.failed", "b"), ("step.failed", "b"), ("step.succeeded", "a")),
        ]


def test_an_end_is_told_though_the_run_is_redriven_before_it_was_read() -> None:
    """Its history does not have that end any more once it goes on, so it is told before (seed 12 of the simulation)."""
    with post() as p:
        hook = p.webhook("run.failed").endpoint
        run = p.bench.start(FAILS)
        p.bench.work()
        p.bench.engine.control.redrive(ACCOUNT, run)
        p.bench.work()
        p.pass_on()
        assert ends(p, hook.id) == ["run:1:run.failed", "run:2:run.failed"]


def test_an_end_is_told_that_a_redrive_itself_comes_to() -> None:
    """A step that failed too late for its run is taken by the redrive, and ends the run again with it (seed 178)."""
    with post() as p:
        hook = p.webhook("run.failed").endpoint
        run = p.run(flow("a: {type: json.parse, params: {text: no}}\nb: {type: json.parse, params: {text: no}}"))
        assert {one.rev for one in p.bench.steps(run)} == {0, 2}, "the other one has failed as well, and too late"
        assert ends(p, hook.id) == ["run:1:run.failed"]
        p.bench.engine.control.redrive(ACCOUNT, run)
        p.pass_on()
        assert ends(p, hook.id) == ["run:1:run.failed", "run:2:run.failed"]


def test_a_redrive_that_never_came_is_forgotten() -> None:
    """After an hour the relay of a run that has not been reopened goes, and nothing is told again."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        run = p.run(FAILS)
        row = p.bench.engine.parts.backend.runs.load([(ACCOUNT, run)])[0]
        assert row is not None
        p.out.relay.announced([row])
        p.turn(2 * GRACE)
        p.pass_on()
        p.pass_on()
        assert p.relays() == 0
        assert len(told(p, hook.id)) == 6


def test_children_are_told_of() -> None:
    """A run that a step starts is announced like any other."""
    with post() as p:
        hook = p.webhook("run.completed").endpoint
        p.bench.engine.save_flow(ACCOUNT, TWO.replace("name: test", "name: child"))
        p.run(flow("a: {type: flow.run, params: {flow: child}}"))
        names = {orjson.loads(one.payload)["data"]["flow"] for one in p.to(hook.id)}
        assert names == {"child", "test"}


def test_an_old_event_of_a_step_that_still_waits_is_not_told_again() -> None:
    """Its delivery may have expired since, and the step is read anew with every look."""
    with post() as p:
        p.webhook("step.started", "step.waiting")
        p.bench.start(WAITS)
        p.bench.work()
        p.pass_on()
        sent = len(p.receiver.requests)
        with post(beside=p) as other:  # remembers nothing
            for day in range(20):
                other.bench.clock.turn_to(p.now() + day * 86_400_000)
                other.bench.engine.parts.backend.entities.purge(other.now())
                other.pass_on()
            assert other.receiver.requests == []
        assert sent == 3


def test_one_broken_run_does_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose flow cannot be loaded is looked at later; the rest is told."""
    with post() as p:
        hook = p.webhook("run.completed").endpoint
        bad = p.bench.start(WAITS.replace("name: test", "name: bad"))
        p.bench.start(TWO)
        p.bench.work()
        feed = p.bench.engine.feed
        read = feed.read

        def picky(account: AccountId, run: RunId, cursor: int = 0) -> Any:
            if run == bad:
                raise InvalidInput("the flow is broken")
            return read(account, run, cursor)

        monkeypatch.setattr(feed, "read", picky)
        p.pass_on()
        assert told(p, hook.id) == [("run.completed", None)]
        assert p.relays() == 1


def test_two_processes_that_read_the_same_run_tell_it_once() -> None:
    """Both read, one inserts; the other's insert and move of the cursor change nothing."""
    with post() as p:
        hook = p.webhook(*ALL).endpoint
        p.bench.start(TWO)
        p.bench.work()
        with post(beside=p) as other:
            other.turn(SOONEST)
            entities = p.bench.engine.parts.backend.entities
            entity = entities.due("relay", other.now(), 1)[0]
            p.out.relay._read(entity)
            other.out.relay._read(entity)
            p.out.sender.send()
            other.out.sender.send()
            assert len(told(p, hook.id)) == 6
            assert len(p.receiver.requests) + len(other.receiver.requests) == 6


def test_two_processes_on_a_database_file(tmp_path: Path) -> None:
    """Two backends of one SQLite file, relays and senders in threads of both: each event goes out once."""
    first, second = (SqliteBackend(tmp_path / "f.db", "normal") for _ in range(2))
    first.migrate()
    with post(backend=first) as p, post(backend=second, beside=p) as other:
        hook = p.webhook(*ALL, url="https://a.example.com/").endpoint
        for _ in range(10):
            p.bench.start(TWO)
        p.bench.work()
        other.turn(SOONEST)
        threads = [Thread(target=one.pass_on) for one in (p, other) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        p.turn(SOONEST)
        for one in (p, other, p, other):
            one.settle(p.now() + 3_600_000)
        sent = [dict(one.headers)["webhook-id"] for one in (*p.receiver.requests, *other.receiver.requests)]
        assert len(sent) == len(set(sent)) == len(p.out.deliveries.list(OWNER, hook.id, limit=100)) == 60
        assert p.relays() == 0
    first.close()
    second.close()
