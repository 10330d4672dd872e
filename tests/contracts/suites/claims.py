"""The write protocol of a run (`ports.runs.RunStore`): claims of steps, and what steps under way report."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flowrunner.core.ids import RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.ports.backend import Backend
from flowrunner.ports.runs import ClaimStatus, RowStatus

from tests.contracts.suites.build import (
    ACCOUNT,
    LEASE,
    NOW,
    OTHER,
    RUN,
    claim,
    commit,
    load,
    receipt,
    report,
    run_row,
    start,
    step_row,
)

FINAL = [RowStatus.SUCCEEDED, RowStatus.FAILED, RowStatus.SKIPPED]


class ClaimRules:
    """Taking attempts for execution."""

    def test_a_first_claim_is_granted_and_leaves_a_running_row(self, backend: Backend) -> None:
        """The row tells what was begun."""
        start(backend)
        answer = backend.runs.claim([claim()])[0]
        assert (answer.status, answer.claims, answer.lease_until) == (ClaimStatus.GRANTED, 1, LEASE)
        assert backend.history.steps(ACCOUNT, RUN) == [step_row(status=RowStatus.RUNNING, rev=0, body=b"started")]

    def test_a_lease_that_is_alive_is_held(self, backend: Backend) -> None:
        """Another owner learns until when, up to the last moment of the lease."""
        start(backend)
        backend.runs.claim([claim()])
        answer = backend.runs.claim([claim(owner="w2", now=LEASE - 1)])[0]
        assert (answer.status, answer.claims, answer.lease_until) == (ClaimStatus.HELD, 1, LEASE)

    def test_a_lost_answer_is_granted_again_without_counting(self, backend: Backend) -> None:
        """The owner that asks again holds the lease at least until the answered moment."""
        start(backend)
        backend.runs.claim([claim()])
        for at_most_once in (False, True):
            answer = backend.runs.claim([claim(now=NOW + 5, at_most_once=at_most_once)])[0]
            assert (answer.status, answer.claims) == (ClaimStatus.GRANTED, 1)
            held = backend.runs.claim([claim(owner="w2", now=answer.lease_until - 1)])[0]
            assert held.status is ClaimStatus.HELD

    @pytest.mark.parametrize("owner", ["w1", "w2"])
    def test_a_lapsed_lease_is_granted_and_counted(self, backend: Backend, owner: str) -> None:
        """Also to the owner that let it lapse; the row is the new one's."""
        start(backend)
        backend.runs.claim([claim()])
        answer = backend.runs.claim([claim(owner=owner, now=LEASE, body=b"again")])[0]
        assert (answer.status, answer.claims, answer.lease_until) == (ClaimStatus.GRANTED, 2, LEASE + 30_000)
        assert backend.history.steps(ACCOUNT, RUN)[0].body == b"again"

    @pytest.mark.parametrize("owner", ["w1", "w2"])
    def test_at_most_once_is_not_granted_after_a_lapse(self, backend: Backend, owner: str) -> None:
        """Nobody can know whether it was executed, so nobody executes it again, however often they ask."""
        start(backend)
        backend.runs.claim([claim(at_most_once=True)])
        for now in (LEASE, LEASE + 10**9):
            answer = backend.runs.claim([claim(owner=owner, now=now, at_most_once=True)])[0]
            assert answer.status is ClaimStatus.LAPSED

    @pytest.mark.parametrize("status", FINAL)
    def test_a_final_row_is_done(self, backend: Backend, status: RowStatus) -> None:
        """The row comes with the answer, also when its revision is still missing."""
        start(backend)
        row = step_row(status=status, rev=0, body=b"out")
        backend.runs.commit([commit(steps=[row])])
        answer = backend.runs.claim([claim()])[0]
        assert (answer.status, answer.row) == (ClaimStatus.DONE, row)

    def test_a_waiting_row_is_not_granted(self, backend: Backend) -> None:
        """It was executed; whoever claims it saw an older head, even if the lease is long over."""
        start(backend)
        backend.runs.claim([claim()])
        waiting = step_row(status=RowStatus.WAITING)
        backend.runs.commit([commit(steps=[waiting])])
        for owner, now in (("w2", NOW + 1), ("w2", LEASE + 10**6), ("w1", NOW + 1)):
            answer = backend.runs.claim([claim(owner=owner, now=now)])[0]
            assert (answer.status, answer.lease_until >= now) == (ClaimStatus.HELD, True)
        assert backend.history.steps(ACCOUNT, RUN) == [waiting]

    @pytest.mark.parametrize("status", sorted(TERMINAL))
    def test_a_run_that_is_over_grants_nothing(self, backend: Backend, status: str) -> None:
        """No effect starts after a cancel was answered, also not again after a lapse; no row is written."""
        start(backend)
        backend.runs.claim([claim("1.1")])
        backend.runs.commit([commit(status=status, ended_at=NOW)])
        answers = backend.runs.claim([claim("1.0"), claim("1.1", owner="w2", now=LEASE)])
        assert [answer.status for answer in answers] == [ClaimStatus.OVER, ClaimStatus.OVER]
        assert [row.step for row in backend.history.steps(ACCOUNT, RUN)] == ["1.1"]

    def test_no_run_grants_nothing(self, backend: Backend) -> None:
        """Neither a missing run nor one of another account."""
        start(backend)
        answers = backend.runs.claim([claim(run="none"), claim(account=OTHER)])
        assert [answer.status for answer in answers] == [ClaimStatus.OVER, ClaimStatus.OVER]

    def test_claims_in_one_call_are_answered_in_order(self, backend: Backend) -> None:
        """Each on its own, whatever became of the others."""
        start(backend, RUN, "b")
        backend.runs.claim([claim("1.1", owner="w2")])
        backend.runs.commit([commit(steps=[step_row("1.2")])])
        asked = [claim("1.2"), claim("1.3"), claim(run="none"), claim("1.1"), claim("1.3"), claim(run="b")]
        answers = [answer.status.value for answer in backend.runs.claim(asked)]
        assert answers == ["done", "granted", "over", "held", "granted", "granted"]
        assert list(backend.runs.claim([])) == []

    def test_attempts_are_claimed_apart(self, backend: Backend) -> None:
        """A retry is an attempt of its own."""
        start(backend)
        backend.runs.claim([claim(at_most_once=True)])
        answer = backend.runs.claim([claim(owner="w2", now=LEASE, attempt=2, at_most_once=True)])[0]
        assert (answer.status, answer.claims) == (ClaimStatus.GRANTED, 1)

    def test_renewing_prolongs_only_ones_own_leases(self, backend: Backend) -> None:
        """Others' leases and missing rows are left alone."""
        start(backend)
        backend.runs.claim([claim("1.0"), claim("1.1", owner="w2")])
        keys = [(ACCOUNT, RUN, receipt(step).step, 1) for step in ("1.0", "1.1", "9.9")]
        backend.runs.renew(keys, "w1", LEASE + 500)
        backend.runs.renew([], "w1", LEASE + 500)
        answers = backend.runs.claim([claim("1.0", owner="w3", now=LEASE), claim("1.1", owner="w3", now=LEASE)])
        assert [(a.status, a.lease_until) for a in answers] == [
            (ClaimStatus.HELD, LEASE + 500),
            (ClaimStatus.GRANTED, LEASE + 30_000),
        ]

    def test_a_claim_that_is_let_go_does_not_count(self, backend: Backend) -> None:
        """It is as if it had never been; a lease that is another's by now, and a missing row, are left alone."""
        start(backend)
        backend.runs.claim([claim("1.0"), claim("1.1", owner="w2")])
        keys = [(ACCOUNT, RUN, receipt(step).step, 1) for step in ("1.0", "1.1", "9.9")]
        backend.runs.let_go(keys, "w1")
        backend.runs.let_go(keys, "w1")
        backend.runs.let_go([], "w1")
        answers = backend.runs.claim([claim("1.0", owner="w3", at_most_once=True), claim("1.1", owner="w3")])
        assert [(one.status, one.claims) for one in answers] == [(ClaimStatus.GRANTED, 1), (ClaimStatus.HELD, 1)]

    def test_letting_go_takes_back_only_the_last_claim(self, backend: Backend) -> None:
        """A death before it still counts; a result is not touched."""
        start(backend)
        backend.runs.claim([claim(owner="dead")])
        backend.runs.claim([claim(owner="w1", now=LEASE)])
        backend.runs.let_go([(ACCOUNT, RUN, receipt("1.0").step, 1)], "w1")
        answer = backend.runs.claim([claim(owner="w2", now=LEASE)])[0]
        assert (answer.status, answer.claims) == (ClaimStatus.GRANTED, 2)
        backend.runs.commit([commit(steps=[step_row("1.0")])])
        backend.runs.let_go([(ACCOUNT, RUN, receipt("1.0").step, 1)], "w2")
        assert backend.runs.claim([claim(owner="w3", now=2 * LEASE)])[0].status is ClaimStatus.DONE

    @pytest.mark.parametrize("lapsed", [False, True])
    def test_of_threads_that_claim_one_attempt_one_wins(self, backend: Backend, lapsed: bool) -> None:
        """Whether it is new or its lease is over, exactly one owner may execute it."""
        start(backend)
        if lapsed:
            backend.runs.claim([claim(owner="dead")])
        now = LEASE if lapsed else NOW
        requests = [[claim(owner=f"w{n}", now=now)] for n in range(16)]
        with ThreadPoolExecutor(8) as threads:
            answers = [answer[0] for answer in threads.map(backend.runs.claim, requests)]
        statuses = [answer.status for answer in answers]
        assert statuses.count(ClaimStatus.GRANTED) == 1
        assert statuses.count(ClaimStatus.HELD) == 15
        assert {answer.claims for answer in answers} == {2 if lapsed else 1}

    def test_claims_and_a_cancel_race_without_a_late_start(self, backend: Backend) -> None:
        """Whatever is claimed after the cancel was answered is refused."""
        start(backend)
        with ThreadPoolExecutor(4) as threads:
            early = [threads.submit(backend.runs.claim, [claim(f"1.{n}")]) for n in range(8)]
            assert list(backend.runs.commit([commit(status="cancelled", ended_at=NOW)])) == [True]
            late = [threads.submit(backend.runs.claim, [claim(f"2.{n}")]) for n in range(8)]
        assert {one.result()[0].status for one in late} == {ClaimStatus.OVER}
        assert {one.result()[0].status for one in early} <= {ClaimStatus.OVER, ClaimStatus.GRANTED}


