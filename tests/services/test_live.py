"""The hub: who watches gets everything at least once, in order, whoever works on the run; nobody else's; and no more
than fits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import AccountId, NodeId, RunId, StepId
from flowrunner.engine.feed import START, Position
from flowrunner.engine.reports import WRITE_EVERY
from flowrunner.errors import Forbidden, NotFound, StoreError, TooManyRequests
from flowrunner.ports.runs import ClaimRequest, ClaimStatus, RunRow, StepRow
from flowrunner.services.identity import Actor
from flowrunner.services.live import Hub
from flowrunner.services.live_channels import RunChannel
from flowrunner.services.live_frames import Batch
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.mailbox import Mail, Mailbox, call_in

from tests.engine.harness import ACCOUNT, Bench, bench, flow
from tests.engine.talking import PATIENCE, TalkRegistry
from tests.engine.test_positions import WIDE
from tests.services.watching import STRANGER, VIEWER, Reader, watching

SHORT = flow("""
a: {type: script, hooks: {exec: "log('one'); return 1"}, next: b}
b: {type: approval, params: {message: "go?"}}""")


def finish(b: Bench, run: RunId, step: str = "b") -> None:
    b.engine.control.signal(ACCOUNT, run, step, {"approved": True})
    b.work()


def whole(b: Bench, run: RunId) -> list[str]:
    return [event.id for event in b.engine.feed.read(ACCOUNT, run).events]


def test_who_watches_from_the_start_gets_the_history_as_it_happens() -> None:
    """Every event once and in order, from the run's start to its end."""
    with watching() as (b, live):
        run = b.start(SHORT)
        reader = live.watch(run)
        reader.replay()
        assert reader.types == ["run.started"]
        b.work()
        live.turn()
        assert reader.types[-1] == "step.waiting"
        finish(b, run)
        live.turn()
        assert [frame.event.id for frame in reader.frames] == whole(b, run)
        assert reader.ended


def test_who_joins_later_gets_what_was_before() -> None:
    """Once, and then what follows."""
    with watching() as (b, live):
        run = b.start(WIDE)
        b.work()
        reader = live.watch(run)
        reader.replay()
        live.turn()
        assert [frame.event.id for frame in reader.frames] == whole(b, run)
        finish(b, run, "wait")
        finish(b, run, "wait2")
        live.turn()
        assert sorted(reader.ids) == sorted(whole(b, run))
        assert reader.ended


def test_who_joins_while_a_step_ends_hears_how_it_began() -> None:
    """Its commit comes after the run was read and before its steps were (seed 103856 of the simulation)."""
    with watching() as (b, live):
        run = b.start(SHORT)
        b.work()
        first = live.watch(run)
        first.replay()
        history = b.engine.parts.backend.history
        committed = history.committed

        def overtaken(*given: Any, **named: Any) -> Sequence[StepRow]:
            history.committed = committed  # type: ignore[method-assign]  # it is asked once
            finish(b, run)
            return committed(*given, **named)

        history.committed = overtaken  # type: ignore[method-assign]  # where that happens
        late = live.watch(run)
        late.replay()
        live.turn()
        assert sorted(late.ids) == sorted(whole(b, run))
        assert late.ended


def test_who_joins_after_the_end_gets_all_of_it_and_the_end() -> None:
    """No channel is made for a run that is over."""
    with watching() as (b, live):
        run = b.start(SHORT)
        b.work()
        finish(b, run)
        reader = live.watch(run)
        reader.replay()
        assert [frame.event.id for frame in reader.frames] == whole(b, run)
        assert reader.ended
        assert not live.hub._channels


