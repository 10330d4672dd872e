"""What may come between the calls of a commit, one situation each: every rule of `journal`, `claims` and `runs` has one.

A scenario plays two processes against each other and raises `AssertionError` when a rule does not hold. They are run
twice: as they are, and with a defect planted that they must find (`test_planted_defects`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.adapters.aws.queue import TableQueue, receipt_of
from flowrunner.core.ids import NodeId, RunId, StepId
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus, Commit, RowStatus, StepRow

from tests.adapters.aws.fake_cloud import FakeCloud
from tests.adapters.aws.faults import ACCOUNT, LEASE, Crash, Faults, start

NOW = 1_700_000_000_000
MINUTE = 60_000
RUN = RunId("run")
FIRST, CHILD, OTHER = StepId("1.0"), StepId("2.0"), StepId("1.1")


@dataclass
class Scene:
    """A run of one step, a process that will have trouble, and one that has none."""

    aws: FakeCloud
    faults: Faults
    victim: DynamoBackend
    witness: DynamoBackend

    def others(self) -> DynamoBackend:
        """A process that knows nothing yet."""
        return self.aws.backend()

    def begin(self) -> None:
        assert start(self.witness, RUN, NOW)

    def queued(self) -> set[StepId]:
        """The steps that have a message."""
        queue = self.others().queue
        assert isinstance(queue, TableQueue)
        return {receipt_of(place).step for place in queue.of_run(ACCOUNT, RUN)}

    def dies_after_the_head(self, commit: Commit) -> None:
        """The victim writes the head of a commit, and nothing of what belongs to it."""
        with self.dying(lambda number, operation: "after" if operation == "UpdateItem" else None):
            self.victim.runs.commit([commit])

    @contextmanager
    def dying(self, plan: Callable[[int, str], str | None]) -> Iterator[None]:
        self.faults.plan(plan)
        try:
            yield
        except Crash:
            self.victim = self.aws.backend(dynamodb=self.faults.client)
        else:
            raise AssertionError("nobody died")
        finally:
            self.faults.plan(lambda number, operation: None)

    @contextmanager
    def held_up(self, commit: Commit, at: int) -> Iterator[None]:
        """The victim, which knows the run, commits, and stands still at a call until the others are done."""
        self.victim.runs.load([(ACCOUNT, RUN)])
        there, go = threading.Event(), threading.Event()

        def plan(number: int, _operation: str) -> str | None:
            if number == at:
                there.set()
                assert go.wait(60), "nobody let it go on"
            return None

        self.faults.plan(plan)
        worker = threading.Thread(target=lambda: self.victim.runs.commit([commit]))
        worker.start()
        try:
            assert there.wait(60), "the commit makes fewer calls"
            yield
        finally:
            go.set()
            worker.join(60)
            self.faults.plan(lambda number, operation: None)


def receipt(step: StepId, attempt: int = 1) -> Receipt:
    return Receipt(ACCOUNT, RUN, step, attempt)


def message(step: StepId, attempt: int = 1) -> Message:
    return Message(receipt(step, attempt), NOW)


def row(rev: int, status: RowStatus = RowStatus.SUCCEEDED, step: StepId = FIRST, body: bytes = b"result") -> StepRow:
    return StepRow(step, 1, NodeId("n"), status, rev, body)


def commit(rev: int, *, ends: bool = False, **fields: Any) -> Commit:
    """A commit that takes the run to `rev`."""
    over: dict[str, Any] = {"ended_at": NOW, "result": b"done"} if ends else {}
    return Commit(
        account=ACCOUNT,
        run=RUN,
        expected_rev=rev - 1,
        rev=rev,
        **{"head": b"{}", "status": "completed" if ends else "running", **over, **fields},
    )


def claim(
    backend: DynamoBackend, owner: str, *, step: StepId = FIRST, now: int = NOW, at_most_once: bool = False
) -> ClaimAnswer:
    request = ClaimRequest(ACCOUNT, RUN, step, 1, NodeId("n"), owner, now, now + LEASE, b"begun", at_most_once)
    return backend.runs.claim([request])[0]


def the_row(backend: DynamoBackend, step: StepId = FIRST) -> StepRow:
    found = backend.history.step(ACCOUNT, RUN, step, 1)
    assert found is not None, f"the row of {step} is lost"
    return found


# -- readers ----------------------------------------------------------------------------------------------------------


def what_is_committed_is_read(scene: Scene) -> None:
    """Whoever reads looks into the outbox too."""
    scene.begin()
    scene.dies_after_the_head(commit(2, steps=[row(2)], ack=[receipt(FIRST)], send=[message(CHILD)]))
    history = scene.others().history
    wanted = [row(2)]
    assert history.step(ACCOUNT, RUN, FIRST, 1) == wanted[0], "by its name"
    assert history.step(ACCOUNT, RUN, FIRST) == wanted[0], "the last attempt"
    assert list(history.steps(ACCOUNT, RUN)) == wanted, "with all others"
    assert list(history.committed(ACCOUNT, RUN, after_rev=1)) == wanted, "as news"
    assert list(history.open_steps(ACCOUNT, RUN)) == []


def what_is_committed_is_read_over_what_was(scene: Scene) -> None:
    """The row is there and says that the step is under way; the outbox knows better."""
    scene.begin()
    assert claim(scene.witness, "w").status is ClaimStatus.GRANTED
    scene.dies_after_the_head(commit(2, steps=[row(2)], ack=[receipt(FIRST)]))
    history = scene.others().history
    assert history.step(ACCOUNT, RUN, FIRST, 1) == row(2)
    assert list(history.steps(ACCOUNT, RUN)) == [row(2)]
    assert list(history.open_steps(ACCOUNT, RUN)) == []


def items_are_read_from_the_outbox(scene: Scene) -> None:
    """Those of a foreach, whose body was one commit."""
    scene.begin()
    items = [row(2, step=StepId(f"1.0[{index}]")) for index in range(3)]
    scene.dies_after_the_head(commit(2, steps=items))
    assert list(scene.others().history.item_steps(ACCOUNT, RUN, FIRST)) == items


# -- claims -----------------------------------------------------------------------------------------------------------


def nothing_committed_is_claimed(scene: Scene) -> None:
    """W1 has read the run; W2 commits and dies before the row; W1 claims."""
    scene.begin()
    late = scene.others()
    late.runs.load([(ACCOUNT, RUN)])
    scene.dies_after_the_head(commit(2, steps=[row(2)], ack=[receipt(FIRST)]))
    answer = claim(late, "late")
    assert answer.status is ClaimStatus.DONE
    assert answer.row == row(2)


def nothing_is_claimed_after_a_cancel(scene: Scene) -> None:
    """Whatever the process that claims has read before."""
    scene.begin()
    late = scene.others()
    late.runs.load([(ACCOUNT, RUN)])
    assert scene.witness.runs.commit([commit(2, ends=True, status="cancelled")]) == [True]
    assert claim(late, "late").status is ClaimStatus.OVER


def a_claim_whose_answer_was_lost_holds(scene: Scene) -> None:
    """Botocore repeats it, finds it refused, and the lease is ours all the same; nothing says that it was tried."""
    scene.begin()
    scene.faults.plan(lambda number, operation: "lost answer" if operation == "UpdateItem" else None)
    answer = claim(scene.victim, "victim", at_most_once=True)
    assert (answer.status, answer.claims) == (ClaimStatus.GRANTED, 1)


def at_most_once_is_claimed_once(scene: Scene) -> None:
    """Also when the lease is long over."""
    scene.begin()
    assert claim(scene.witness, "w1", at_most_once=True).status is ClaimStatus.GRANTED
    assert claim(scene.others(), "w2", at_most_once=True).status is ClaimStatus.HELD
    assert claim(scene.others(), "w2", now=NOW + LEASE, at_most_once=True).status is ClaimStatus.LAPSED


def a_lease_holds_until_it_ends(scene: Scene) -> None:
    """And is counted each time."""
    scene.begin()
    assert claim(scene.witness, "w1").status is ClaimStatus.GRANTED
    assert claim(scene.others(), "w2", now=NOW + LEASE - 1).status is ClaimStatus.HELD
    again = claim(scene.others(), "w2", now=NOW + LEASE)
    assert (again.status, again.claims) == (ClaimStatus.GRANTED, 2)


# -- commits ----------------------------------------------------------------------------------------------------------


def one_of_two_commits_wins(scene: Scene) -> None:
    """Both were made for the same head."""
    scene.begin()
    late = scene.others()
    late.runs.load([(ACCOUNT, RUN)])
    assert scene.witness.runs.commit([commit(2, steps=[row(2, body=b"mine")])]) == [True]
    assert late.runs.commit([commit(2, steps=[row(2, body=b"late")])]) == [False]
    assert the_row(scene.others()).body == b"mine"


def a_commit_whose_answer_was_lost_is_known(scene: Scene) -> None:
    """Botocore repeats it, and the condition fails on our own write: it is no lost race."""
    scene.begin()
    scene.faults.plan(
        lambda number, operation: "lost answer" if scene.faults.operations.count("UpdateItem") == 1 else None
    )
    assert scene.victim.runs.commit([commit(2, steps=[row(2)], ack=[receipt(FIRST)], send=[message(CHILD)])]) == [True]
    assert scene.queued() == {CHILD}


def what_a_commit_owes_is_carried_on(scene: Scene) -> None:
    """The next commit, another branch's, takes over the messages and writes the rows."""
    scene.begin()
    assert scene.witness.runs.commit([commit(2, send=[message(OTHER)])]) == [True]
    scene.dies_after_the_head(commit(3, steps=[row(3)], ack=[receipt(FIRST)], send=[message(CHILD)]))
    other = scene.others()
    assert other.runs.commit([commit(4, steps=[row(4, step=OTHER)], ack=[receipt(OTHER)])]) == [True]
    assert the_row(scene.others()) == row(3)
    scene.others().queue.ack([receipt(FIRST)])  # the first message comes again, and has nothing to do
    assert scene.queued() == {CHILD}


