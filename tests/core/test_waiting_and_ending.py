"""Steps that wait, and the many ways in which a run ends (R9 to R12)."""

from __future__ import annotations

import pytest
from flowrunner.core import events as ev
from flowrunner.core.commands import CancelChild, EndRun, ScheduleStep
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.ending import move
from flowrunner.core.flow import Foreach, OnError
from flowrunner.core.graph import build_graph
from flowrunner.core.ids import StepId
from flowrunner.core.state import DEADLINE, SETTLE, State
from flowrunner.core.status import TRANSITIONS, RunStatus
from flowrunner.core.turn import Turn

from tests.builders import flow, retry
from tests.core.harness import Run
from tests.core.records import Fact


def running(clauses: str = "a -> b", **options: object) -> Run:
    """A run that has begun."""
    run = Run(flow(clauses, **options))  # type: ignore[arg-type]  # a helper's keywords are its callers'
    run.start()
    return run


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_a_signal_ends_a_wait_with_its_action() -> None:
    """R9: the answer names the way on."""
    run = running("a -approved-> b; a -rejected-> c")
    decision = run.wait("a")
    assert decision.commands == ()
    assert run.state.shown_status == "waiting"
    run.signal("a", "rejected")
    assert run.active == ["c"]


def test_a_timer_ends_a_wait_when_it_is_due() -> None:
    """R9: its message is owed at that moment, and not a millisecond before is it taken."""
    run = running()
    decision = run.wait("a", run.now + 500)
    assert decision.commands == (ScheduleStep(StepId("1.0"), 1, run.now + 500),)
    run.now += 499
    with pytest.raises(Rejected, match="not due"):
        run.timer("a")
    run.now += 1
    run.timer("a")
    assert run.active == ["b"]


def test_a_wait_without_a_timer_has_none() -> None:
    """R9: a timer that was never set does not fire."""
    run = running()
    run.wait("a")
    with pytest.raises(Rejected):
        run.timer("a")


def test_a_signal_with_an_error_fails_the_step() -> None:
    """R9: a child run that failed is a failure of the step that waited for it."""
    run = running("a -error-> c")
    run.wait("a", child=True)
    run.signal("a", error="CHILD_FAILED")
    assert run.active == ["c"]


@pytest.mark.parametrize(
    ("waiting", "others", "shown"),
    [("", "a", "running"), ("a", "", "waiting"), ("a", "b", "running"), ("e[0]", "", "waiting")],
)
def test_a_run_is_shown_as_waiting_when_nothing_else_happens(waiting: str, others: str, shown: str) -> None:
    """`waiting` is a view of a running run: every step waits, or is a foreach whose items do."""
    names = [label for label in (waiting[:1], others) if label]
    nodes = {"e": {"foreach": Foreach("x")}} if "e" in names else {}
    run = running("; ".join(names), nodes=nodes)
    if "[" in waiting:
        run.expand("e", 1)
    if waiting:
        run.wait(waiting)
    assert run.state.shown_status == shown


def test_current_nodes_are_named_once() -> None:
    """People see at which nodes the run is."""
    run = running("a -> c; b -> c, d")
    run.ok("a")
    run.ok("b")
    assert run.state.current_nodes == ("c", "d")
    run.cancel()
    assert not run.state.current_nodes
    assert run.state.shown_status == "cancelled"


# -- the ends ---------------------------------------------------------------------------------------------------------


def test_an_empty_frontier_completes_the_run() -> None:
    """R10: with progress 100."""
    run = running()
    run.ok("a")
    decision = run.ok("b")
    assert decision.commands == (EndRun(RunStatus.COMPLETED),)
    assert (run.status, run.state.progress) == ("completed", 100)


def test_a_cancel_stops_at_once_and_cancels_children() -> None:
    """R11: nothing is scheduled any more, what was is parked, and runs that were waited for are cancelled too."""
    run = running("a; b")
    run.wait("b", child=True)
    decision = run.cancel()
    assert decision.commands == (CancelChild("child-of-1.1-1"), EndRun(RunStatus.CANCELLED))
    assert (run.status, run.error) == ("cancelled", "CANCELLED")
    with pytest.raises(Rejected, match="cancelled already"):
        run.cancel()