def test_from_any_event_on_the_rest_follows() -> None:
    """A reader that comes back with the position of any frame gets everything after it."""
    with watching() as (b, live):
        run = b.start(WIDE)
        first = live.watch(run)
        first.replay()
        b.work()
        live.turn()
        at = [frame.position for frame in first.frames]
        readers = [live.watch(run, Position.parse(str(position))) for position in at]
        for reader in readers:
            reader.replay()
        finish(b, run, "wait2")
        live.turn()
        finish(b, run, "wait")
        live.turn()
        assert len(first.frames) > 20
        for index, reader in enumerate(readers):
            seen = [frame.event.id for frame in first.frames[: index + 1]]
            assert {*seen, *reader.ids} == set(whole(b, run))
            assert reader.ended


def test_what_another_process_commits_is_read_from_the_store() -> None:
    """The hub looks at the heads of watched runs, without any hint and even if no change was told."""
    backend = MemoryBackend()
    with watching(backend) as (b, live), bench(backend) as other:
        run = b.start(SHORT)
        reader = live.watch(run)
        reader.replay()
        live.turn()
        other.work()
        live.turn()
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert reader.types[-1] == "step.waiting"
        finish(other, run)
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert [frame.event.id for frame in reader.frames] == whole(b, run)
        assert reader.ended


def test_the_end_comes_behind_a_step_that_is_under_way_yet() -> None:
    """Another process has begun it, and the run was cancelled since the last look (seed 105050 of the simulation)."""
    backend = MemoryBackend()
    with watching(backend) as (b, live), bench(backend) as other:
        run = b.start(SHORT)
        reader = live.watch(run)
        reader.replay()
        live.turn()
        now = b.clock.now()
        under_way = b'{"parent":null,"via":null,"t0":1}'
        wish = ClaimRequest(ACCOUNT, run, StepId("1.0"), 1, NodeId("a"), "other", now, now + 60_000, under_way)
        assert [one.status for one in backend.runs.claim([wish])] == [ClaimStatus.GRANTED]
        other.engine.control.cancel(ACCOUNT, run)
        b.clock.turn_to(now + 10_000)
        live.turn()
        assert reader.types == ["run.started", "step.scheduled", "step.started", "run.cancelled"]
        assert reader.ended


def test_a_step_that_a_newer_commit_has_taken_is_told_with_that() -> None:
    """What is under way is read after the head, and may be ahead of it (seed 200251 of the simulation)."""
    with bench() as b:
        run = b.start(SHORT)
        before = b.engine.feed.news(ACCOUNT, run)
        b.work()
        after = b.engine.feed.news(ACCOUNT, run, before.state.rev)
        channel = RunChannel(before)
        assert channel.catch_up(replace(before, under_way=after.under_way)) == []
        assert [frame.event.id for frame in channel.catch_up(after)] == whole(b, run)[1:]


def test_two_processes_may_work_on_one_run() -> None:
    """A commit of ours on top of theirs shows that there is something to read first."""
    backend = MemoryBackend()
    with watching(backend) as (b, live), bench(backend) as other:
        run = b.start(WIDE)
        reader = live.watch(run)
        reader.replay()
        live.turn()
        other.work()
        finish(b, run, "wait")
        finish(other, run, "wait2")
        live.turn()
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert sorted(reader.ids) == sorted(whole(b, run))
        assert reader.ended


def test_a_run_that_is_deleted_ends_the_stream() -> None:
    """Who watches it is let go; who comes then finds nothing."""
    with watching() as (b, live):
        run = b.start(SHORT)
        b.work()
        reader = live.watch(run)
        reader.replay()
        b.engine.parts.backend.history.delete(ACCOUNT, run)
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert reader.ended
        with pytest.raises(NotFound):
            live.watch(run)


def test_a_run_that_goes_on_after_its_end_can_be_watched_again() -> None:
    """A redrive between a reader's first page and its last leads it into the new life of the run."""
    document = flow('a: {type: script, hooks: {exec: "throw new Error(1)"}}')
    with watching() as (b, live):
        run = b.start(document)
        b.work()
        reader = live.watch(run)
        b.engine.control.redrive(ACCOUNT, run)
        reader.replay()
        assert not reader.ended
        b.work()
        live.turn()
        assert reader.ended
        assert reader.types[-1] == "run.failed"


