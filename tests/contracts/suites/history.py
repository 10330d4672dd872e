"""Reading what happened, and removing it (`ports.history.RunHistory`)."""

from __future__ import annotations

import pytest
from flowrunner.core.ids import FlowId, RunId, StepId
from flowrunner.ports.backend import Backend
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.history import RunFilter
from flowrunner.ports.kv import Item, namespaces_of
from flowrunner.ports.runs import RowStatus, StepRow

from tests.contracts.suites.build import (
    ACCOUNT,
    NOW,
    OTHER,
    RUN,
    claim,
    commit,
    message,
    queued,
    run_row,
    start,
    step_row,
)

SCHEDULED = ["1.0", "2.0", "2.0[0]", "2.0[2]", "2.0[10]", "2.1", "10.0", "12.0[7]"]
"""Step ids in the order in which steps were scheduled, which is not that of their text."""


def ids(rows: object) -> list[str]:
    return [row.step for row in rows]  # type: ignore[attr-defined]  # rows of any sequence


class StepHistoryRules:
    """Attempts by step, by order and by revision."""

    @pytest.fixture
    def history(self, backend: Backend) -> Backend:
        """A run whose steps were written in the wrong order; the last of them has two attempts."""
        start(backend)
        rows = [step_row(step, rev=rev) for rev, step in enumerate(reversed(SCHEDULED), 2)]
        for row in rows:
            backend.runs.commit([commit(row.rev, steps=[row])])
        again = step_row("1.0", RowStatus.FAILED, rev=len(rows) + 2, attempt=2)
        backend.runs.commit([commit(again.rev, steps=[again])])
        return backend

    def test_a_step_is_read_by_attempt_or_its_last(self, history: Backend) -> None:
        """Without an attempt, the last one is meant."""
        last, first = (history.history.step(ACCOUNT, RUN, StepId("1.0"), attempt) for attempt in (None, 1))
        assert last is not None
        assert first is not None
        assert (last.attempt, first.attempt) == (2, 1)

    @pytest.mark.parametrize("step", ["9.9", "1.0[0]", "nonsense", "", "1", "1.x", "1.0[", "' OR 1=1 --"])
    def test_a_step_that_is_not_there_is_none(self, history: Backend, step: str) -> None:
        """Also one whose id is none: it may come from a URL."""
        assert history.history.step(ACCOUNT, RUN, StepId(step)) is None
        assert history.history.step(ACCOUNT, RUN, StepId(step), 1) is None

    def test_steps_come_in_the_order_scheduled(self, history: Backend) -> None:
        """By number and not by text, the attempts of a step one after the other."""
        rows = history.history.steps(ACCOUNT, RUN)
        assert [(row.step, row.attempt) for row in rows] == [
            ("1.0", 1),
            ("1.0", 2),
            *((s, 1) for s in SCHEDULED[1:]),
        ]

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_pages_of_steps_join_without_gap_or_repeat(self, history: Backend, size: int) -> None:
        """Whatever the size, reading on behind the last row gives everything once."""
        found: list[StepRow] = []
        while page := history.history.steps(
            ACCOUNT, RUN, after=(found[-1].step, found[-1].attempt) if found else None, limit=size
        ):
            assert len(page) <= size
            found += page
        assert found == list(history.history.steps(ACCOUNT, RUN))

    def test_committed_steps_come_by_revision(self, history: Backend) -> None:
        """A reader that resumes behind a revision gets every later outcome."""
        rows = history.history.committed(ACCOUNT, RUN, after_rev=0)
        assert ids(rows) == [*reversed(SCHEDULED), "1.0"]
        resumed = history.history.committed(ACCOUNT, RUN, after_rev=rows[2].rev)
        assert list(resumed) == list(rows[3:])
        assert list(history.history.committed(ACCOUNT, RUN, after_rev=rows[2].rev, limit=2)) == list(rows[3:5])

    def test_what_no_commit_took_is_not_committed(self, backend: Backend) -> None:
        """A claimed attempt has revision 0 and is no outcome yet."""
        start(backend)
        backend.runs.claim([claim()])
        assert backend.history.committed(ACCOUNT, RUN, after_rev=0) == []

    def test_open_steps_are_those_that_run_or_wait(self, backend: Backend) -> None:
        """In the order scheduled; ended ones are left out."""
        start(backend)
        by_status = zip(("1.4", "1.3", "1.2", "1.1", "1.0"), RowStatus, strict=True)
        backend.runs.commit([commit(steps=[step_row(step, status) for step, status in by_status])])
        assert ids(backend.history.open_steps(ACCOUNT, RUN)) == ["1.3", "1.4"]

    def test_items_of_a_foreach_are_its_last_attempts_by_index(self, backend: Backend) -> None:
        """Those of other steps whose ids begin alike are not among them."""
        start(backend)
        rows = [step_row(step) for step in ("2.0", "2.0[10]", "2.0[9]", "2.0[0]", "2.1[0]", "12.0[0]", "2.00[3]")]
        backend.runs.commit([commit(steps=[*rows[:6], step_row("2.0[9]", RowStatus.FAILED, attempt=2)])])
        found = backend.history.item_steps(ACCOUNT, RUN, StepId("2.0"))
        assert [(row.step, row.attempt) for row in found] == [("2.0[0]", 1), ("2.0[9]", 2), ("2.0[10]", 1)]

    def test_no_run_has_no_history(self, history: Backend) -> None:
        """Neither a missing run nor one of another account."""
        for account, run in ((ACCOUNT, RunId("none")), (OTHER, RUN)):
            assert history.history.steps(account, run) == []
            assert history.history.committed(account, run, after_rev=0) == []
            assert history.history.open_steps(account, run) == []
            assert history.history.item_steps(account, run, StepId("2.0")) == []
            assert history.history.step(account, run, StepId("1.0")) is None


