"""What people do at the worst moment, at every call of an executor; and messages that come often, and in no order.

Random faults miss races: each of these was aimed at every call in turn.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from flowrunner.core.ids import RunId
from flowrunner.engine.starter import StartRequest
from flowrunner.errors import Conflict, NotFound

from tests.adapters.aws.calls import FAULTS
from tests.adapters.aws.fake_cloud import FAST, SLOW
from tests.adapters.aws.flows import FLOWS, document
from tests.adapters.aws.lambdas import Installation, Story, check, ended, installation, quiet
from tests.engine.harness import ACCOUNT

STORMS = int(os.environ.get("FLOWRUNNER_STORMS", "4"))
"""How many storms; set it to thousands for a night."""

AIMED = ("linear", "join", "foreach", "retry", "once")


def finish(aws: Installation, run: RunId) -> None:
    aws.work()
    if aws.people.engine.run(ACCOUNT, run).status == "waiting":
        signal(aws, run)
        aws.work()


def signal(aws: Installation, run: RunId) -> None:
    try:
        aws.people.engine.control.signal(ACCOUNT, run, "a", {"answer": 42})
    except (NotFound, Conflict):
        return  # it does not wait, or not any more


def measured(aws: Installation, flow: StartRequest) -> tuple[Story, int]:
    """What the flow comes to, and the calls that its executor makes."""
    for name in ("warm-up", "calm"):
        aws.executor(FAST).door.plan(lambda number, name: None)
        run = aws.start(flow, name)
        finish(aws, run)
    return check(aws, run), len(aws.executor(FAST).door.calls)


def aim(aws: Installation, at: int, what: Callable[[], None]) -> None:
    """Let somebody do something just before a call of the executor."""

    def plan(number: int, _name: str) -> None:
        if number == at:
            what()

    aws.executor(FAST).door.plan(plan)


@pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])
@pytest.mark.parametrize("name", AIMED)
def test_a_cancel_holds_wherever_it_comes(name: str, express: bool) -> None:
    """One terminal status, and nothing begins from a state read later; a redrive then goes on to the end."""
    with installation() as aws:
        flow = aws.save(document(name, express=express))
        expected, calls = measured(aws, flow)
        for at in range(1, calls + 1):
            cancelled: list[int] = []

            def cancel(run: RunId, cancelled: list[int] = cancelled) -> None:
                try:
                    aws.people.engine.control.cancel(ACCOUNT, run)
                    cancelled.append(aws.invoked)
                except Conflict:
                    return  # it had ended

            run = RunId(f"cancelled at {at}")
            aws.ledger.touched.clear()
            aim(aws, at, lambda run=run, cancel=cancel: cancel(run))  # type: ignore[misc]  # bound now
            aws.touches.clear()
            aws.start(flow, run)
            aws.work()
            told = check(aws, run)
            if not cancelled:
                assert told == expected
                continue
            assert told.status == "cancelled", f"cancelled before call {at}"
            late = [one for one in aws.touches if one > cancelled[0]]
            assert late == [], "an invocation that began after the cancel has executed a step"
            if name != "once":  # there the step that was cut off may not be executed again
                aws.people.engine.control.redrive(ACCOUNT, run)
                aws.work()
                again = check(aws, run)
                assert (again.status, again.output) == (expected.status, expected.output)
            quiet(aws)


@pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])
def test_a_redrive_goes_on_wherever_it_comes(express: bool) -> None:
    """The run is cancelled and driven on in one moment, while a step of it is being executed."""
    with installation() as aws:
        flow = aws.save(document("join", express=express))
        expected, calls = measured(aws, flow)
        for at in range(1, calls + 1):
            run = RunId(f"redriven at {at}")

            def both(run: RunId = run) -> None:
                control = aws.people.engine.control
                try:
                    control.cancel(ACCOUNT, run)
                    control.redrive(ACCOUNT, run)
                except Conflict:
                    return  # it had ended

            aim(aws, at, both)
            aws.start(flow, run)
            aws.work()
            told = check(aws, run)
            assert (told.status, told.output) == (expected.status, expected.output), f"before call {at}"
            quiet(aws)


@pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])
def test_an_answer_arrives_whenever_it_comes(express: bool) -> None:
    """Before the step waits, as it begins to, and while somebody looks for an earlier one."""
    with installation() as aws:
        flow = aws.save(document("callback", express=express))
        expected, calls = measured(aws, flow)
        for at in range(1, calls + 1):
            run = RunId(f"answered at {at}")
            aim(aws, at, lambda run=run: signal(aws, run))  # type: ignore[misc]  # bound now
            aws.start(flow, run)
            finish(aws, run)
            assert check(aws, run) == expected, f"before call {at}"
            quiet(aws)


@pytest.mark.slow
@pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])
def test_messages_may_come_often_and_in_any_order(express: bool) -> None:
    """2,500 deliveries in each mode, each message ten times: nothing is lost, and nothing taken twice."""
    with installation(chance=random.Random(7), copies=10, warm=3) as aws:
        expected: dict[RunId, Story] = {}
        with installation() as calm:
            stories = {}
            for name in FLOWS:
                run = calm.start(calm.save(document(name, express=express)), name)
                finish(calm, run)
                stories[name] = check(calm, run)
        flows = {name: aws.save(document(name, express=express)) for name in FLOWS}
        number = 0
        while aws.invoked < 2_500:
            number += 1
            for name, flow in flows.items():
                expected[aws.start(flow, f"{name} {number}")] = stories[name]
            aws.work()
            for run in expected:
                signal_if_waiting(aws, run)
            aws.work()
        for run, story in expected.items():
            assert check(aws, run) == story
        touched = aws.ledger.touched
        assert len(touched) == len(set(touched)), "a step was executed twice, one copy after the other"
        quiet(aws)


def signal_if_waiting(aws: Installation, run: RunId) -> None:
    if aws.people.engine.run(ACCOUNT, run).status == "waiting":
        signal(aws, run)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(STORMS))
def test_storms_lose_nothing(seed: int) -> None:
    """One call in twelve fails in some way, messages come twice and in any order, runs are cancelled meanwhile."""
    chance = random.Random(seed)
    with installation(chance=random.Random(seed), copies=2, warm=2) as aws:
        runs: list[RunId] = []
        for name in FLOWS:
            for express in (False, True):
                flow = aws.save(document(name, express=express))
                runs.append(aws.start(flow, f"{name} {express} {seed}"))
        left = {"faults": 150}

        def fault(_number: int, _name: str) -> str | None:
            if left["faults"] and chance.random() < 1 / 12:
                left["faults"] -= 1
                return chance.choice(FAULTS)
            return None

        for _ in range(2_000):
            for lane in (FAST, SLOW):
                aws.executor(lane).door.plan(fault)
            if not aws.deliver():
                aws.wait()
            if chance.random() < 1 / 200:
                try:
                    aws.people.engine.control.cancel(ACCOUNT, chance.choice(runs))
                except Conflict:
                    continue
            if not left["faults"]:
                break
        for process in (FAST, SLOW):
            for number in range(2):
                aws.invoked += number
                aws.executor(process).door.plan(lambda number, name: None)
        for _ in range(3):
            aws.work()
            for run in runs:
                signal_if_waiting(aws, run)
        for run in runs:
            told = check(aws, run)
            assert told.status in ("completed", "cancelled", "failed")
            if told.status == "failed":
                assert told.error in ("AMBIGUOUS", "CRASH_LOOP", "ENGINE_ERROR"), told
            attempts = ended(aws.people.engine.steps(ACCOUNT, run))
            assert len({one.rev for one in attempts if one.rev}) <= len(attempts)
        once = [one for one in aws.ledger.touched if one[0].startswith("once") and one[1] == "1.0"]
        assert len(once) == len(set(once)), "executed twice though it may be executed once"