def test_others_see_nothing() -> None:
    """Another account's run is as good as missing; without the permission nothing is shown at all."""
    with watching() as (b, live):
        run = b.start(SHORT)
        with pytest.raises(NotFound):
            live.watch(run, actor=STRANGER)
        nobody = Actor(ACCOUNT, "nobody", frozenset())
        with pytest.raises(Forbidden):
            live.watch(run, actor=nobody)
        with pytest.raises(Forbidden):
            live.watch_account(nobody)
        stranger = live.watch_account(STRANGER, steps=True)
        b.work()
        finish(b, run)
        live.turn()
        assert stranger.frames == []
        assert live.hub.readers == 1


def test_a_slow_reader_is_let_go_and_resumes() -> None:
    """What does not fit into its mailbox closes it; from its last event on it gets the rest."""
    with watching() as (b, live):
        run = b.start(SHORT)
        slow = live.watch(run, most=100)
        quick = live.watch(run)
        slow.replay()
        quick.replay()
        b.work()
        live.turn()
        assert slow.subscription.mailbox.closed.result() == "slow"
        assert not quick.subscription.mailbox.closed.done()
        slow.subscription.close()
        finish(b, run)
        live.turn()
        again = live.watch(run, slow.frames[-1].position)
        again.replay()
        assert [frame.event.id for frame in (*slow.frames, *again.frames)] == whole(b, run)


def test_there_is_room_for_so_many() -> None:
    """Beyond that a reader is told to come back; who leaves makes room."""
    with watching(limits=LiveLimits(readers=3, per_account=2)) as (b, live):
        run = b.start(SHORT)
        first = live.watch(run)
        live.watch_account()
        with pytest.raises(TooManyRequests, match="the account has 2"):
            live.watch(run)
        live.watch_account(STRANGER)
        with pytest.raises(TooManyRequests, match="no room"):
            live.watch_account(Actor(RunId("third"), "x", VIEWER.permissions))  # type: ignore[arg-type]  # any text
        first.subscription.close()
        first.subscription.close()
        live.watch(run)
        assert live.hub.readers == 3