def an_old_message_tells_nothing_of_a_redrive(scene: Scene) -> None:
    """A step that was cut off comes with a message of before, and not because what sent it anew has been settled."""
    scene.begin()
    end = commit(2, ends=True, status="cancelled")
    again = commit(3, reopened=True, send=[message(OTHER)])
    assert scene.witness.runs.commit([end]) == [True]
    assert scene.witness.runs.commit([again]) == [True]
    on_the_way = commit(4, steps=[row(4, step=OTHER)], ack=[receipt(OTHER)], send=[message(FIRST)])
    scene.dies_after_the_head(on_the_way)
    assert scene.others().runs.commit([commit(5, steps=[row(5)], ack=[receipt(FIRST)])]) == [True]
    assert the_row(scene.others(), OTHER) == row(4, step=OTHER)


def who_dies_has_not_acknowledged(scene: Scene) -> None:
    """At whatever call: either the message is there still, or what it led to is."""
    step = commit(2, steps=[row(2)], ack=[receipt(FIRST)], send=[message(CHILD)])
    for number in (1, 2, 3):
        scene.begin()
        scene.victim.runs.load([(ACCOUNT, RUN)])
        with scene.dying(lambda call, _operation, number=number: "after" if call == number else None):  # type: ignore[misc]  # bound now
            scene.victim.runs.commit([step])
        assert scene.queued() != set(), f"nothing leads on after call {number}"
        scene.others().queue.ack([receipt(FIRST)])
        assert scene.queued() == {CHILD}, f"the child is lost after call {number}"
        assert scene.witness.history.delete(ACCOUNT, RUN)


