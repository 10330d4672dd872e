"""Mistakes that somebody might make one day, as patches of behaviour: simulation has to find each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from flowrunner.adapters.memory import runs as memory_runs
from flowrunner.adapters.memory.data import Run
from flowrunner.adapters.memory.queue import MemoryQueue
from flowrunner.adapters.memory.runs import MemoryRuns
from flowrunner.core import advance
from flowrunner.core.graph import Graph
from flowrunner.core.ids import Millis, RunId
from flowrunner.engine import dispatch, intake
from flowrunner.engine.committer import Committer, Done
from flowrunner.engine.dispatch import Ack, Later
from flowrunner.engine.engine import Engine
from flowrunner.engine.feed import Page, Position
from flowrunner.engine.fold import Fold
from flowrunner.engine.intake import Intake
from flowrunner.engine.run_ids import derived_run_id
from flowrunner.engine.slots import RunSlots
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.values import Values
from flowrunner.engine.watch import Change
from flowrunner.engine.worker import Worker
from flowrunner.ports.entities import Entity
from flowrunner.ports.runs import ClaimRequest, Commit, StepRow
from flowrunner.services import relay, schedule_sweep, sender
from flowrunner.services.deliveries import Delivery, DeliveryStatus, Try
from flowrunner.services.live_channels import RunChannel
from flowrunner.services.relay import Relay
from flowrunner.services.runs import RunService
from flowrunner.services.schedule_entries import decode
from flowrunner.services.schedule_sweep import ScheduleSweep
from flowrunner.services.sender import Sender
from flowrunner.services.webhook_messages import headers_for

Patch = pytest.MonkeyPatch

YEAR = 31_536_000_000


def any_commit_wins(patch: Patch) -> None:
    """The condition of the commit is lost."""
    commit = MemoryRuns._commit

    def careless(self: MemoryRuns, one: Commit) -> bool:
        run = self._data.runs[one.account, one.run]
        return commit(self, replace(one, expected_rev=run.row.rev))

    patch.setattr(MemoryRuns, "_commit", careless)


def a_refused_commit_writes_its_rows(patch: Patch) -> None:
    commit = MemoryRuns._commit

    def hasty(self: MemoryRuns, one: Commit) -> bool:
        for row in one.steps:
            memory_runs._write(self._data.runs[one.account, one.run], row)
        return commit(self, one)

    patch.setattr(MemoryRuns, "_commit", hasty)


def final_rows_are_written_over(patch: Patch) -> None:
    def write(run: Run, row: StepRow) -> None:
        run.steps[row.step, row.attempt] = row
        run.last[row.step] = max(run.last.get(row.step, 0), row.attempt)

    patch.setattr(memory_runs, "_write", write)


def leases_are_ignored(patch: Patch) -> None:
    claim = MemoryRuns._claim

    def greedy(self: MemoryRuns, request: ClaimRequest) -> Any:
        run = self._data.runs.get((request.account, request.run))
        if run is not None:
            run.claims.pop((request.step, request.attempt), None)
        return claim(self, request)

    patch.setattr(MemoryRuns, "_claim", greedy)


def at_most_once_is_forgotten(patch: Patch) -> None:
    claim = MemoryRuns._claim
    patch.setattr(MemoryRuns, "_claim", lambda self, request: claim(self, replace(request, at_most_once=False)))


def steps_begin_after_a_cancel(patch: Patch) -> None:
    patch.setattr(memory_runs, "TERMINAL", ())


def leases_of_messages_never_end(patch: Patch) -> None:
    receive = MemoryQueue.receive
    patch.setattr(
        MemoryQueue,
        "receive",
        lambda self, owner, now, lease_until, limit: receive(self, owner, now, lease_until + YEAR, limit),
    )


def messages_are_acknowledged_before_the_commit(patch: Patch) -> None:
    commit = Committer.commit

    def early(self: Committer, done: Sequence[Done]) -> Any:
        self._backend.queue.ack([one.receipt for one in done if one.changes])
        return commit(self, done)

    patch.setattr(Committer, "commit", early)


def messages_are_sent_after_the_commit(patch: Patch) -> None:
    """In a call of its own: who dies in between has sent nothing."""
    make, applied = Fold.commit, Committer._applied

    def without(self: Fold, *given: Any, **named: Any) -> Commit:
        commit = make(self, *given, **named)
        self.unsent = [*commit.send, *commit.hand_off]  # type: ignore[attr-defined]  # the defect's own
        return replace(commit, send=(), hand_off=(), owner="")

    def later(self: Committer, fold: Fold, commit: Commit, result: Any) -> None:
        self._backend.queue.send(fold.unsent)  # type: ignore[attr-defined]  # as above
        applied(self, fold, commit, result)

    patch.setattr(Fold, "commit", without)
    patch.setattr(Committer, "_applied", later)


def timers_are_taken_for_done(patch: Patch) -> None:
    decide = dispatch.dispatch

    def hasty(*given: Any) -> Any:
        found = decide(*given)
        return Ack() if isinstance(found, Later) else found

    patch.setattr(intake, "dispatch", hasty)


def whatever_is_of_no_use_is_acknowledged(patch: Patch) -> None:
    """As it was before seed 82."""
    patch.setattr(Fold, "done_with", lambda self, receipt, *, taken: self.acks.append(receipt))


def late_waits_are_left_alone(patch: Patch) -> None:
    """As it was before seed 214."""
    patch.setattr(Intake, "_begun", lambda self, task: None)


def a_worker_forgets_what_it_holds(patch: Patch) -> None:
    """As it was before seed 363."""
    patch.setattr(Worker, "_held", lambda self: set())


def parents_are_not_told(patch: Patch) -> None:
    settle = Intake._settle

    def silent(self: Intake, view: Any, delivery: Any) -> Done:
        view.facts = replace(view.facts, parent=None)
        return settle(self, view, delivery)

    patch.setattr(Intake, "_settle", silent)


def places_are_not_given_on(patch: Patch) -> None:
    release = RunSlots.release

    def forgetful(self: RunSlots, *given: Any) -> Any:
        slots, _ = release(self, *given)
        return slots, []

    patch.setattr(RunSlots, "release", forgetful)


def joins_fire_early(patch: Patch) -> None:
    patch.setattr(Graph, "reachable", Graph.mask)


def a_join_is_counted_twice(patch: Patch) -> None:
    activate = advance.activate

    def twice(turn: Any, node: Any, *rest: Any) -> None:
        activate(turn, node, *rest)
        if turn.graph.node(node).join is not None:
            activate(turn, node, *rest)

    patch.setattr(advance, "activate", twice)


def edges_are_followed_twice(patch: Patch) -> None:
    follow = advance.follow

    def twice(*given: Any) -> None:
        follow(*given)
        follow(*given)

    patch.setattr(advance, "follow", twice)


def large_values_share_a_place(patch: Patch) -> None:
    """The key of a blob does not say whose output it is."""
    store = Values.store
    patch.setattr(
        Values,
        "store",
        lambda self, account, run, key, *rest: store(self, account, run, key.partition("/")[2][-6:], *rest),
    )


def keys_are_not_looked_at(patch: Patch) -> None:
    """An `Idempotency-Key` that was used before starts another run."""
    patch.setattr(RunService, "_once", lambda self, account, wish: RunId(self._engine.parts.draws.new_id()))


def webhooks_are_announced_after_the_start(patch: Patch) -> None:
    start = Engine.start

    def late(self: Engine, request: StartRequest) -> RunId:
        services = self.services
        observers, services.before_start = services.before_start, []
        try:
            run = start(self, request)
        finally:
            services.before_start = observers
        services.announce(*(row for row in self.parts.backend.runs.load([(request.account, run)]) if row is not None))
        return run

    patch.setattr(Engine, "start", late)


def ends_before_a_redrive_are_not_told(patch: Patch) -> None:
    """As it was before seed 12."""
    patch.setattr(Relay, "_last_words", lambda self, relay: relay.cursor)


def a_run_is_told_once_nobody_remembers_it(patch: Patch) -> None:
    """The relay goes before the deliveries are there."""
    tell = Relay._tell

    def hasty(self: Relay, one: Any, page: Page) -> bool:
        if page.ended:
            self._entities.delete(one.account, relay.KIND, one.run, one.rev)
        return tell(self, one, page)

    patch.setattr(Relay, "_tell", hasty)


def deliveries_are_done_before_they_are_sent(patch: Patch) -> None:
    begin = Sender._begin

    def early(self: Sender, one: Delivery, *rest: Any) -> None:
        done = replace(one, status=DeliveryStatus.DELIVERED, next_try=None)
        begin(self, self._deliveries.write(done, one.rev) or one, *rest)

    patch.setattr(Sender, "_begin", early)


def a_failed_try_is_the_last(patch: Patch) -> None:
    tried = Delivery.tried

    def once(self: Delivery, result: Try, *rest: Any) -> Delivery:
        return tried(self, result, *rest) if result.taken else self.given_up("once is enough")

    patch.setattr(Delivery, "tried", once)


def each_try_is_another_message(patch: Patch) -> None:
    """The id is drawn, not derived, so that an event that is read again makes one more delivery."""
    drawn = count()
    patch.setattr(relay, "message_id", lambda *_: f"msg_{next(drawn):032x}")


def tries_are_signed_for_the_first_one(patch: Patch) -> None:
    make, first = headers_for, dict[str, Millis]()
    patch.setattr(
        sender, "headers_for", lambda message, now, *rest: make(message, first.setdefault(message, now), *rest)
    )


def schedules_move_on_before_they_fire(patch: Patch) -> None:
    serve = ScheduleSweep._serve

    def early(self: ScheduleSweep, entity: Entity, now: Millis) -> None:
        one = decode(entity)
        moved = replace(one, due=one.timing.next(entity.due or now))
        stored = self._entities.put(moved.encode(), now, expected_rev=one.rev)
        if stored is not None:
            serve(self, replace(entity, rev=stored.rev), now)

    patch.setattr(ScheduleSweep, "_serve", early)


def each_look_at_a_schedule_is_another_run(patch: Patch) -> None:
    """Its id is drawn, not that of the moment."""
    looks = count()
    patch.setattr(schedule_sweep, "derived_run_id", lambda *parts: derived_run_id(*parts, next(looks)))


def what_was_missed_is_made_up_for(patch: Patch) -> None:
    patch.setattr(ScheduleSweep, "_missed", staticmethod(lambda schedule, due, now: (schedule, due)))


def readers_go_on_one_revision_too_late(patch: Patch) -> None:
    parse = Position.parse

    def off(text: str) -> Position:
        found = parse(text)
        return found._replace(rev=found.rev + 1) if found.rev else found

    patch.setattr(Position, "parse", staticmethod(off))


def what_others_have_committed_is_passed_over(patch: Patch) -> None:
    """Who watches hears of what this process commits, and of nothing in between."""
    commit = RunChannel.commit

    def blind(self: RunChannel, change: Change) -> Any:
        self.rev = max(self.rev, change.view.row.rev)
        return commit(self, change)

    patch.setattr(RunChannel, "commit", blind)


DEFECTS: Mapping[Callable[[Patch], None], int] = {
    any_commit_wins: 10,
    a_refused_commit_writes_its_rows: 22,
    final_rows_are_written_over: 10,
    leases_are_ignored: 5,
    at_most_once_is_forgotten: 5,
    steps_begin_after_a_cancel: 674,
    leases_of_messages_never_end: 2,
    messages_are_acknowledged_before_the_commit: 8,
    messages_are_sent_after_the_commit: 6,
    timers_are_taken_for_done: 8,
    whatever_is_of_no_use_is_acknowledged: 388,
    late_waits_are_left_alone: 214,
    a_worker_forgets_what_it_holds: 329,
    parents_are_not_told: 21,
    places_are_not_given_on: 113,
    joins_fire_early: 1,
    a_join_is_counted_twice: 1,
    edges_are_followed_twice: 1,
    large_values_share_a_place: 1,
    keys_are_not_looked_at: 3,
    webhooks_are_announced_after_the_start: 12,
    ends_before_a_redrive_are_not_told: 12,
    a_run_is_told_once_nobody_remembers_it: 12,
    deliveries_are_done_before_they_are_sent: 6,
    a_failed_try_is_the_last: 6,
    each_try_is_another_message: 4,
    tries_are_signed_for_the_first_one: 20,
    schedules_move_on_before_they_fire: 44,
    each_look_at_a_schedule_is_another_run: 22,
    what_was_missed_is_made_up_for: 81,
    readers_go_on_one_revision_too_late: 2,
    what_others_have_committed_is_passed_over: 210,
}
"""Each with a seed that finds it, so that no time is lost on those before."""