def test_a_deadline_fails_the_run() -> None:
    """R11: it has a message of its own; the error says what the timeout was."""
    run = Run(flow("a", timeout=90_000))
    decision = run.start()
    assert decision.commands[0] == ScheduleStep(DEADLINE, 1, 91_000)
    with pytest.raises(Rejected, match="has not come"):
        run.happen(Fact("deadline"))
    run.now = 91_000
    run.happen(Fact("deadline"))
    assert run.error == "RUN_TIMEOUT"
    assert run.state.error is not None
    assert run.state.error["message"] == "the run did not end within its timeout of 90 s"


def test_a_late_result_finds_the_deadline_passed() -> None:
    """R11: no event makes a run go on after its timeout, whether or not the message has come."""
    run = Run(flow("a -> b", timeout=1_000))
    run.start()
    run.now += 1_000
    run.ok("a")
    assert run.error == "RUN_TIMEOUT"


def test_without_a_timeout_there_is_no_deadline() -> None:
    """R13: a stray message changes nothing."""
    with pytest.raises(Rejected):
        running().happen(Fact("deadline"))


def test_failed_outputs_fail_the_run() -> None:
    """A run whose `outputs` cannot be evaluated is not completed."""
    run = running()
    run.happen(Fact("output_failed", code="EXPRESSION_ERROR"))
    assert (run.status, run.error) == ("failed", "EXPRESSION_ERROR")


def test_retry_run_starts_from_nothing() -> None:
    """R3: nodes, joins and vars are forgotten; the restart waits for the policy's delay; then the budget is spent."""
    run = running("a -> b; c; j needs a, c", on_error=OnError.RETRY_RUN, retry_run=retry(2, 5_000))
    run.ok("a", keys=("k",))
    run.fail("b")
    assert run.phases == {"a": "r", "c": "r"}
    assert run.due("a") == run.now + 5_000
    assert (run.state.attempt, run.state.vars, run.state.nodes, run.state.joins) == (2, {}, {}, {})
    run.ok("a")
    run.fail("b")
    assert run.status == "failed"


def test_a_restart_keeps_its_deadline_and_its_steps() -> None:
    """R3 and R11: trying again does not buy time or steps."""
    run = running("a", on_error=OnError.RETRY_RUN, retry_run=retry(9), timeout=10_000, max_steps=2)
    deadline = run.state.deadline
    run.fail("a")
    assert run.state.deadline == deadline
    run.fail("a")
    assert run.error == "STEP_LIMIT_EXCEEDED"


def test_a_restart_cancels_children() -> None:
    """R3: what the first start waited for is nobody's any more."""
    run = running("a; b", on_error=OnError.RETRY_RUN, retry_run=retry(2))
    run.wait("a", child=True)
    assert CancelChild("child-of-1.0-1") in run.fail("b").commands


def test_a_restart_by_a_join_is_checked_at_once() -> None:
    """R2: the limits hold for the decision that restarts, not from the next event on."""
    run = running("a; b; j needs a, b any", on_error=OnError.RETRY_RUN, retry_run=retry(9), max_steps=4)
    run.fail("a")
    run.fail("b")
    assert (run.status, run.error, run.state.retries) == ("failed", "STEP_LIMIT_EXCEEDED", 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [(before, after) for before in RunStatus for after in RunStatus if after not in TRANSITIONS[before]],
    ids=str,
)
def test_no_transition_beside_the_table(before: RunStatus, after: RunStatus) -> None:
    """R13: whatever a rule may want, a status that the table does not lead to is rejected."""
    turn = Turn(build_graph(flow("a")), State(status=before), 0, 0.5)
    with pytest.raises(Rejected, match="cannot become"):
        move(turn, after)
    assert turn.status is before