def a_message_that_comes_again_settles_what_it_led_to(scene: Scene) -> None:
    """Before it goes."""
    scene.begin()
    scene.dies_after_the_head(commit(2, steps=[row(2)], ack=[receipt(FIRST)], send=[message(CHILD)]))
    assert scene.queued() == {FIRST}
    scene.others().queue.ack([receipt(FIRST)])
    assert scene.queued() == {CHILD}
    assert the_row(scene.others()) == row(2)


def the_end_of_a_run_takes_its_messages_along(scene: Scene) -> None:
    """Also when whoever ended it died on the way."""
    scene.begin()
    assert scene.witness.runs.commit([commit(2, send=[message(OTHER)])]) == [True]
    scene.dies_after_the_head(commit(3, ends=True, steps=[row(3)], ack=[receipt(FIRST)]))
    scene.others().queue.ack([receipt(FIRST)])
    assert scene.queued() == set()


def a_result_without_a_commit_learns_its_revision(scene: Scene) -> None:
    """It was recorded before the commit that took it."""
    scene.begin()
    assert scene.witness.runs.commit([commit(2, head=None, steps=[row(0)])]) == [True]
    assert scene.others().runs.commit([commit(2, steps=[row(2, body=b"another")])]) == [True]
    assert scene.others().runs.commit([commit(3)]) == [True]
    assert the_row(scene.others()) == row(2), "the first result stays, and knows its commit"


