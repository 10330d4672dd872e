"""Metering: what is counted, how several processes add up, and what it is estimated to cost."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import AccountId, NodeId, StepId
from flowrunner.engine.records import Attempt, WaitFacts
from flowrunner.engine.watch import Change
from flowrunner.errors import Forbidden, InvalidInput, StoreError
from flowrunner.ports.runs import RowStatus
from flowrunner.services import costs
from flowrunner.services.identity import Actor, Permission
from flowrunner.services.usage import DAY, INTERVAL, Counts, Grouping, Usage
from flowrunner.testing import START

from tests.engine.harness import ACCOUNT, Bench, bench, flow

OWNER = Actor(ACCOUNT, "ann", frozenset({Permission.USAGE_READ}))
STRANGER = Actor(AccountId("other"), "sue", frozenset({Permission.USAGE_READ}))
FIRST, SECOND = "2026-01-01", "2026-01-02"

TWO = flow("a: {type: transform, next: b}\nb: {type: transform}")


def metered(b: Bench) -> Usage:
    """Usage that observes the engine, on the store of the engine."""
    usage = Usage(b.engine.parts.backend.entities, b.clock)
    b.engine.watchers.watch_all(usage.observe)
    return usage


def total(usage: Usage, actor: Actor = OWNER) -> Counts:
    usage.flush()
    return usage.report(actor, FIRST, SECOND).total


def test_runs_and_steps_are_counted() -> None:
    """By day and flow, with the flow's name; another account has nothing of it."""
    with bench() as b:
        usage = metered(b)
        b.run(TWO)
        b.run(TWO)
        b.run(flow("a: {type: transform}").replace("name: test", "name: other"))
        usage.flush()
        report = usage.report(OWNER, FIRST, FIRST)
        found = sorted((row.day, row.flow_name, row.counts.runs, row.counts.steps) for row in report.rows)
        assert found == [(FIRST, "other", 1, 1), (FIRST, "test", 2, 4)]
        assert (report.total.runs, report.total.steps) == (3, 5)
        assert total(usage, STRANGER) == Counts()


def test_every_execution_counts_and_nothing_else() -> None:
    """Retries and items are steps; a skipped node is none, a foreach is one besides its items."""
    with bench() as b:
        usage = metered(b)
        b.run(flow('a: {type: script, retry: {max_attempts: 3, delay: 1s, on: ["*"]}, hooks: {exec: "throw 1"}}'))
        assert total(usage).steps == 3
        b.run(flow('a: {type: transform, foreach: {items: "${[1, 2]}"}, next: b}\nb: {type: transform, when: false}'))
        assert total(usage).steps == 3 + 3


def test_waiting_costs_nothing() -> None:
    """A step that waits an hour is one step without compute time."""
    with bench() as b:
        usage = metered(b)
        b.run(flow("a: {type: delay, params: {for: 1h}}"))
        assert total(usage) == Counts(1, 1, 0)


def test_the_work_before_a_wait_is_counted() -> None:
    """From the start of the attempt to the commit that lets it wait."""
    with bench() as b:
        usage = metered(b)
        run = b.start(flow("a: {type: approval, params: {message: hm}}"))
        changes: list[Change] = []
        b.engine.watchers.watch_all(changes.append)
        b.work()
        assert b.result(run).status == "waiting"
        waiting = next(change for change in changes if change.attempts)
        b.clock.turn_to(START + 250)
        before = total(usage).compute_ms
        usage.observe(waiting)
        assert total(usage).compute_ms - before == 250


def test_what_comes_too_late_is_not_counted() -> None:
    """The result of a step whose run is over is recorded without a revision."""
    with bench() as b:
        usage = Usage(b.engine.parts.backend.entities, b.clock)
        changes: list[Change] = []
        b.engine.watchers.watch_all(changes.append)
        b.run(flow("a: {type: transform}"))
        change = next(change for change in changes if change.attempts)
        assert all(attempt.rev for attempt in change.attempts)
        usage.observe(replace(change, attempts=[replace(attempt, rev=0) for attempt in change.attempts]))
        assert total(usage) == Counts()