class RunListRules:
    """Lists of runs."""

    @pytest.fixture
    def listed(self, backend: Backend) -> Backend:
        """Six runs whose ids say nothing about their age: some ids are hashes."""
        flows = [FlowId("f1"), FlowId("f2")]
        statuses = ["running", "failed", "completed"]
        backend.runs.create(
            [
                run_row(run, created_at=NOW + age, flow=flows[age % 2], status=statuses[age % 3])
                for age, run in enumerate(["m", "z", "a", "k", "b", "x"])
            ],
            [],
        )
        backend.runs.create([run_row("theirs", account=OTHER)], [])
        return backend

    def test_runs_come_newest_first(self, listed: Backend) -> None:
        """By the moment of their creation, and only the account's own."""
        assert [row.id for row in listed.history.runs(ACCOUNT, RunFilter())] == ["x", "b", "k", "a", "z", "m"]

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (RunFilter(flow=FlowId("f1")), "bam"),
            (RunFilter(flow=FlowId("none")), ""),
            (RunFilter(statuses=("failed",)), "bz"),
            (RunFilter(statuses=("failed", "running")), "bkzm"),
            (RunFilter(statuses=("' OR 1=1 --",)), ""),
            (RunFilter(created_from=NOW + 2), "xbka"),
            (RunFilter(created_to=NOW + 2), "zm"),
            (RunFilter(created_from=NOW + 1, created_to=NOW + 4, flow=FlowId("f2")), "kz"),
            (RunFilter(limit=2), "xb"),
            (RunFilter(before=RunId("k")), "azm"),
            (RunFilter(before=RunId("k"), flow=FlowId("f2"), limit=1), "z"),
            (RunFilter(before=RunId("gone")), ""),
            (RunFilter(before=RunId("theirs")), ""),
        ],
        ids=str,
    )
    def test_a_filter_keeps_what_it_says(self, listed: Backend, wanted: RunFilter, expected: str) -> None:
        """`created_from` is included and `created_to` is not; behind a run that is gone there is nothing."""
        assert [row.id for row in listed.history.runs(ACCOUNT, wanted)] == list(expected)

    @pytest.mark.parametrize(
        ("flow", "statuses", "limit", "expected"),
        [
            (None, ["running"], 100, 2),
            (None, ["running", "failed"], 100, 4),
            (None, ["running", "failed", "running"], 100, 4),
            (None, ["running", "failed", "completed"], 100, 6),
            (None, ["running", "failed", "completed"], 5, 5),
            ("f1", ["running"], 100, 1),
            ("f2", ["running", "failed", "completed"], 100, 3),
            ("f2", ["running", "failed", "completed"], 2, 2),
            ("none", ["running"], 100, 0),
            (None, ["cancelled"], 100, 0),
            (None, [], 100, 0),
            (None, ["' OR 1=1 --"], 100, 0),
        ],
        ids=str,
    )
    def test_runs_are_counted_by_status(
        self, listed: Backend, flow: str | None, statuses: list[str], limit: int, expected: int
    ) -> None:
        """Of one flow or of all, up to the limit, and only the account's own."""
        wanted = FlowId(flow) if flow is not None else None
        assert listed.history.count(ACCOUNT, flow=wanted, statuses=statuses, limit=limit) == expected

    def test_a_count_follows_the_runs(self, backend: Backend) -> None:
        """What a commit makes of a status counts from that moment, and what is deleted does not count."""

        def counts() -> list[int]:
            return [backend.history.count(ACCOUNT, statuses=[one]) for one in ("queued", "running", "failed")]

        start(backend, "a", "b", status="queued")
        assert counts() == [2, 0, 0]
        backend.runs.commit([commit(run="a"), commit(run="b")])
        assert counts() == [0, 2, 0]
        backend.runs.commit([commit(3, run="a"), commit(3, run="b", status="failed", ended_at=NOW), commit(9, run="a")])
        assert counts() == [0, 1, 1]
        backend.runs.commit([commit(4, run="b", reopened=True)])
        assert counts() == [0, 2, 0]
        backend.history.delete(ACCOUNT, RunId("a"))
        assert counts() == [0, 1, 0]

    def test_pages_of_runs_join_although_they_were_created_together(self, backend: Backend) -> None:
        """Runs of one millisecond are told apart by their ids."""
        start(backend, *"gcaefbd")
        seen: list[str] = []
        while page := backend.history.runs(ACCOUNT, RunFilter(before=RunId(seen[-1]) if seen else None, limit=3)):
            seen += [row.id for row in page]
        assert seen == list("gfedcba")