# -- held up ----------------------------------------------------------------------------------------------------------


def who_is_held_up_turns_no_row_back(scene: Scene) -> None:
    """It comes with the row of an earlier commit when a later one has written its own."""
    for later in (row(3, RowStatus.WAITING, body=b"later"), row(3)):
        scene.begin()
        with scene.held_up(commit(2, steps=[row(2, RowStatus.WAITING)], ack=[receipt(FIRST)]), at=2):
            other = scene.others()
            assert other.runs.commit([commit(3, steps=[later])]) == [True]
            assert other.runs.commit([commit(4)]) == [True]  # the head remembers the row no more
            assert the_row(other) == later
        assert the_row(scene.others()) == later
        assert scene.witness.history.delete(ACCOUNT, RUN)


def who_is_held_up_takes_no_message_away(scene: Scene) -> None:
    """It acknowledges what a later commit has sent again."""
    scene.begin()
    first = commit(2, steps=[row(2, RowStatus.WAITING)], ack=[receipt(FIRST)])
    with scene.held_up(first, at=3):
        assert scene.others().runs.commit([commit(3, send=[message(FIRST)])]) == [True]
    assert scene.queued() == {FIRST}


def who_ends_a_run_late_leaves_its_redrive_alone(scene: Scene) -> None:
    """The run was reopened, and has messages again, before its end had taken the old ones along."""
    scene.begin()
    end = commit(2, ends=True, status="failed", steps=[row(2, RowStatus.FAILED)], ack=[receipt(FIRST)])
    with scene.held_up(end, at=3):
        assert scene.others().runs.commit([commit(3, reopened=True, send=[message(OTHER)])]) == [True]
    assert OTHER in scene.queued()


# -- creation ---------------------------------------------------------------------------------------------------------


def a_run_that_is_asked_for_again_is_begun(scene: Scene) -> None:
    """Its creator died before it had sent the first message."""
    with scene.dying(lambda number, operation: "after" if operation == "TransactWriteItems" else None):
        start(scene.victim, RUN, NOW)
    assert start(scene.others(), RUN, NOW) is False
    assert scene.queued() == {FIRST}


def a_run_that_nobody_asks_for_is_begun(scene: Scene) -> None:
    """A minute later."""
    with scene.dying(lambda number, operation: "after" if operation == "TransactWriteItems" else None):
        start(scene.victim, RUN, NOW)
    scene.others().sweep(NOW + MINUTE + 1)
    assert scene.queued() == {FIRST}


SCENARIOS: Sequence[Callable[[Scene], None]] = (
    what_is_committed_is_read,
    what_is_committed_is_read_over_what_was,
    items_are_read_from_the_outbox,
    nothing_committed_is_claimed,
    nothing_is_claimed_after_a_cancel,
    a_claim_whose_answer_was_lost_holds,
    at_most_once_is_claimed_once,
    a_lease_holds_until_it_ends,
    one_of_two_commits_wins,
    a_commit_whose_answer_was_lost_is_known,
    what_a_commit_owes_is_carried_on,
    an_old_message_tells_nothing_of_a_redrive,
    who_dies_has_not_acknowledged,
    a_message_that_comes_again_settles_what_it_led_to,
    the_end_of_a_run_takes_its_messages_along,
    a_result_without_a_commit_learns_its_revision,
    who_is_held_up_turns_no_row_back,
    who_is_held_up_takes_no_message_away,
    who_ends_a_run_late_leaves_its_redrive_alone,
    a_run_that_is_asked_for_again_is_begun,
    a_run_that_nobody_asks_for_is_begun,
)
