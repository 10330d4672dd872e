"""What the table's stream tells of runs: every commit whole, and what steps under way say."""

from __future__ import annotations

from copy import deepcopy

import pytest
from flowrunner.core.ids import NodeId, StepId
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.run_events import attempt_events
from flowrunner.errors import StoreError
from flowrunner.ports.changes import RunMoved, StepSpoke
from flowrunner.ports.runs import ClaimRequest, RowStatus, StepReport

from tests.adapters.aws.streaming import Streamed, streamed
from tests.engine.harness import ACCOUNT, flow
from tests.engine.talking import TalkRegistry
from tests.engine.test_positions import WIDE

TWO = flow("a: {type: transform, params: {value: 1}, next: b}\nb: {type: log, params: {message: hm}}")


def test_every_commit_is_told_in_order() -> None:
    """From the start of a run to its end, each revision once, with the state that the commit left."""
    with streamed() as s:
        result = s.bench.run(TWO)
        moved = s.moved()
        assert [one.row.rev for one in moved] == list(range(1, len(moved) + 1))
        assert [one.created for one in moved] == [True, *[False] * (len(moved) - 1)]
        assert [one.ended for one in moved].count(True) == 1
        assert {one.row.id for one in moved} == {result.id}
        assert moved[-1].row.status == "completed"
        assert moved[-1].row.ended_at == result.ended_at
        assert moved[0].row.created_at == result.started_at
        stored = s.backend.runs.load([(ACCOUNT, result.id)])[0]
        assert stored is not None
        assert (moved[-1].row.head, moved[-1].row.flow) == (stored.head, stored.flow)


def test_the_steps_of_all_commits_are_the_history() -> None:
    """The events of the attempts that commits took are those that readers get from the store."""
    with streamed() as s:
        run = s.bench.start(WIDE)
        s.bench.work()
        for step in ("wait", "wait2"):
            s.bench.engine.control.signal(ACCOUNT, run, step, {"approved": True})
            s.bench.work()
        told = {
            event.id
            for change in s.moved()
            for row in change.steps
            if row.rev
            for event in attempt_events(run, read_attempt(row))
        }
        history = {event.id for event in s.bench.engine.feed.read(ACCOUNT, run).events if event.step_id}
        assert told == history


def test_long_outputs_are_read_from_where_they_are() -> None:
    """A body that is kept beside the row, and one that is kept in the bucket."""
    with streamed() as s:
        long = flow('a: {type: script, hooks: {exec: "return Array.from({length: 9000}, (_, i) => i * 7919 % 10007)"}}')
        s.bench.run(long)
        [row] = [row for change in s.moved() for row in change.steps if row.status is RowStatus.SUCCEEDED]
        assert len(row.body) > 20_000
        assert read_attempt(row).output is not None


def test_of_a_run_that_was_deleted_meanwhile_the_commit_is_told_without_its_steps() -> None:
    """What is missing because the run is gone keeps no shard waiting; what cannot be read now does."""
    with streamed() as s:
        long = flow('a: {type: script, hooks: {exec: "return Array.from({length: 9000}, (_, i) => i * 7919 % 10007)"}}')
        result = s.bench.run(long)
        batch = s.table.batch()
        kept = {place: item for place, item in s.table.items.items() if place[1].startswith("Y#")}
        for place in kept:
            s.table._store(place, None)  # a part that is lost
        ending = next(one for one in batch if "ob" in one["dynamodb"]["NewImage"] and one["eventName"] == "MODIFY")
        with pytest.raises(StoreError, match="missing"):
            s.backend.changes.read(ending)
        assert s.backend.history.delete(ACCOUNT, result.id)
        told = s.backend.changes.read(ending)
        assert isinstance(told, RunMoved)
        assert told.steps == []


def test_what_a_step_says_under_way_is_told_and_its_claim_is_not() -> None:
    """A report is; a claim and a prolonged lease say nothing new."""
    with streamed(registry=TalkRegistry()) as s:
        run = s.bench.start(flow("a: {type: talk}"))
        s.table.batch()
        now, step = s.bench.clock.now(), StepId("1.0")
        request = ClaimRequest(ACCOUNT, run, step, 1, NodeId("a"), "me", now, now + 60_000, said(0))
        s.backend.runs.claim([request])
        s.backend.runs.renew([(ACCOUNT, run, step, 1)], "me", now + 90_000)
        assert s.changes() == []
        s.backend.runs.report([StepReport(ACCOUNT, run, step, 1, "me", said(1))])
        assert s.changes() == [StepSpoke(ACCOUNT, run)]


def said(lines: int) -> bytes:
    logs = [{"at": 1, "level": "info", "message": "x"}] * lines
    return Attempt(StepId("1.0"), 1, NodeId("a"), RowStatus.RUNNING, logs=logs).encode()


def test_a_redrive_begins_a_new_life() -> None:
    """It is told as reopened; its end is told as an end again."""
    with streamed() as s:
        result = s.bench.run(flow("a: {type: script, hooks: {exec: \"throw new Error('no')\"}}"))
        assert [one.reopened for one in s.moved()].count(True) == 0
        s.bench.engine.control.redrive(ACCOUNT, result.id)
        s.bench.work()
        moved = s.moved()
        assert [one.reopened for one in moved] == [True, *[False] * (len(moved) - 1)]
        assert [one.ended for one in moved].count(True) == 1


def test_other_items_are_nothing_and_what_is_no_record_is_refused() -> None:
    """The stream has everything that is written; records of another shape are told apart from them."""
    with streamed() as s:
        result = s.bench.run(TWO)
        every = deepcopy(s.table.records)
        kinds = [type(s.backend.changes.read(one)).__name__ for one in every]
        assert kinds.count("RunMoved") == len(s.moved())
        assert "NoneType" in kinds
        assert s.backend.history.delete(ACCOUNT, result.id)
        assert s.moved() == []
        head = next(one for one in every if one["dynamodb"]["Keys"]["sk"]["S"] == "0H")
        for broken in (
            {},
            {"eventName": "MODIFY", "dynamodb": {"Keys": {}}},
            _without(head, "hd"),
            _without(head, "f"),
        ):
            with pytest.raises(ValueError, match="no record"):
                s.backend.changes.read(broken)


def _without(record: dict[str, object], name: str) -> dict[str, object]:
    copied = deepcopy(record)
    change = copied["dynamodb"]
    assert isinstance(change, dict)
    del change["NewImage"][name]
    return copied


def test_a_record_read_twice_is_the_same() -> None:
    """Reading changes nothing."""
    with streamed() as s:
        s.bench.run(TWO)
        batch = s.table.batch()
        assert [s.backend.changes.read(one) for one in batch] == [s.backend.changes.read(one) for one in batch]
        assert isinstance(s, Streamed)