def test_who_could_not_be_let_in_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer leaves no reader behind who is counted for ever."""
    with watching(limits=LiveLimits(readers=1, per_account=1)) as (b, live):

        def away(*_: object) -> None:
            raise StoreError("away")

        with monkeypatch.context() as patch:
            patch.setattr(b.engine.parts.backend.history, "runs", away)
            with pytest.raises(StoreError):
                live.watch_account()
        live.watch_account()
        assert live.hub.readers == 1


def test_nothing_is_left_when_everybody_has_gone() -> None:
    """No channel, no watcher of the run, no count."""
    with watching() as (b, live):
        run = b.start(SHORT)
        readers = [live.watch(run), live.watch(run), live.watch_account(steps=True)]
        readers[0].replay()
        live.turn()
        assert b.engine.watchers.followed(run)
        for reader in readers:
            reader.subscription.close()
        live.turn()
        assert not b.engine.watchers.followed(run)
        assert not live.hub._channels
        assert not live.hub._accounts
        assert live.hub.readers == 0


def test_when_the_server_stops_everybody_is_let_go() -> None:
    """So that a rolling restart does not wait for streams; nobody new comes in."""
    with watching() as (b, live):
        run = b.start(SHORT)
        reader = live.watch(run)
        live.hub.stop()
        live.turn()
        assert reader.subscription.mailbox.closed.result() == "stopping"
        with pytest.raises(TooManyRequests):
            live.watch(run)


# -- an account's runs -----------------------------------------------------------------------------------------------


def test_an_account_hears_of_all_its_runs_from_now_on() -> None:
    """Their starts and ends, once each, and nothing of runs before."""
    with watching() as (b, live):
        before = b.start(SHORT)
        b.work()
        reader = live.watch_account()
        live.turn()
        run = b.start(SHORT)
        b.work()
        live.turn()
        finish(b, run)
        finish(b, before)
        live.turn()
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        got = [(frame.event.run_id, frame.event.type) for frame in reader.frames]
        assert sorted(got) == sorted([(run, "run.started"), (run, "run.completed"), (before, "run.completed")])


def test_an_account_hears_of_steps_if_it_asks() -> None:
    """Of runs that are under way already and of new ones; who did not ask gets none."""
    with watching() as (b, live):
        before = b.start(SHORT)
        b.work()
        with_steps, without = live.watch_account(steps=True), live.watch_account()
        live.turn()
        run = b.start(SHORT)
        live.turn()
        b.work()
        finish(b, run)
        finish(b, before)
        live.turn()
        new = [frame.event.id for frame in with_steps.frames if frame.event.run_id == run]
        assert sorted(new) == sorted(whole(b, run))
        old = [frame.event.type for frame in with_steps.frames if frame.event.run_id == before]
        assert sorted(old) == ["run.completed", "step.succeeded"]
        assert {frame.event.type for frame in without.frames} == {"run.started", "run.completed"}
        with_steps.subscription.close()
        live.turn()
        assert not live.hub._channels


def test_an_account_hears_of_the_steps_of_a_run_that_was_over_at_once() -> None:
    """One that began and ended between two turns of the hub."""
    with watching() as (b, live):
        reader = live.watch_account(steps=True)
        live.turn()
        result = b.run(flow("a: {type: transform, params: {value: 1}}"))
        live.turn()
        assert [frame.event.id for frame in reader.frames] == whole(b, result.id)


def test_an_account_hears_of_runs_of_other_processes() -> None:
    """Found by listing them; one that began and ended unseen is told of as well."""
    backend = MemoryBackend()
    with watching(backend) as (b, live), bench(backend) as other:
        reader = live.watch_account(steps=True)
        live.turn()
        run = other.start(SHORT)
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert reader.types == ["run.started"]
        other.work()
        finish(other, run)
        quick = other.start(flow("a: {type: transform, params: {value: 1}}"))
        other.work()
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        live.turn()
        ends = [(frame.event.run_id, frame.event.type) for frame in reader.frames if frame.event.step_id is None]
        assert sorted(ends) == sorted((one, kind) for one in (run, quick) for kind in ("run.started", "run.completed"))
        assert "step.succeeded" in [frame.event.type for frame in reader.frames if frame.event.run_id == run]


def test_a_redrive_is_a_start() -> None:
    """An account's view of its runs shows that one lives again."""
    with watching() as (b, live):
        run = b.start(flow('a: {type: script, hooks: {exec: "throw new Error(1)"}}'))
        reader = live.watch_account()
        live.turn()
        b.work()
        b.engine.control.redrive(ACCOUNT, run)
        b.work()
        live.turn()
        assert reader.ids == ["run:1:run.failed", "run:2:run.started", "run:2:run.failed"]


# -- steps under way ---------------------------------------------------------------------------------------------------


def test_what_a_step_says_in_another_process_is_read_from_its_row() -> None:
    """Twice a second it is written there; whoever watches from here gets it before the step has ended."""
    backend = MemoryBackend()
    registry = TalkRegistry()
    with watching(backend, registry=registry) as (b, live), bench(backend, registry=registry) as other:
        run = b.start(flow("a: {type: talk, params: {lines: [one, two]}}"))
        reader = live.watch(run)
        reader.replay()
        live.turn()
        thread = threading.Thread(target=other.worker.run, daemon=True)
        thread.start()
        talk = registry.talk
        assert talk.said.acquire(timeout=PATIENCE)
        written = threading.Event()
        backend.wakeups.listen(lambda topic: written.set() if topic == "runs" else None)
        other.clock.turn_to(other.clock.now() + WRITE_EVERY)
        other.worker.wake()
        assert written.wait(PATIENCE)
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert reader.types == ["run.started", "step.scheduled", "step.started", "step.log", "step.event"]
        late = live.watch(run)
        late.replay()
        assert late.ids == reader.ids
        for _ in range(2):
            talk.go.release()
        assert other.engine.wait(ACCOUNT, run, PATIENCE) is not None
        b.clock.turn_to(b.clock.now() + 10_000)
        live.turn()
        assert [frame.event.id for frame in reader.frames] == whole(b, run)
        assert set(late.ids) == set(whole(b, run))
        other.worker.stop()
        thread.join(PATIENCE)


