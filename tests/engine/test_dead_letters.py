"""Dead letters: tried again, then failed, and dropped when nothing is owed any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flowrunner.core.ids import RunId, StepId
from flowrunner.errors import StoreError, ValueLost
from flowrunner.ports.queue import Delivery, Receipt

from tests.engine.cloud import Cloud, cloud
from tests.engine.harness import ACCOUNT, flow
from tests.engine.test_invocation import hanging

POISONED = """
a: {type: store, params: {op: set, key: k, value: 1}, retry: {max_attempts: 3}, next: {default: b, error: c}}
b: {type: log}
c: {type: transform, params: {value: "${error.code}"}}"""


def letter(run: RunId, step: str = "1.0", attempt: int = 1) -> Delivery:
    return Delivery(Receipt(ACCOUNT, run, StepId(step), attempt), 6)


def poison(c: Cloud) -> None:
    """The store of values never answers again."""
    c.faults.plan = lambda _, name: "fails" if name == "values.set" else None


def test_a_poisoned_step_shows_as_a_failed_run() -> None:
    """Five deliveries, three visits with a pause after each of the first two; then the step fails for good."""
    with cloud() as c:
        run = c.start(flow("a: {type: store, params: {op: set, key: k, value: 1}, retry: {max_attempts: 3}}"))
        poison(c)
        c.work()
        result = c.result(run)
        assert result.status == "failed"
        assert result.error is not None
        assert (result.error["code"], result.error["node"]) == ("ENGINE_ERROR", "a")
        assert c.faults.calls.count("values.set") == 15
        assert not c.queue.sent
        assert not c.queue.dead
        [step] = c.steps(run)
        assert (step.status, step.attempt, step.rev > 0) == ("failed", 1, True), "it is not retried"


def test_a_flow_may_go_on_after_it() -> None:
    """It is a failure of the step like others; its `error` edge is taken, and a redrive tries again."""
    with cloud() as c:
        run = c.start(flow(POISONED))
        poison(c)
        c.work()
        assert c.result(run).output == {"c": "ENGINE_ERROR"}
        c.faults.plan = lambda _number, _name: None
        c.engine.control.redrive(ACCOUNT, run, "a")
        c.work()
        assert c.path(run)[-1] == "b"


def test_a_step_that_gets_through_on_the_way_is_no_failure() -> None:
    """The trouble is over before the last visit."""
    with cloud() as c:
        run = c.start(flow(POISONED))
        started = c.clock.now()
        well = started + 300_000
        c.faults.plan = lambda _, name: "fails" if name == "values.set" and c.clock.now() < well else None
        c.work()
        assert c.path(run) == ["a", "b"]
        assert c.faults.calls.count("values.increment") in (1, 2)


def test_each_visit_waits_longer() -> None:
    """The message that is sent again says so, and keeps its lane."""
    with hanging(lanes=True) as (c, _):
        run = c.start(flow("a: {type: hangs, timeout: 5m}"))
        c.queue.sent.clear()
        for pause in (60_000, 900_000):
            assert c.letters.handle([letter(run)]) == []
            assert [(one.message.due, one.message.slow) for one in c.queue.sent] == [(c.clock.now() + pause, True)]
            c.queue.sent.clear()
        assert c.letters.handle([letter(run)]) == []
        assert c.result(run).status == "failed"


@pytest.mark.parametrize("step", ["1.0", "9.9", "deadline", "settle", "admit"])
def test_a_letter_of_which_nothing_is_owed_is_dropped(step: str) -> None:
    """Whoever sends dead letters back by hand does no harm, however often."""
    with cloud() as c:
        run = c.start(flow(POISONED))
        c.work()
        before = c.steps(run)
        for _ in range(4):
            assert c.letters.handle([letter(run, step)]) == []
        assert c.steps(run) == before
        assert not c.queue.sent


def test_a_letter_of_a_run_that_is_gone_is_dropped() -> None:
    """Nobody waits for it."""
    with cloud() as c:
        assert c.letters.handle([letter(RunId("gone"))]) == []
        assert not c.queue.sent


def test_a_step_that_is_not_due_keeps_its_time() -> None:
    """A visit does not count for it."""
    with cloud() as c:
        run = c.start(flow("a: {type: delay, params: {for: 1h}}"))
        c.invoke()
        due = c.queue.sent[0].message.due
        c.queue.sent.clear()
        c.letters.handle([letter(run)])
        assert [one.message.due for one in c.queue.sent] == [due]


def test_a_wait_whose_answer_cannot_be_taken_fails() -> None:
    """The poke of a waiting step is a letter, too; what the step had said stays in its row."""
    with cloud() as c:
        run = c.start(flow("a: {type: approval, params: {message: m}}"))
        c.work()
        for _ in range(3):
            c.letters.handle([letter(run, attempt=0)])
        assert c.result(run).status == "failed"
        [step] = c.steps(run)
        assert (step.status, step.wait is not None) == ("failed", True)


def test_a_wait_whose_row_is_lost_fails() -> None:
    """What cannot be done may be to read what the step had said."""
    with cloud() as c:
        run = c.start(flow("a: {type: delay, params: {for: 5s}}"))
        c.invoke()
        history: Any = c.engine.parts.backend.history
        found = history.step

        def lost(*_: Any) -> None:
            raise ValueLost("the object is missing")

        history.step = lost
        c.clock.turn_to(c.clock.now() + 5_000)
        for _ in range(3):
            assert c.letters.handle([letter(run)]) == []
        history.step = found
        assert c.result(run).status == "failed"
        [step] = c.steps(run)
        assert step.error is not None
        assert step.error["code"] == "ENGINE_ERROR"


def test_the_end_of_a_run_is_told_at_once() -> None:
    """The letter that tells a parent needs no further delivery; it is done there and then."""
    child = {"metadata": {"name": "child"}, "nodes": {"x": {"type": "log"}}}
    with cloud() as c:
        run = c.start(flow(f"a: {{type: flow.run, params: {{inline: {child}}}}}"))
        while not any(one.message.receipt.step == "settle" for one in c.queue.sent):
            c.invoke()
        [settle] = [one for one in c.queue.sent if one.message.receipt.step == "settle"]
        c.queue.sent.remove(settle)
        assert c.letters.handle([Delivery(settle.message.receipt, 6)]) == []
        c.work()
        assert c.result(run).status == "completed"


def test_a_run_that_cannot_be_read_is_looked_at_later() -> None:
    """A later program may know its format, or have the plugin."""
    with cloud() as c:
        run = c.start(flow(POISONED))
        c.queue.sent.clear()
        runs = c.engine.parts.backend.runs
        found = runs.load([(ACCOUNT, run)])[0]
        assert found is not None
        load = runs.load
        runs.load = lambda keys: [replace(found, head=b"?") for _ in keys]  # type: ignore[method-assign]  # a newer format
        assert c.letters.handle([letter(run)]) == []
        assert [one.message.due for one in c.queue.sent] == [c.clock.now() + 900_000]
        runs.load = load  # type: ignore[method-assign]  # as it was
        c.work()
        assert c.result(run).status == "completed"


@pytest.mark.parametrize("error", [StoreError("down"), ValueError("a mistake")])
def test_a_letter_that_cannot_be_seen_to_stays(error: Exception) -> None:
    """It comes again, and no other letter has to wait for it."""
    with cloud() as c:
        run, other = c.start(flow(POISONED), run="one"), c.start(flow(POISONED), run="other")
        c.queue.sent.clear()
        values = c.engine.parts.backend.values
        increment = values.increment

        def fails(account: object, namespace: str, *rest: object) -> float:
            if "/one/" in namespace:
                raise error
            return increment(account, namespace, *rest)  # type: ignore[arg-type]  # passed on as given

        values.increment = fails  # type: ignore[method-assign,assignment]  # of one run only
        letters = [letter(run), letter(other)]
        assert c.letters.handle(letters) == [letters[0].receipt]
        assert [one.message.receipt.run for one in c.queue.sent] == ["other"]


def test_a_failure_that_cannot_be_written_stays_a_letter() -> None:
    """The third visit comes again until the run has taken it."""
    with cloud() as c:
        run = c.start(flow(POISONED))
        c.queue.sent.clear()
        c.faults.plan = lambda _, name: "fails" if name == "runs.commit" else None
        delivery = letter(run)
        assert [c.letters.handle([delivery]) for _ in range(3)] == [[], [], [delivery.receipt]]
        c.faults.plan = lambda _number, _name: None
        assert c.letters.handle([delivery]) == []
        c.queue.sent = [one for one in c.queue.sent if one.message.receipt.step != "1.0"]
        c.work()
        assert c.result(run).output == {"c": "ENGINE_ERROR"}