def test_secrets_that_were_read_are_remembered() -> None:
    """The head names them, each once and sorted, for masking; values are never there."""
    run = running("a -> b; b -> c")
    for label, names in (("a", ("Z", "A")), ("b", ("A",)), ("c", ("M",))):
        event = ev.StepSucceeded(run.step(label), 1, secrets=names)
        run.state = decide(run.graph, run.state, event, run.now).state
    assert run.state.secrets == ("A", "M", "Z")


# -- places and parents -----------------------------------------------------------------------------------------------


def test_a_queued_run_begins_when_it_gets_its_place() -> None:
    """Nothing is scheduled before, and its timeout counts from then."""
    run = Run(flow("a", timeout=5_000), slot="customer-7")
    assert run.start(queued=True).commands == ()
    assert run.status == "queued"
    run.now += 60_000
    run.happen(Fact("grant"))
    assert run.active == ["a"]
    assert run.state.deadline == run.now + 5_000


def test_a_queued_run_can_be_cancelled() -> None:
    """R11: and settles, since it has a place in the queue to give back."""
    run = Run(flow("a"), slot="customer-7")
    run.start(queued=True)
    run.cancel()
    assert (run.status, run.active) == ("cancelled", ["settle"])


@pytest.mark.parametrize(
    ("slot", "parent", "settles"), [(None, False, False), ("k", False, True), (None, True, True), ("k", True, True)]
)
def test_whoever_waits_for_the_end_is_told(slot: str | None, parent: bool, settles: bool) -> None:
    """R12: one more step is owed until it is settled; a run that nobody waits for owes none."""
    run = Run(flow("a"), slot=slot, parent=parent)
    run.start()
    decision = run.ok("a")
    assert (ScheduleStep(SETTLE, 1, run.now) in decision.commands) is settles
    if settles:
        with pytest.raises(Rejected, match="still being told"):
            run.redrive("a")
        run.settle()
        assert run.state.slot is None
    assert run.state.frontier == {}
    with pytest.raises(Rejected):
        run.settle()


# -- events that do not fit -------------------------------------------------------------------------------------------

A = StepId("1.0")
EVENTS: dict[str, list[ev.Event]] = {
    "new": [
        ev.SlotGranted(),
        ev.RedriveRequested(),
        ev.RunSettled(),
        ev.StepSucceeded(A, 1),
    ],
    "running": [
        ev.RunStarted(),
        ev.SlotGranted(),
        ev.RedriveRequested(),
        ev.RunSettled(),
        ev.DeadlinePassed(),
        ev.StepSucceeded(A, 2),
        ev.StepSucceeded(A, 0),
        ev.StepSucceeded(StepId("9.9"), 1),
        ev.StepSucceeded(StepId("1.0[0]"), 1),
        ev.SignalReceived(A, 1),
        ev.TimerFired(A, 1),
    ],
    "waiting": [
        ev.StepSucceeded(A, 1),
        ev.StepFailed(A, 1, ev.ErrorFacts("E", "")),
        ev.StepSkipped(A, 1),
        ev.StepWaiting(A, 1),
        ev.SignalReceived(A, 2),
    ],
    "held": [ev.StepSucceeded(StepId("1.1"), 1), ev.SignalReceived(StepId("1.1"), 1)],
    "over": [
        ev.StepSucceeded(A, 1),
        ev.SignalReceived(A, 1),
        ev.CancelRequested(),
        ev.DeadlinePassed(),
        ev.OutputFailed(ev.ErrorFacts("E", "")),
        ev.RunStarted(),
        ev.RunSettled(),
        ev.RedriveRequested(),
    ],
}


@pytest.mark.parametrize(
    ("moment", "event"), [(moment, event) for moment, events in EVENTS.items() for event in events], ids=str
)
def test_what_does_not_fit_is_rejected(moment: str, event: ev.Event) -> None:
    """R13: a duplicate, a late or a premature event raises and leaves the state as it was."""
    run = Run(flow("a; b", max_parallel=1))
    if moment != "new":
        run.start()
    if moment == "waiting":
        run.wait("a")
    if moment == "over":
        run.ok("a")
        run.ok("b")
    before = run.state
    with pytest.raises(Rejected):
        decide(run.graph, run.state, event, run.now)
    assert run.state is before
