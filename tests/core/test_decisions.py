"""One event, one decision: what is refused and why, what errors say, which secrets were read (R13)."""

from __future__ import annotations

import pytest
from flowrunner.core import events as ev
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.events import ErrorFacts
from flowrunner.core.flow import Foreach
from flowrunner.core.graph import build_graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import MAX_FRONTIER, SETTLE, Entry, Phase, State
from flowrunner.core.status import RunStatus

from tests.builders import flow, retry
from tests.core.harness import Run

A = StepId("1.0")
GRAPH = build_graph(flow("a; b", nodes={"b": {"foreach": Foreach("x")}}, timeout=90_000, max_steps=3))
READY = State(rev=1, frontier={A: Entry(NodeId("a"))}, deadline=500)
WAITS = State(rev=1, frontier={A: Entry(NodeId("a"), phase=Phase.WAITING, due=100)})
TOLD = State(RunStatus.COMPLETED, rev=5, frontier={SETTLE: Entry(NodeId(SETTLE))})
OVER = State(RunStatus.COMPLETED, rev=5)
QUEUED = State(RunStatus.QUEUED, rev=1)
ERROR = ErrorFacts("E", "no luck")


@pytest.mark.parametrize(
    ("state", "event", "words"),
    [
        (READY, ev.RunStarted(), "the run was started already"),
        (READY, ev.SlotGranted(), "the run is not queued"),
        (OVER, ev.CancelRequested(), "the run is completed already"),
        (READY, ev.DeadlinePassed(), "the run's deadline has not come"),
        (WAITS, ev.DeadlinePassed(), "the run's deadline has not come"),
        (OVER, ev.DeadlinePassed(), "the run is completed"),
        (QUEUED, ev.OutputFailed(ERROR), "the run is queued"),
        (OVER, ev.RunSettled(), "the run is settled already"),
        (OVER, ev.StepSucceeded(A, 1), "the run is completed"),
        (READY, ev.StepSucceeded(StepId("9.9"), 1), "step 9.9 attempt 1 is not scheduled"),
        (READY, ev.StepSucceeded(A, 2), "step 1.0 attempt 2 is not scheduled"),
        (WAITS, ev.StepSucceeded(A, 1), r"the step is not to be executed \(phase w\)"),
        (WAITS, ev.StepFailed(A, 1, ERROR), r"the step is not to be executed \(phase w\)"),
        (WAITS, ev.StepSkipped(A, 1), r"the step is not to be executed \(phase w\)"),
        (WAITS, ev.StepExpanded(A, 1, 2), r"the step is not to be executed \(phase w\)"),
        (WAITS, ev.StepWaiting(A, 1), r"the step is not to be executed \(phase w\)"),
        (READY, ev.SignalReceived(A, 1), "step 1.0 does not wait"),
        (READY, ev.TimerFired(A, 1), "step 1.0 does not wait"),
        (WAITS, ev.TimerFired(A, 1), "the timer of step 1.0 is not due"),
        (READY, ev.StepExpanded(A, 1, 2), "node a has no foreach"),
        (READY, ev.StepExpanded(A, 1, 0), "a foreach has 1 to 100000 items"),
        (READY, ev.RedriveRequested(), "the run is running; only a run that has ended can be redriven"),
        (
            TOLD,
            ev.RedriveRequested(NodeId("a")),
            "the run's end is still being told to those who wait for it; try again in a moment",
        ),
        (OVER, ev.RedriveRequested(), "no step of the run failed or was cut off; name the node to go on from"),
        (OVER, ev.RedriveRequested(NodeId("z")), "the flow has no node 'z'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(state: State, event: ev.Event, words: str) -> None:
    """R13: the words reach whoever asked, and the log."""
    with pytest.raises(Rejected, match=f"^{words}$"):
        decide(GRAPH, state, event, 99)


def test_an_item_is_not_skipped() -> None:
    """R13: and neither is a foreach that has begun."""
    run = Run(flow("a", nodes={"a": {"foreach": Foreach("x")}}))
    run.start()
    run.expand("a", 1)
    words = "^a foreach that has begun, or an item of one, is not skipped$"
    with pytest.raises(Rejected, match=words):
        run.skip("a[0]")
    run.ok("a[0]")
    with pytest.raises(Rejected, match=words):
        run.skip("a")


def test_a_decision_is_made_once_for_each_moment() -> None:
    """A timer fires in the millisecond in which it is due, and a deadline passes in its own."""
    assert decide(GRAPH, WAITS, ev.TimerFired(A, 1), 100).state.status is RunStatus.COMPLETED
    passed = decide(GRAPH, READY, ev.DeadlinePassed(), 500).state
    assert passed.error == {
        "code": "RUN_TIMEOUT",
        "message": "the run did not end within its timeout of 90 s",
        "node": "",
        "details": {},
    }


def test_what_a_run_was_born_with_stays() -> None:
    """When it started, what waits for it and which place it holds are the same from its first decision to its end."""
    born = State(rev=1, frontier=READY.frontier, started_at=7, slot="key", parent=True)
    for event in (ev.StepWaiting(A, 1), ev.StepSucceeded(A, 1), ev.StepFailed(A, 1, ERROR), ev.CancelRequested()):
        state = decide(GRAPH, born, event, 99).state
        assert (state.rev, state.started_at, state.slot, state.parent) == (2, 7, "key", True)


def test_without_a_draw_a_delay_is_half_as_long() -> None:
    """What is decided without chance, as in a dry run, is what happens on average."""
    full = build_graph(flow("a", nodes={"a": {"retry": retry(2, 1_000, jitter="full")}}))
    event = ev.StepFailed(A, 1, ErrorFacts("E", "no luck", retryable=True))
    assert decide(full, READY, event, 99).state.frontier[A].due == 99 + 500


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (ev.CancelRequested(), {"code": "CANCELLED", "message": "cancelled", "node": "", "details": {}}),
        (ev.CancelRequested("by Ada"), {"code": "CANCELLED", "message": "by Ada", "node": "", "details": {}}),
        (
            ev.OutputFailed(ErrorFacts("EXPRESSION_ERROR", "no such key", details={"at": "out"})),
            {"code": "EXPRESSION_ERROR", "message": "no such key", "node": "", "details": {"at": "out"}},
        ),
        (ev.StepFailed(A, 1, ERROR), {"code": "E", "message": "no luck", "node": "a", "details": {}}),
    ],
)
def test_the_error_of_a_run(event: ev.Event, error: dict[str, object]) -> None:
    """What expressions and people see: a code, words, the node if it was one, and details."""
    assert decide(GRAPH, READY, event, 99).state.error == error


def test_the_error_of_a_run_that_was_too_long_or_too_wide() -> None:
    """R2: the limit and what to do about it."""
    many = decide(GRAPH, State(rev=1, frontier=READY.frontier, steps=4), ev.StepWaiting(A, 1), 99).state
    assert many.error is not None
    assert many.error["message"] == "the run has started more than 3 steps; see limits.max_steps"
    wide = {StepId(f"1.{index}"): Entry(NodeId("a")) for index in range(MAX_FRONTIER + 1)}
    over = decide(GRAPH, State(rev=1, frontier=wide), ev.StepWaiting(A, 1), 99).state
    assert over.error is not None
    assert over.error["code"] == "LIMIT_HEAD"
    assert over.error["message"] == "more than 500 steps are scheduled at once; use foreach for a wide fan-out"
    del wide[A]
    wide[StepId("2.0")] = Entry(NodeId("a"))
    first = StepId("1.1")
    assert len(wide) == MAX_FRONTIER + 1
    assert decide(GRAPH, State(rev=1, frontier=wide), ev.StepSucceeded(first, 1), 99).state.error is None


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (READY, ev.StepSucceeded(A, 1, secrets=("TOKEN",))),
        (READY, ev.StepFailed(A, 1, ERROR, secrets=("TOKEN",))),
        (READY, ev.StepWaiting(A, 1, secrets=("TOKEN",))),
        (State(rev=1, frontier={A: Entry(NodeId("b"))}), ev.StepExpanded(A, 1, 2, secrets=("TOKEN",))),
        (WAITS, ev.SignalReceived(A, 1, secrets=("TOKEN",))),
        (WAITS, ev.SignalReceived(A, 1, error=ERROR, secrets=("TOKEN",))),
        (
            State(rev=1, frontier={A: Entry(NodeId("a"), phase=Phase.WAITING, due=1)}),
            ev.TimerFired(A, 1, secrets=("TOKEN",)),
        ),
    ],
)
def test_whoever_read_a_secret_is_remembered(state: State, event: ev.Event) -> None:
    """However the attempt went on: what it did with the value may show up anywhere."""
    assert decide(GRAPH, state, event, 99).state.secrets == ("TOKEN",)


def test_vars_are_written_and_removed() -> None:
    """The head names the step that wrote a key last; what a step removed is gone, what it wrote beside that is there."""
    before = State(rev=1, frontier=READY.frontier, vars={"k": StepId("0.1"), "gone": StepId("0.2")})
    event = ev.StepSucceeded(A, 1, vars=("k", "new"), removed=("gone", "never"))
    assert decide(GRAPH, before, event, 99).state.vars == {"k": A, "new": A}
    assert decide(GRAPH, before, ev.StepSucceeded(A, 1), 99).state.vars == before.vars
    assert decide(GRAPH, before, ev.StepSucceeded(A, 1, removed=("k",)), 99).state.vars == {"gone": "0.2"}
