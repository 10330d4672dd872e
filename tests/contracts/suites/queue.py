"""The work queue (`ports.queue.WorkQueue`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flowrunner.core.ids import AccountId, RunId
from flowrunner.ports.backend import Backend
from flowrunner.ports.queue import Receipt

from tests.contracts.suites.build import LEASE, NASTY, NOW, commit, message, queued, receipt, run_row, start

SECOND = 1_000
DAY = 86_400_000


def taken(backend: Backend, now: int = NOW, owner: str = "w", limit: int = 10) -> dict[Receipt, int]:
    """What is received with a lease of half a minute, and how often it was."""
    return {one.receipt: one.receives for one in backend.queue.receive(owner, now, now + 30 * SECOND, limit)}


class QueueRules:
    """What every queue does: sending, leasing, giving back and acknowledging. Times are whole seconds."""

    MANY = 3000
    """Messages of a test that is about a great many."""

    def test_a_message_is_visible_from_its_due_time_on(self, backend: Backend) -> None:
        """Not a millisecond before."""
        backend.queue.send([message(due=NOW)])
        assert backend.queue.receive("w", NOW - 1, LEASE, 10) == []
        assert taken(backend) == {receipt(): 1}

    def test_a_limit_is_kept(self, backend: Backend) -> None:
        """What is left comes with the next call."""
        backend.queue.send([message(str(n)) for n in range(23)])
        counts = [len(backend.queue.receive("w", NOW, LEASE, 12)) for _ in range(3)]
        assert counts == [12, 11, 0]

    def test_a_received_message_is_hidden_until_its_lease_ends(self, backend: Backend) -> None:
        """Then anybody receives it again, and the deliveries are counted."""
        backend.queue.send([message()])
        backend.queue.receive("w1", NOW, LEASE, 10)
        assert backend.queue.receive("w2", LEASE - 1, LEASE, 10) == []
        assert taken(backend, LEASE + SECOND, "w2") == {receipt(): 2}

    def test_identity_is_account_run_step_and_attempt(self, backend: Backend) -> None:
        """Messages that differ in any of them are different."""
        others = [
            message(account="b"),
            message(run="b"),
            message("b"),
            message(attempt=2),
            message(attempt=0),
        ]
        backend.queue.send([message(), *others])
        assert set(taken(backend)) == {one.receipt for one in (message(), *others)}

    def test_a_lease_can_be_prolonged(self, backend: Backend) -> None:
        """By whoever has the message; those that nobody has, or that are gone, are left alone."""
        backend.queue.send([message("mine"), message("later", due=NOW + 10 * SECOND)])
        assert set(taken(backend, owner="w1")) == {receipt("mine")}
        backend.queue.renew([receipt(step) for step in ("mine", "later", "gone")], "w1", LEASE + 60 * SECOND)
        backend.queue.renew([], "w1", LEASE + 60 * SECOND)
        assert set(taken(backend, LEASE + 59 * SECOND, "w2")) == {receipt("later")}
        assert set(taken(backend, LEASE + 61 * SECOND, "w2")) == {receipt("mine")}

    def test_released_messages_come_back_when_told(self, backend: Backend) -> None:
        """Having had one does not count as a delivery that came to nothing. What is gone stays gone."""
        backend.queue.send([message("a")])
        backend.queue.receive("w1", NOW, LEASE, 10)
        backend.queue.release([receipt("a"), receipt("gone")], NOW + 3 * SECOND)
        backend.queue.release([], NOW)
        backend.queue.renew([receipt("a")], "w1", LEASE + 9 * SECOND)
        assert backend.queue.receive("w2", NOW + 2 * SECOND, LEASE, 10) == []
        assert taken(backend, NOW + 3 * SECOND, "w2") == {receipt("a"): 1}, "w1 did not die"

    def test_acknowledged_messages_are_gone(self, backend: Backend) -> None:
        """Acknowledging again is no error, and the same message may be sent anew."""
        backend.queue.send([message("a"), message("b")])
        taken(backend)
        for _ in range(2):
            backend.queue.ack([receipt("a"), receipt("a"), receipt("gone")])
        backend.queue.ack([])
        assert taken(backend, LEASE + SECOND) == {receipt("b"): 2}
        backend.queue.send([message("a", due=LEASE + 2 * SECOND)])
        assert taken(backend, LEASE + 2 * SECOND) == {receipt("a"): 1}

    def test_nothing_sent_is_nothing_there(self, backend: Backend) -> None:
        """Empty calls are answered."""
        backend.queue.send([])
        assert backend.queue.receive("w", NOW, LEASE, 10) == []

    def test_accounts_are_served_in_turn(self, backend: Backend) -> None:
        """One message of each, however many one of them has before the others; then from the first account again."""
        backend.queue.send([message(str(n), due=NOW - 100 + n) for n in range(50)])
        backend.queue.send([message("late", account="b", due=NOW + 1), message("low", account="c", priority=2)])
        backend.queue.send([message("first", account="d", due=NOW - 1), message("second", account="d")])

        def turn(after: str, limit: int) -> tuple[list[str], str]:
            found, last = backend.queue.receive_in_turn("w", NOW, LEASE, AccountId(after), limit)
            assert {one.receives for one in found} <= {1}
            return [one.receipt.step for one in found], last

        if not backend.capabilities.turns:
            assert turn("", 3) == ([], "")
            return
        assert turn("", 3) == (["0", "low"], "c"), "b has nothing yet and has had its turn"
        assert turn("c", 3) == (["first"], "")
        assert turn("", 9) == (["1", "second"], "")
        assert turn("b", 9) == ([], "")
        again, _ = backend.queue.receive_in_turn("v", LEASE, LEASE + 9, AccountId("b"), 9)
        assert [(one.receipt.account, one.receives) for one in again] == [("c", 2), ("d", 2)]

    def test_steps_and_owners_are_any_text(self, backend: Backend) -> None:
        """Quotes, SQL and any script are only text."""
        backend.queue.send([message(text) for text in NASTY])
        for owner in NASTY:
            backend.queue.receive(owner, NOW, NOW, 100)
        assert queued(backend) == sorted(NASTY)

    def test_threads_that_receive_share_the_messages(self, backend: Backend) -> None:
        """Each message goes to exactly one of them."""
        count = self.MANY // 15
        backend.queue.send([message(str(n)) for n in range(count)])
        with ThreadPoolExecutor(8) as threads:
            batches = list(
                threads.map(lambda n: backend.queue.receive(f"w{n}", NOW, LEASE, count // 15 + 1), range(24))
            )
        steps = [one.receipt.step for batch in batches for one in batch]
        assert sorted(steps) == sorted(str(n) for n in range(count))

    def test_a_timer_may_be_as_long_as_it_likes(self, backend: Backend) -> None:
        """Minutes, days and months: each comes at its second."""
        moments = [NOW + 899 * SECOND, NOW + 901 * SECOND, NOW + 3 * DAY, NOW + 90 * DAY]
        backend.queue.send([message(str(due), due=due) for due in moments])
        for due in moments:
            minute = due - due % (60 * SECOND)
            for now in (minute - 900 * SECOND, minute, due - 1):  # somebody looks each minute
                assert backend.queue.receive("w", now, now + SECOND, 10) == [], due
            assert set(taken(backend, due)) == {receipt(str(due))}
            backend.queue.ack([receipt(str(due))])


class ExactQueueRules(QueueRules):
    """What a queue does beyond that which is exact, see `Capabilities.exact_queue`."""

    def test_it_says_so(self, backend: Backend) -> None:
        """A difference is declared."""
        assert backend.capabilities.exact_queue

    def test_messages_come_by_priority_and_then_by_time(self, backend: Backend) -> None:
        """Urgent ones first, however late they came; those of one priority as they are due."""
        backend.queue.send(
            [
                message("low", priority=2, due=NOW - 9),
                message("second", due=NOW - 1),
                message("first", due=NOW - 2),
                message("future", priority=0, due=NOW + 1),
                message("urgent", priority=0, due=NOW),
            ]
        )
        order = [one.receipt.step for one in backend.queue.receive("w", NOW, LEASE, 10)]
        assert order == ["urgent", "first", "second", "low"]

    def test_a_limit_takes_the_first(self, backend: Backend) -> None:
        """And leaves the others to the next call."""
        backend.queue.send([message(str(n), due=NOW - 5 + n, priority=n % 2) for n in range(5)])
        taken = [[one.receipt.step for one in backend.queue.receive("w", NOW, LEASE, 2)] for _ in range(4)]
        assert taken == [["0", "2"], ["4", "1"], ["3"], []]

    def test_sending_what_is_there_changes_nothing(self, backend: Backend) -> None:
        """Neither its due time nor its lease nor its priority."""
        backend.queue.send([message("a", due=NOW + 5), message("a", due=NOW - 5)])
        assert backend.queue.receive("w", NOW, LEASE, 10) == []
        backend.queue.receive("w", NOW + 5, LEASE, 10)
        backend.queue.send([message("a", priority=0)])
        assert backend.queue.receive("w", NOW + 5, LEASE, 10) == []
        assert queued(backend) == ["a"]

    def test_renewing_prolongs_only_ones_own_leases(self, backend: Backend) -> None:
        """What another holds, or nobody, is left alone."""
        backend.queue.send([message("mine"), message("theirs", due=NOW + 1), message("free", due=NOW + 2)])
        backend.queue.receive("w1", NOW, LEASE, 1)
        backend.queue.receive("w2", NOW + 1, LEASE, 1)
        backend.queue.renew([receipt(step) for step in ("mine", "theirs", "free", "gone")], "w1", LEASE + 9)
        backend.queue.renew([], "w1", LEASE + 9)
        assert [one.receipt.step for one in backend.queue.receive("w3", LEASE, LEASE + 50, 9)] == [
            "free",
            "theirs",
        ]

    def test_released_messages_come_back_to_the_millisecond(self, backend: Backend) -> None:
        """The one who had it holds it no more, and its having had it does not count; what is gone stays gone."""
        backend.queue.send([message("a")])
        backend.queue.receive("w1", NOW, LEASE, 10)
        backend.queue.release([receipt("a"), receipt("gone")], NOW + 3)
        backend.queue.release([], NOW)
        backend.queue.renew([receipt("a")], "w1", LEASE + 9)
        assert backend.queue.receive("w2", NOW + 2, LEASE, 10) == []
        assert [one.receives for one in backend.queue.receive("w2", NOW + 3, LEASE, 10)] == [1], "w1 did not die"

    def test_acknowledged_messages_need_not_be_received(self, backend: Backend) -> None:
        """Acknowledging again is no error, and the same message may be sent anew."""
        backend.queue.send([message("a"), message("b")])
        for _ in range(2):
            backend.queue.ack([receipt("a"), receipt("a"), receipt("gone")])
        backend.queue.ack([])
        backend.queue.send([message("a", due=NOW + 1), message("c", due=NOW + 2)])
        order = [(one.receipt.step, one.receives) for one in backend.queue.receive("w", NOW + 2, LEASE, 10)]
        assert order == [("b", 1), ("a", 1), ("c", 1)]

    def test_the_next_visible_moment_is_known(self, backend: Backend) -> None:
        """It is the earliest due time or end of a lease; None when the queue is empty."""
        assert backend.queue.next_visible() is None
        backend.queue.send([message("b", due=NOW + 100, priority=0), message("a", due=NOW - 7, priority=2)])
        assert backend.queue.next_visible() == NOW - 7
        backend.queue.receive("w", NOW, NOW + 50, 10)
        assert backend.queue.next_visible() == NOW + 50
        backend.queue.ack([receipt("a")])
        assert backend.queue.next_visible() == NOW + 100
        backend.queue.ack([receipt("b")])
        assert backend.queue.next_visible() is None

    def test_many_timers_do_not_hide_what_is_due(self, backend: Backend) -> None:
        """Among thousands of timers and leased messages, the due ones are found, in order."""
        leased = self.MANY // 6
        backend.queue.send([message(f"t{n}", due=NOW + 10**6 + n, priority=n % 3) for n in range(self.MANY)])
        backend.queue.send([message(f"l{n}", due=NOW - 10**6) for n in range(leased)])
        assert len(backend.queue.receive("busy", NOW - 1000, LEASE, leased)) == leased
        backend.queue.send([message("low", priority=2), message("high", priority=0)])
        assert [one.receipt.step for one in backend.queue.receive("w", NOW, LEASE, 10)] == ["high", "low"]

    def test_the_load_counts_what_is_visible_and_the_runs_that_have_work(self, backend: Backend) -> None:
        """A leased message is none to take, but its run has work; accounts are not told apart."""
        empty = backend.queue.load(NOW)
        assert (empty.visible, empty.visible_since, empty.runs) == (0, None, 0)
        backend.queue.send([message("a", due=NOW - 5)])
        backend.queue.receive("w", NOW, LEASE, 10)
        backend.queue.send(
            [
                message("b", due=NOW - 3),
                message("c", due=NOW),
                message("d", due=NOW + 1),
                message("e", run=RunId("other"), due=NOW + 9),
            ]
        )
        found = backend.queue.load(NOW)
        assert (found.visible, found.visible_since, found.runs) == (2, NOW - 3, 2)
        later = backend.queue.load(LEASE)
        assert (later.visible, later.visible_since, later.runs) == (5, NOW - 3, 2)

    def test_handed_off_messages_are_leased_to_the_millisecond(self, backend: Backend) -> None:
        """The owner can prolong it, and when it dies their deliveries are counted."""
        start(backend)
        backend.runs.commit([commit(hand_off=[message("2.0"), message("2.1")], owner="w1", lease_until=LEASE)])
        backend.queue.renew([receipt("2.0")], "w1", LEASE + 100)
        lapsed = backend.queue.receive("w2", LEASE, LEASE + 50, 10)
        assert [(one.receipt.step, one.receives) for one in lapsed] == [("2.1", 2)]

    def test_first_messages_are_leased_to_their_owner(self, backend: Backend) -> None:
        """What is due is counted as received."""
        messages = [message("1.0"), message("later", due=NOW + 5)]
        backend.runs.create([run_row()], messages, owner="w", lease_until=LEASE)
        assert [one.receipt.step for one in backend.queue.receive("x", NOW + 5, LEASE, 10)] == ["later"]
        lapsed = backend.queue.receive("x", LEASE, LEASE + 1, 10)
        assert {one.receipt.step: one.receives for one in lapsed} == {"1.0": 2, "later": 2}

    def test_an_ended_run_replaces_what_it_had_sent_before(self, backend: Backend) -> None:
        """And acknowledges what nobody has received."""
        start(backend)
        backend.queue.send([message("1.0"), message("settle", due=NOW)])
        last = commit(status="failed", ended_at=NOW, ack=[receipt("1.0")], send=[message("settle", due=NOW + 7)])
        backend.runs.commit([last])
        assert backend.queue.receive("w", NOW + 6, LEASE, 10) == []
        assert queued(backend) == ["settle"]