class RetentionRules:
    """Removing runs."""

    def test_ended_runs_are_found_oldest_first(self, backend: Backend) -> None:
        """Those of all accounts that ended before the moment, up to the limit; live ones never."""
        start(backend, "a", "b", "c", "live")
        start(backend, "d", account=OTHER)
        for run, account, at in (
            ("a", ACCOUNT, 30),
            ("b", ACCOUNT, 10),
            ("c", ACCOUNT, 40),
            ("d", OTHER, 20),
        ):
            backend.runs.commit([commit(run=run, account=account, status="failed", ended_at=NOW + at)])
        found = backend.history.ended_before(NOW + 40, 10)
        assert list(found) == [(ACCOUNT, "b"), (OTHER, "d"), (ACCOUNT, "a")]
        assert list(backend.history.ended_before(NOW + 40, 1)) == [(ACCOUNT, "b")]
        assert list(backend.history.ended_before(NOW + 10, 10)) == []

    def test_a_deleted_run_leaves_nothing(self, backend: Backend) -> None:
        """Its rows, messages, callbacks and blobs go with it, and others' stay."""
        for run in (RUN, RunId("other")):
            start(backend, run)
            backend.queue.send([message(run, run=run)])
            backend.blobs.put(ACCOUNT, run, "k", b"v")
            backend.callbacks.register(CallbackRow(f"hash {run}", ACCOUNT, run, StepId("1.0"), 1, NOW))
            backend.runs.commit([commit(run=run, steps=[step_row()])])
        assert backend.history.delete(ACCOUNT, RUN) is True
        assert list(backend.runs.load([(ACCOUNT, RUN)])) == [None]
        assert backend.history.steps(ACCOUNT, RUN) == []
        assert backend.blobs.get(ACCOUNT, RUN, "k") is None
        assert backend.callbacks.find(f"hash {RUN}") is None
        other = RunId("other")
        assert len(backend.history.steps(ACCOUNT, other)) == 1
        assert backend.blobs.get(ACCOUNT, other, "k") == b"v"
        assert backend.callbacks.find("hash other") is not None
        assert queued(backend) == ["other"]

    def test_a_deleted_run_takes_its_own_values_along(self, backend: Backend) -> None:
        """Those of other runs, of the account and of other accounts stay."""
        start(backend, "a", "ab")
        start(backend, "a", account=OTHER)
        own, kept = ["run/a/", "run/a/x"], ["run/ab/x", "run/", "run/a", "account/run/a/x", "run/a0"]
        for namespace in own + kept:
            for key in ("k", "l"):
                backend.values.set(ACCOUNT, namespace, Item(key, 1))
        backend.values.set(OTHER, "run/a/x", Item("k", 1))
        assert namespaces_of(RunId("a")) == "run/a/"
        backend.history.delete(ACCOUNT, RunId("a"))
        assert [len(backend.values.list(ACCOUNT, one, NOW)) for one in own] == [0, 0]
        assert [len(backend.values.list(ACCOUNT, one, NOW)) for one in kept] == [2] * len(kept)
        assert len(backend.values.list(OTHER, "run/a/x", NOW)) == 1

    def test_deleting_no_run_removes_nothing(self, backend: Backend) -> None:
        """A run's input may be stored before the run itself: it is not for the taking."""
        backend.blobs.put(ACCOUNT, RUN, "input", b"v")
        assert backend.history.delete(ACCOUNT, RUN) is False
        start(backend)
        assert backend.blobs.get(ACCOUNT, RUN, "input") == b"v"

    def test_deleting_what_is_not_there_is_false(self, backend: Backend) -> None:
        """Also a second time, and another account's run, which stays."""
        start(backend)
        assert backend.history.delete(OTHER, RUN) is False
        assert backend.history.delete(ACCOUNT, RUN) is True
        assert backend.history.delete(ACCOUNT, RUN) is False

    def test_a_deleted_run_may_be_created_anew(self, backend: Backend) -> None:
        """Nothing of the old one shows."""
        start(backend)
        backend.runs.claim([claim()])
        backend.history.delete(ACCOUNT, RUN)
        start(backend, head=b"new")
        assert backend.history.steps(ACCOUNT, RUN) == []
        assert [row.head for row in backend.history.runs(ACCOUNT, RunFilter())] == [b"new"]