def test_several_processes_add_up() -> None:
    """Flushes that race add to the same counts and lose none."""
    with bench() as b:
        meters = [metered(b) for _ in range(4)]
        for _ in range(5):
            b.run(TWO)
        threads = [threading.Thread(target=meter.flush) for meter in meters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert total(meters[0]) == Counts(20, 40, 0)
        assert meters[1].steps_today(ACCOUNT) == 40


def test_days_are_kept_apart_and_todays_steps_include_what_is_not_stored() -> None:
    """The day is that of the commit, in UTC; a quota sees this process's steps at once."""
    with bench() as b:
        usage = metered(b)
        b.run(TWO)
        assert usage.steps_today(ACCOUNT) == 2
        b.clock.turn_to(START + DAY)
        assert usage.steps_today(ACCOUNT) == 0
        b.run(TWO)
        assert usage.flush() == b.clock.now() + INTERVAL
        b.run(TWO)
        assert usage.steps_today(ACCOUNT) == 4
        assert usage.steps_today(AccountId("other")) == 0
        usage.flush()
        rows = usage.report(OWNER, FIRST, SECOND).rows
        assert [(row.day, row.counts.steps) for row in rows] == [(FIRST, 2), (SECOND, 4)]
        assert usage.report(OWNER, SECOND, SECOND).total.runs == 2


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("both", [(FIRST, True, 1), (FIRST, True, 1), (SECOND, True, 2)]),
        ("day", [(FIRST, False, 2), (SECOND, False, 2)]),
        ("flow", [(None, True, 1), (None, True, 3)]),
    ],
)
def test_rows_are_added_up_as_asked(by: Grouping, expected: list[tuple[str | None, bool, int]]) -> None:
    """One row a day and flow, one a day, or one a flow."""
    with bench() as b:
        usage = metered(b)
        other = TWO.replace("name: test", "name: other")
        for document in (TWO, other):
            b.run(document)
        b.clock.turn_to(START + DAY)
        for _ in range(2):
            b.run(other)
        usage.flush()
        rows = usage.report(OWNER, FIRST, SECOND, by=by).rows
        assert sorted((row.day or "", row.flow_name is not None, row.counts.runs) for row in rows) == sorted(
            (day or "", named, runs) for day, named, runs in expected
        )
        assert usage.report(OWNER, FIRST, SECOND, by=by).total.runs == 4


def test_one_flow_can_be_asked_for() -> None:
    """Rows of others are neither shown nor added."""
    with bench() as b:
        usage = metered(b)
        b.run(TWO)
        b.run(TWO.replace("name: test", "name: other"))
        usage.flush()
        wanted = b.engine.save_flow(ACCOUNT, TWO).id
        report = usage.report(OWNER, FIRST, SECOND, wanted)
        assert [row.flow_name for row in report.rows] == ["test"]
        assert report.total.runs == 1


