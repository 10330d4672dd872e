"""Whatever call to AWS an executor fails at, what it began is finished, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.adapters.aws.claims import Claims
from flowrunner.adapters.aws.journal import Journal
from flowrunner.adapters.aws.outbox import Entry
from flowrunner.adapters.aws.runs import DynamoRuns
from flowrunner.adapters.aws.sqs import SqsQueue
from flowrunner.core.ids import RunId
from flowrunner.engine.fold import Fold
from flowrunner.engine.invocation import Invocations
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, NotFound
from flowrunner.ports.runs import Commit

from tests.adapters.aws.calls import FAULTS
from tests.adapters.aws.fake_cloud import FAST
from tests.adapters.aws.flows import FLOWS, document
from tests.adapters.aws.lambdas import Installation, Story, check, installation, quiet
from tests.engine.harness import ACCOUNT

MODES = pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])


@pytest.fixture
def aws() -> Iterator[Installation]:
    with installation() as made:
        yield made


def through(aws: Installation, flow: StartRequest, run: str) -> RunId:
    """Start a run, and go on until nothing is left; whoever waits for an answer gets one."""
    id = aws.start(flow, run)
    finish(aws, id)
    return id


def finish(aws: Installation, run: RunId) -> None:
    aws.work()
    if aws.people.engine.run(ACCOUNT, run).status == "waiting":
        answer(aws, run)
        aws.work()


def answer(aws: Installation, run: RunId) -> None:
    try:
        aws.people.engine.control.signal(ACCOUNT, run, "a", {"answer": 42})
    except (NotFound, Conflict):
        return  # it does not wait (yet)


def measured(aws: Installation, flow: StartRequest) -> tuple[Story, int]:
    """What the flow comes to without faults, and how many calls its executor makes for it."""
    through(aws, flow, "warm-up")  # the flow is compiled, and its revision need not be read again
    door = aws.executor(FAST).door
    door.plan(lambda number, name: None)
    aws.ledger.touched.clear()
    expected = check(aws, through(aws, flow, "calm"))
    assert aws.trouble == []
    assert len(aws.ledger.touched) == len(set(aws.ledger.touched)), "each step is executed once"
    quiet(aws)
    assert {lane.most_receives for lane in aws.cloud.queues.lanes.values()} <= {0, 1}
    return expected, len(door.calls)


def ambiguous(told: Story, expected: Story) -> bool:
    """Whether a step that may not be executed twice was given up instead, and nothing else is different."""
    return told.error == "AMBIGUOUS" and told.steps[1:] == () and expected.error is None


def fails_everywhere(aws: Installation, name: str, *, express: bool) -> None:
    """Run a flow once for each kind of fault at each call of its executor. Raises `AssertionError` if one does harm."""
    # A sweep would help out minutes later, and hide what is wrong. Only a child run whose creator died needs one.
    aws.looks_after = name == "child"
    flow = aws.save(document(name, express=express))
    expected, calls = measured(aws, flow)
    for kind in FAULTS:
        for number in range(1, calls + 1):
            aws.executor(FAST).door.plan(lambda call, _name, at=number, kind=kind: kind if call == at else None)  # type: ignore[misc]  # bound now
            aws.ledger.touched.clear()
            told = check(aws, through(aws, flow, f"{kind} at {number}"))
            if name == "once" and ambiguous(told, expected):
                assert len(aws.ledger.touched) <= 1
            else:
                assert told == expected, f"{kind} at call {number}"
            if name == "once":
                first = [one for one in aws.ledger.touched if one[1] == "1.0"]
                assert len(first) <= 1, f"{kind} at call {number}"
            quiet(aws)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("name", FLOWS)
def test_an_executor_may_fail_at_any_call(aws: Installation, name: str, express: bool) -> None:
    """Each kind of fault at each call: the run ends as it does without, and nothing committed is executed again."""
    fails_everywhere(aws, name, express=express)


# -- the harness itself ------------------------------------------------------------------------------------------------


def nothing_is_settled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "settle_acknowledged", lambda self, receipts, bearers: None)


def timers_are_taken_for_sent(patch: pytest.MonkeyPatch) -> None:
    without = Entry.without_letters
    patch.setattr(Entry, "without_letters", lambda self, receipts, *, anew=True: without(self, receipts, anew=True))
    # The engine gives back a message that its run lives on, which would hide it.
    patch.setattr(Fold, "done_with", lambda self, receipt, *, taken: self.acks.append(receipt))


def messages_go_before_rows(patch: pytest.MonkeyPatch) -> None:
    flush = DynamoRuns._flush

    def hasty(self: DynamoRuns, commit: Commit, entry: Entry) -> None:
        self._outlet.put(entry.letters)
        flush(self, commit, entry)

    patch.setattr(DynamoRuns, "_flush", hasty)


def messages_bear_themselves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqsQueue, "bearers", lambda self, receipts: receipts)


def nothing_is_at_most_once(patch: pytest.MonkeyPatch) -> None:
    claim = Claims._claim
    patch.setattr(Claims, "_claim", lambda self, one, head: claim(self, replace(one, at_most_once=False), head))


def what_fails_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Invocations, "handle", _swallowed(Invocations.handle))


def _swallowed(handle: Callable[..., Any]) -> Callable[..., Any]:
    def careless(*args: Any) -> list[Any]:
        handle(*args)
        return []

    return careless


DEFECTS = (
    (nothing_is_settled, "linear", False),
    (nothing_is_settled, "linear", True),
    (timers_are_taken_for_sent, "waits", False),
    (messages_go_before_rows, "linear", False),
    (messages_bear_themselves, "linear", True),
    (nothing_is_at_most_once, "once", False),
    (what_fails_is_taken_for_done, "linear", False),
)


@pytest.mark.parametrize(("defect", "name", "express"), DEFECTS)
def test_a_planted_defect_is_found(
    aws: Installation, defect: Callable[[pytest.MonkeyPatch], None], name: str, express: bool, monkeypatch: Any
) -> None:
    """Otherwise these tests would show nothing."""
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        fails_everywhere(aws, name, express=express)
