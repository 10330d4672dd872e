"""Mistakes that somebody might make one day, as patches of behaviour: simulation has to find each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.memory import runs as memory_runs
from flowrunner.adapters.memory.data import Run
from flowrunner.adapters.memory.queue import MemoryQueue
from flowrunner.adapters.memory.runs import MemoryRuns
from flowrunner.core import advance
from flowrunner.core.graph import Graph
from flowrunner.engine import dispatch, intake
from flowrunner.engine.committer import Committer, Done
from flowrunner.engine.dispatch import Ack, Later
from flowrunner.engine.fold import Fold
from flowrunner.engine.intake import Intake
from flowrunner.engine.slots import RunSlots
from flowrunner.engine.values import Values
from flowrunner.engine.worker import Worker
from flowrunner.ports.runs import ClaimRequest, Commit, StepRow

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


DEFECTS: Mapping[Callable[[Patch], None], int] = {
    any_commit_wins: 10,
    a_refused_commit_writes_its_rows: 22,
    final_rows_are_written_over: 10,
    leases_are_ignored: 5,
    at_most_once_is_forgotten: 5,
    steps_begin_after_a_cancel: 76,
    leases_of_messages_never_end: 2,
    messages_are_acknowledged_before_the_commit: 7,
    messages_are_sent_after_the_commit: 6,
    timers_are_taken_for_done: 12,
    whatever_is_of_no_use_is_acknowledged: 82,
    late_waits_are_left_alone: 214,
    a_worker_forgets_what_it_holds: 162,
    parents_are_not_told: 21,
    places_are_not_given_on: 113,
    joins_fire_early: 1,
    a_join_is_counted_twice: 1,
    edges_are_followed_twice: 1,
    large_values_share_a_place: 1,
}
"""Each with a seed that finds it, so that no time is lost on those before."""