class ReportRules:
    """What a step under way tells."""

    @pytest.fixture
    def claimed(self, backend: Backend) -> Backend:
        """A run whose step 1.0 is running under a claim of w1."""
        start(backend)
        backend.runs.claim([claim()])
        return backend

    def body(self, backend: Backend, step: str = "1.0", run: str = RUN) -> bytes:
        found = backend.history.step(ACCOUNT, RunId(run), StepId(step), 1)
        assert found is not None
        return found.body

    def test_a_report_replaces_the_body_and_nothing_else(self, claimed: Backend) -> None:
        """The row still runs under its claim, and no commit has taken it."""
        claimed.runs.report([report()])
        assert claimed.history.steps(ACCOUNT, RUN) == [step_row(status=RowStatus.RUNNING, rev=0, body=b"so far")]
        assert load(claimed) == run_row()
        answer = claimed.runs.claim([claim(owner="w2", now=LEASE - 1)])[0]
        assert (answer.status, answer.claims, answer.lease_until) == (ClaimStatus.HELD, 1, LEASE)

    def test_the_last_report_counts(self, claimed: Backend) -> None:
        """Within a call, and of several."""
        claimed.runs.report([report(body=b"1"), report(body=b"2")])
        assert self.body(claimed) == b"2"
        claimed.runs.report([report(body=b"3")])
        assert self.body(claimed) == b"3"

    def test_reports_of_a_call_are_independent(self, claimed: Backend) -> None:
        """Of several runs and steps; those that are dropped take none of the others with them."""
        start(claimed, "b")
        claimed.runs.claim([claim(run="b"), claim("1.1", owner="w2"), claim("2.0[3]")])
        claimed.runs.report(
            [
                report("9.9"),
                report(run="b", body=b"of b"),
                report("1.1", body=b"no"),
                report("2.0[3]", body=b"item"),
                report(attempt=2, body=b"no"),
                report(run="none"),
                report(account=OTHER),
            ]
        )
        assert self.body(claimed) == self.body(claimed, "1.1") == b"started"
        assert self.body(claimed, run="b") == b"of b"
        assert self.body(claimed, "2.0[3]") == b"item"

    def test_a_claim_that_was_lost_reports_nothing_more(self, claimed: Backend) -> None:
        """Another owner took the attempt over; its body stays."""
        claimed.runs.claim([claim(owner="w2", now=LEASE, body=b"again")])
        claimed.runs.report([report()])
        assert self.body(claimed) == b"again"
        claimed.runs.report([report(owner="w2")])
        assert self.body(claimed) == b"so far"

    @pytest.mark.parametrize("status", [*FINAL, RowStatus.WAITING])
    def test_a_row_that_does_not_run_takes_no_report(self, claimed: Backend, status: RowStatus) -> None:
        """A late report must not undo the outcome."""
        claimed.runs.commit([commit(steps=[step_row(status=status, body=b"out")])])
        claimed.runs.report([report()])
        assert claimed.history.steps(ACCOUNT, RUN) == [step_row(status=status, body=b"out")]

    def test_a_row_that_nobody_claimed_takes_no_report(self, backend: Backend) -> None:
        """Not even one without an owner."""
        start(backend)
        backend.runs.commit([commit(steps=[step_row(status=RowStatus.RUNNING, body=b"first")])])
        backend.runs.report([report(owner=""), report()])
        assert self.body(backend) == b"first"

    def test_a_reported_row_takes_its_outcome(self, claimed: Backend) -> None:
        """The commit writes over what was reported."""
        claimed.runs.report([report()])
        claimed.runs.commit([commit(steps=[step_row(body=b"out")])])
        assert claimed.history.steps(ACCOUNT, RUN) == [step_row(body=b"out")]