def test_who_joins_gets_what_a_step_has_said_and_no_store_has_yet() -> None:
    """Steps without a claim have no row before they end: the hub has kept what they said for those who come later."""
    registry = TalkRegistry()
    with watching(registry=registry) as (b, live):
        run = b.start(flow("a: {type: quicktalk, params: {lines: [one, two]}}"))
        first = live.watch(run)
        first.replay()
        heard = threading.Event()
        b.engine.watchers.watch(run, lambda change: heard.set() if change.under_way and change.under_way.logs else None)
        thread = threading.Thread(target=b.worker.run, daemon=True)
        thread.start()
        assert heard.wait(PATIENCE)
        live.turn()
        assert first.types[-2:] == ["step.log", "step.event"]
        second = live.watch(run)
        second.replay()
        assert second.ids == first.ids
        for _ in range(2):
            registry.quick.go.release()
        assert b.engine.wait(ACCOUNT, run, PATIENCE) is not None
        b.worker.stop()
        thread.join(PATIENCE)
        live.turn()
        for reader in (first, second):
            assert reader.ended
            assert set(reader.ids) == set(whole(b, run))


def test_trouble_in_one_turn_is_made_good_in_the_next(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store does not answer once: the hub's thread goes on, and reads again what it may have missed."""
    backend = MemoryBackend()
    load, trouble, tried = backend.runs.load, [StoreError()], threading.Event()

    def moody(keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        if trouble and threading.current_thread().name == "live-hub":
            tried.set()
            raise trouble.pop()
        return load(keys)

    monkeypatch.setattr(backend.runs, "load", moody)
    loop = asyncio.new_event_loop()
    with bench(backend) as b:
        hub = Hub(b.engine)
        run = b.start(SHORT)
        mailbox = Mailbox(loop)
        reader = Reader(hub.subscribe(VIEWER, run, START, mailbox, run))
        reader.replay()
        assert tried.wait(PATIENCE)
        b.work()
        finish(b, run)
        while not reader.ended:
            mails = loop.run_until_complete(mailbox.take(PATIENCE))
            assert mails, "nothing came any more"
            for mail in mails:
                reader.frames += mail.batch.frames
                reader.ended = mail.batch.ended
        assert set(reader.ids) == set(whole(b, run))
        hub.stop()
    loop.close()
    assert "telling live events failed" in caplog.text


def test_a_mailbox_gives_what_it_has_and_nothing_after_it_was_closed() -> None:
    """All at once; an empty one waits as long as it was told."""
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    batch = Batch([])
    mailbox.put(Mail("a", batch))
    mailbox.put(Mail("b", batch))
    assert [mail.name for mail in loop.run_until_complete(mailbox.take(0))] == ["a", "b"]
    assert loop.run_until_complete(mailbox.take(0)) == []
    loop.call_soon(mailbox.put, Mail("c", batch))
    assert [mail.name for mail in loop.run_until_complete(mailbox.take(PATIENCE))] == ["c"]
    mailbox.put(Mail("d", batch))
    mailbox.close("stopping")
    mailbox.close("slow")
    mailbox.put(Mail("e", batch))
    assert loop.run_until_complete(mailbox.take(PATIENCE)) == []
    assert mailbox.closed.result() == "stopping"
    loop.close()
    call_in(loop, mailbox.close, "a loop that is closed has nobody to tell")