def test_long_reports_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is there once, and beyond the limit the caller is told to ask for less."""
    monkeypatch.setattr("flowrunner.services.usage.PAGE", 2)
    with bench() as b:
        usage = metered(b)
        for number in range(5):
            b.run(TWO.replace("name: test", f"name: flow{number}"))
        usage.flush()
        rows = usage.report(OWNER, FIRST, SECOND).rows
        assert sorted(row.flow_name or "" for row in rows) == [f"flow{number}" for number in range(5)]
        monkeypatch.setattr("flowrunner.services.usage.MAX_ROWS", 4)
        with pytest.raises(InvalidInput, match="more than 4 rows"):
            usage.report(OWNER, FIRST, SECOND)


@pytest.mark.parametrize(
    ("from_day", "to_day", "message"),
    [
        ("yesterday", FIRST, "from: 'yesterday' is no day"),
        (FIRST, "2026-02-30", "to: '2026-02-30' is no day"),
        (FIRST, "20260131", "is no day"),
        (SECOND, FIRST, "later than"),
        ("2024-01-01", SECOND, "366 days"),
    ],
)
def test_bad_days_are_refused(from_day: str, to_day: str, message: str) -> None:
    """With the place and what is wrong with it."""
    with bench() as b, pytest.raises(InvalidInput, match=message):
        Usage(b.engine.parts.backend.entities, b.clock).report(OWNER, from_day, to_day)


def test_reading_needs_the_permission() -> None:
    """`usage:read`, which not every token has."""
    with bench() as b, pytest.raises(Forbidden):
        Usage(b.engine.parts.backend.entities, b.clock).report(Actor(ACCOUNT, "x", frozenset()), FIRST, FIRST)


def test_a_flush_that_fails_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be stored is kept for the next flush, for every flow."""
    with bench() as b:
        usage = metered(b)
        for number in range(3):
            b.run(TWO.replace("name: test", f"name: flow{number}"))
        with monkeypatch.context() as patch:
            patch.setattr(b.engine.parts.backend.entities, "put", lambda *_: None)
            with pytest.raises(StoreError):
                usage.flush()
        assert total(usage) == Counts(3, 6, 0)


def test_a_deleted_account_is_forgotten() -> None:
    """What was counted for it is not written after it is gone; others keep theirs."""
    with bench() as b:
        usage = metered(b)
        b.run(TWO)
        usage.forget(AccountId("other"))
        assert usage.steps_today(ACCOUNT) == 2
        usage.forget(ACCOUNT)
        assert total(usage) == Counts()


def test_old_counts_are_removed() -> None:
    """After 400 days the store may purge them."""
    with bench() as b:
        usage = metered(b)
        b.run(TWO)
        usage.flush()
        backend = b.engine.parts.backend
        assert isinstance(backend, MemoryBackend)
        assert backend.entities.purge(START + 399 * DAY) == 0
        assert backend.entities.purge(START + 401 * DAY) == 2


# -- costs ----------------------------------------------------------------------------------------------------------


def attempt(status: RowStatus = RowStatus.SUCCEEDED, ms: int = 0, *, wait: bool = False) -> Attempt:
    return Attempt(
        StepId("1.0"), 1, NodeId("a"), status, started_at=START, ended_at=START + ms, wait=WaitFacts() if wait else None
    )


def test_a_million_steps_cost_what_the_design_says() -> None:
    """About $4 for steps that do next to nothing."""
    assert 3.5 < costs.micro_dollars(0, 1_000_000, 0) / 1e6 < 4.0


def test_compute_time_costs_by_memory() -> None:
    """An hour at half a gigabyte, at the price of a GB-second on arm64."""
    assert costs.micro_dollars(0, 0, 3_600_000) == round(3600 * 0.5 * 13.3334)


def test_the_cost_of_a_run_counts_what_worked() -> None:
    """Skipped and waiting attempts add nothing, and a part of a long run stands for the whole."""
    plain = costs.run_micro_dollars(2)
    assert plain == costs.micro_dollars(1, 2, 0)
    seconds = [attempt(ms=1000), attempt(RowStatus.FAILED, 3000)]
    idle = [attempt(RowStatus.SKIPPED, 9000), attempt(ms=9000, wait=True), attempt(RowStatus.RUNNING, 9000)]
    assert costs.run_micro_dollars(2, seconds) == costs.micro_dollars(1, 2, 4000)
    assert costs.run_micro_dollars(3, [*seconds, *idle]) == costs.micro_dollars(1, 3, 4000)
    assert costs.run_micro_dollars(200, seconds) == costs.micro_dollars(1, 200, 400_000)


def test_a_report_shows_what_it_would_cost() -> None:
    """The estimate of a row is that of its counts."""
    assert Counts(1, 2, 3000).micro_dollars == costs.micro_dollars(1, 2, 3000)
