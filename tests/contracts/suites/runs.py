"""The write protocol of a run (`ports.runs.RunStore`): runs and commits. (Claims are in `claims`.)"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flowrunner.ports.backend import Backend
from flowrunner.ports.runs import RowStatus

from tests.contracts.suites.build import (
    ACCOUNT,
    LEASE,
    NASTY,
    NOW,
    OTHER,
    RUN,
    commit,
    load,
    message,
    queued,
    receipt,
    run_row,
    start,
    step_row,
)

FINAL = [RowStatus.SUCCEEDED, RowStatus.FAILED, RowStatus.SKIPPED]


class CreateRules:
    """Storing new runs."""

    def test_a_created_run_is_loaded_as_it_was_given(self, backend: Backend) -> None:
        """Every column comes back."""
        row = run_row(priority=2, revision=7, body=bytes(range(256)), head=b"\0", flow_name="naïve ☃")
        assert backend.runs.create([row], []) == [True]
        assert load(backend) == row

    def test_load_answers_in_the_order_asked(self, backend: Backend) -> None:
        """Missing runs are None in their place, and a run asked for twice is answered twice."""
        start(backend, "a", "b")
        rows = backend.runs.load([(ACCOUNT, run) for run in ("b", "none", "a", "b")])  # type: ignore[misc]  # ids are text
        assert [row and row.id for row in rows] == ["b", None, "a", "b"]
        assert list(backend.runs.load([])) == []

    def test_a_run_that_exists_is_left_alone_with_its_messages(self, backend: Backend) -> None:
        """The second creation answers False, and neither the run nor the queue changes."""
        start(backend)
        again = run_row(head=b"other")
        assert list(backend.runs.create([again, run_row("new")], [message("9.0"), message("1.0", run="new")])) == [
            False,
            True,
        ]
        assert load(backend).head == b"head-1"
        assert queued(backend) == ["1.0"]

    def test_one_id_twice_in_a_call_is_created_once(self, backend: Backend) -> None:
        """The first of them wins."""
        assert list(backend.runs.create([run_row(head=b"first"), run_row(head=b"second")], [])) == [
            True,
            False,
        ]
        assert load(backend).head == b"first"

    def test_accounts_do_not_see_each_others_runs(self, backend: Backend) -> None:
        """The same run id in two accounts is two runs."""
        assert list(backend.runs.create([run_row(), run_row(account=OTHER, head=b"theirs")], [])) == [
            True,
            True,
        ]
        assert load(backend).head == b"head-1"
        assert load(backend, account=OTHER).head == b"theirs"

    def test_first_messages_are_handed_off_when_due(self, backend: Backend) -> None:
        """With an owner, what is due is leased to it, and a timer is in the queue for anybody."""
        later = message("later", due=NOW + 5_000)
        backend.runs.create([run_row()], [message("1.0"), later], owner="w", lease_until=LEASE)
        assert [one.receipt.step for one in backend.queue.receive("x", NOW + 5_000, LEASE, 10)] == ["later"]
        assert queued(backend) == ["1.0", "later"]

    def test_first_messages_without_an_owner_are_for_anybody(self, backend: Backend) -> None:
        """They are visible as soon as they are due."""
        backend.runs.create([run_row()], [message("1.0")])
        assert [(one.receipt.step, one.receives) for one in backend.queue.receive("x", NOW, LEASE, 10)] == [("1.0", 1)]

    @pytest.mark.parametrize("text", NASTY)
    def test_ids_are_any_text(self, backend: Backend, text: str) -> None:
        """Quotes, SQL and any script are only text."""
        row = run_row(text, account=text or "a", flow_name=text)
        backend.runs.create([row], [message("1.0", run=text, account=text or "a")])
        assert load(backend, text, text or "a") == row
        assert queued(backend) == ["1.0"]


class CommitRules:
    """Moving the head, and what goes with it."""

    def test_a_commit_moves_the_head_and_nothing_else(self, backend: Backend) -> None:
        """Revision, head and status are new; what never changes stays."""
        start(backend)
        assert list(backend.runs.commit([commit(status="waiting")])) == [True]
        assert load(backend) == run_row(rev=2, head=b"head-2", status="waiting")

    def test_a_lost_race_changes_nothing(self, backend: Backend) -> None:
        """With another revision than the expected one, no row, message or acknowledgement is written."""
        start(backend)
        backend.queue.send([message("keep")])
        lost = commit(
            7,
            steps=[step_row()],
            send=[message("s")],
            hand_off=[message("h")],
            ack=[receipt("keep")],
            ended_at=NOW,
        )
        assert list(backend.runs.commit([lost])) == [False]
        assert load(backend) == run_row()
        assert backend.history.steps(ACCOUNT, RUN) == []
        assert queued(backend) == ["keep"]

    def test_a_commit_to_no_run_is_lost(self, backend: Backend) -> None:
        """Also one without a head; nothing of it is written."""
        gone = [
            commit(send=[message("s")]),
            commit(run="b", head=None, steps=[step_row()], send=[message("t")]),
        ]
        assert list(backend.runs.commit(gone)) == [False, False]
        assert queued(backend) == []

    def test_commits_of_different_runs_are_independent(self, backend: Backend) -> None:
        """Those that lose take none of the others with them, whatever their order."""
        runs = ["c", "a", "e", "b", "d"]
        start(backend, *runs)
        commits = [
            commit(9 if run in "ae" else 2, run=run, steps=[step_row()], send=[message(run, run=run)]) for run in runs
        ]
        assert list(backend.runs.commit(commits)) == [run not in "ae" for run in runs]
        assert {run: load(backend, run).rev for run in runs} == {"a": 1, "b": 2, "c": 2, "d": 2, "e": 1}
        assert queued(backend) == ["b", "c", "d"]

    def test_commits_of_one_run_in_a_call_follow_each_other(self, backend: Backend) -> None:
        """Each is judged after the one before."""
        start(backend)
        assert list(backend.runs.commit([commit(2), commit(3), commit(3)])) == [True, True, False]
        assert load(backend).head == b"head-3"

    def test_nothing_to_commit_is_nothing_done(self, backend: Backend) -> None:
        """An empty call is answered."""
        assert list(backend.runs.commit([])) == []

    def test_rows_are_written_and_overwritten_until_final(self, backend: Backend) -> None:
        """Running, then waiting, then succeeded: the newest is read."""
        start(backend)
        for rev, status in ((2, RowStatus.RUNNING), (3, RowStatus.WAITING), (4, RowStatus.SUCCEEDED)):
            row = step_row(status=status, rev=rev, body=str(rev).encode())
            backend.runs.commit([commit(rev, steps=[row])])
            assert backend.history.step(ACCOUNT, RUN, row.step, 1) == row

    @pytest.mark.parametrize("status", FINAL)
    def test_a_final_row_is_never_changed(self, backend: Backend, status: RowStatus) -> None:
        """A later write to it is dropped without an error, and its commit counts."""
        start(backend)
        row = step_row(status=status, rev=2, body=b"first")
        backend.runs.commit([commit(2, steps=[row])])
        for rev, late in enumerate([*FINAL, RowStatus.RUNNING, RowStatus.WAITING], 3):
            assert list(backend.runs.commit([commit(rev, steps=[step_row(status=late, rev=rev, body=b"late")])])) == [
                True
            ]
        assert backend.history.step(ACCOUNT, RUN, row.step, 1) == row

    def test_a_final_row_learns_its_revision_once(self, backend: Backend) -> None:
        """A result that no commit had taken gets the revision of the one that takes it, and keeps its own outcome."""
        start(backend)
        for rev, of_row in ((2, 0), (3, 0), (4, 4), (5, 5), (6, 0)):
            backend.runs.commit([commit(rev, steps=[step_row(rev=of_row, body=str(rev).encode())])])
        assert backend.history.steps(ACCOUNT, RUN) == [step_row(rev=4, body=b"2")]

    def test_one_attempt_twice_in_a_commit_is_two_writes(self, backend: Backend) -> None:
        """The rule of final rows holds within a commit as well."""
        start(backend)
        rows = [
            step_row(status=RowStatus.RUNNING, rev=0),
            step_row(rev=0, body=b"kept"),
            step_row(rev=2, body=b"late"),
        ]
        assert list(backend.runs.commit([commit(steps=rows)])) == [True]
        assert backend.history.steps(ACCOUNT, RUN) == [step_row(rev=2, body=b"kept")]

    def test_without_a_head_rows_and_acks_are_written_at_any_revision(self, backend: Backend) -> None:
        """The late result of a run that is over is recorded, its message goes, and the run stays as it is."""
        start(backend)
        backend.queue.send([message("1.0"), message("2.0")])
        backend.queue.receive("w", NOW, LEASE, 10)
        late = commit(77, head=None, status="failed", steps=[step_row(rev=0)], ack=[receipt("1.0")])
        assert list(backend.runs.commit([late])) == [True]
        assert load(backend) == run_row()
        assert backend.history.steps(ACCOUNT, RUN) == [step_row(rev=0)]
        assert queued(backend) == ["2.0"]

    def test_what_is_sent_is_there_and_what_is_acknowledged_is_gone(self, backend: Backend) -> None:
        """Also an acknowledgement of what is gone already."""
        start(backend)
        backend.queue.send([message("1.0")])
        backend.queue.receive("w", NOW, LEASE, 10)
        backend.runs.commit([commit(ack=[receipt("1.0"), receipt("none")], send=[message("2.0"), message("2.1")])])
        assert queued(backend) == ["2.0", "2.1"]

    def test_a_message_acknowledged_and_sent_again_is_there(self, backend: Backend) -> None:
        """It is due when it was sent for, and not when the first one was."""
        start(backend, "a", "b")
        backend.queue.send([message("poll", run="a")])
        backend.queue.receive("w", NOW, LEASE, 10)
        both = [
            commit(run="a", ack=[receipt("poll", run="a")], send=[message("poll", run="a", due=NOW + 50_000)]),
            commit(run="b", send=[message("b", run="b", due=NOW + 60_000)]),
        ]
        assert list(backend.runs.commit(both)) == [True, True]
        assert backend.queue.receive("w", NOW + 49_999, LEASE, 10) == []
        assert queued(backend) == ["b", "poll"]

    def test_handed_off_messages_are_leased_to_the_owner(self, backend: Backend) -> None:
        """Nobody else receives them until the lease ends."""
        start(backend)
        backend.runs.commit([commit(hand_off=[message("2.0"), message("2.1")], owner="w1", lease_until=LEASE)])
        assert backend.queue.receive("w2", LEASE - 1, LEASE, 10) == []
        assert queued(backend) == ["2.0", "2.1"]

    def test_who_had_what_led_to_them_bears_handed_off_messages(self, backend: Backend) -> None:
        """They are not received twice while their owner lives, go when they are acknowledged, and can be given back."""
        start(backend)
        backend.queue.send([message("1.0")])
        backend.queue.receive("w1", NOW, LEASE, 10)
        handed = commit(ack=[receipt("1.0")], hand_off=[message("2.0"), message("2.1")], owner="w1", lease_until=LEASE)
        backend.runs.commit([handed])
        backend.queue.renew([receipt("2.0"), receipt("2.1")], "w1", LEASE + 60_000)
        assert backend.queue.receive("w2", LEASE + 59_000, LEASE + 59_000, 10) == []
        backend.runs.commit([commit(3, ack=[receipt("2.0")])])
        backend.queue.release([receipt("2.1")], LEASE + 70_000)
        assert backend.queue.receive("w2", LEASE + 69_000, LEASE + 69_000, 10) == []
        assert queued(backend) == ["2.1"]

    def test_the_end_of_a_run_is_recorded(self, backend: Backend) -> None:
        """Result and moment are stored with the last head."""
        start(backend)
        backend.runs.commit([commit(status="completed", result=b"42", ended_at=NOW + 9)])
        ended = run_row(rev=2, head=b"head-2", status="completed", result=b"42", ended_at=NOW + 9)
        assert load(backend) == ended
        backend.runs.commit([commit(3, status="completed")])
        assert (load(backend).result, load(backend).ended_at) == (b"42", NOW + 9)

    def test_an_ended_run_keeps_no_message_but_those_it_sends(self, backend: Backend) -> None:
        """Its deadline's timer goes, and other runs' messages stay."""
        start(backend, RUN, "other")
        backend.queue.send([message("deadline", due=NOW + 10**6), message("o", run="other")])
        last = commit(status="failed", ended_at=NOW, ack=[receipt("1.0")], send=[message("settle", due=NOW)])
        backend.runs.commit([last])
        assert queued(backend) == ["o", "settle"]

    def test_a_reopened_run_has_not_ended(self, backend: Backend) -> None:
        """A redrive clears the result and the moment of the end."""
        start(backend)
        backend.runs.commit([commit(status="failed", result=b"no", ended_at=NOW)])
        backend.runs.commit([commit(3, reopened=True)])
        assert load(backend) == run_row(rev=3, head=b"head-3")
        assert backend.history.ended_before(NOW + 1, 10) == []

    def test_a_run_may_go_on_with_another_revision_of_its_flow(self, backend: Backend) -> None:
        """From the commit that says so, if it wins; those that say nothing leave it alone."""
        start(backend, RUN, "other")
        backend.runs.commit([commit(7, revision=9), commit(7, run="other", revision=9)])
        assert load(backend) == run_row()
        backend.runs.commit([commit(revision=3, reopened=True), commit(run="other")])
        assert load(backend) == run_row(rev=2, head=b"head-2", revision=3)
        assert load(backend, "other").revision == 1
        backend.runs.commit([commit(3, status="completed", ended_at=NOW)])
        assert load(backend).revision == 3

    def test_of_threads_that_commit_one_revision_one_wins(self, backend: Backend) -> None:
        """Compare-and-set holds under contention, and only the winner's message is sent."""
        start(backend)
        with ThreadPoolExecutor(8) as threads:
            commits = [[commit(head=str(n).encode(), send=[message(str(n))])] for n in range(24)]
            applied = [answer[0] for answer in threads.map(backend.runs.commit, commits)]
        assert applied.count(True) == 1
        winner = str(applied.index(True))
        assert load(backend).head == winner.encode()
        assert queued(backend) == [winner]

    def test_threads_that_commit_the_same_runs_in_other_orders_all_end(self, backend: Backend) -> None:
        """Batches that overlap crosswise do not block each other, and each run is moved once."""
        runs = [f"r{n}" for n in range(12)]
        start(backend, *runs)
        batches = [[commit(run=run) for run in (runs if n % 2 else reversed(runs))] for n in range(16)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(backend.runs.commit, batches))
        assert sum(sum(answer) for answer in answers) == len(runs)
        assert {load(backend, run).rev for run in runs} == {2}
