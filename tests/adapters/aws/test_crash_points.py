"""Whatever call of AWS a process dies at, what it began is finished by others, once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from flowrunner.adapters.aws.backend import DynamoBackend
from flowrunner.core.ids import RunId
from flowrunner.errors import StoreError

from tests.adapters.aws.fake_cloud import FakeCloud
from tests.adapters.aws.faults import ACCOUNT, LEASE, REPEATED, STEPS, Crash, Faults, Hand, Ledger, check, start

NOW = 1_700_000_000_000
MINUTE = 60_000
KINDS = ["before", "lost answer", "throttled"]
"""Dying after a call is dying before the next one."""


@dataclass
class Stage:
    """A table with workers that come and go."""

    aws: FakeCloud
    oracle: DynamoBackend
    faults: Faults
    ledger: Ledger = field(default_factory=Ledger)
    now: int = NOW
    hired: int = 0

    def hand(self, *, healthy: bool = True) -> Hand:
        """A new process."""
        self.hired += 1
        backend = self.aws.backend(dynamodb=None if healthy else self.faults.client)
        return Hand(backend, f"w{self.hired}", self.oracle, self.ledger)

    def begin(self, run: RunId) -> None:
        """A process starts a run and works on it until it dies or nothing is left; its client would ask again."""
        hand = self.hand(healthy=False)
        try:
            try:
                start(hand.backend, run, self.now)
            except StoreError:
                start(hand.backend, run, self.now)
            for _ in range(STEPS + 2):
                try:
                    hand.turn(self.now, 1)
                except StoreError:
                    continue
        except Crash:
            if self.oracle.runs.load([(ACCOUNT, run)])[0] is None:
                start(self.oracle, run, self.now)

    def finish(self, *runs: RunId) -> None:
        """Let healthy processes do what is left, a minute and more after the others died."""
        for _ in range(20):
            self.now += 2 * MINUTE
            hand = self.hand()
            while hand.turn(self.now):
                pass
            if self.oracle.queue.next_visible() is None and self.oracle.sweep(self.now).resent == 0:
                break
        for run in runs:
            check(self.oracle, self.ledger, run)


@pytest.fixture
def stage() -> Stage:
    aws = FakeCloud()
    oracle = aws.backend()
    oracle.migrate()
    return Stage(aws, oracle, Faults(aws.boto()))


def test_without_faults_each_step_is_executed_once(stage: Stage) -> None:
    """By one process, with nothing left over; this is what the faults below are measured by."""
    run = RunId("calm")
    stage.begin(run)
    check(stage.oracle, stage.ledger, run)
    assert len(stage.ledger.executed) == STEPS
    assert stage.oracle.queue.next_visible() is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_process_may_die_at_any_call(stage: Stage, kind: str) -> None:
    """Or its answer is lost and botocore repeats it, or it is refused for once."""
    stage.begin(RunId("calm"))
    operations = list(stage.faults.operations)
    assert len(operations) > 40
    for number, operation in enumerate(operations, 1):
        if kind == "lost answer" and operation not in REPEATED:
            continue
        run = RunId(f"{kind} {number}")
        stage.faults.plan(lambda call, _operation, number=number: kind if call == number else None)  # type: ignore[misc]  # bound now
        stage.begin(run)
        stage.finish(run)
        stage.oracle.history.delete(ACCOUNT, run)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_storms_lose_nothing(stage: Stage, seed: int) -> None:
    """Several processes at once, one call in twelve failing in some way, and each of them dying again and again."""
    chance = random.Random(seed)
    runs = [RunId(f"run {number}") for number in range(6)]
    for run in runs:
        assert start(stage.oracle, run, stage.now)
    stage.faults.plan(lambda _call, _operation: chance.choice([*KINDS, "after"]) if chance.random() < 1 / 12 else None)
    hands = [stage.hand(healthy=False) for _ in range(3)]
    for _ in range(160):
        index = chance.randrange(len(hands))
        stage.now += chance.randrange(0, LEASE // 2)
        try:
            hands[index].turn(stage.now, chance.randrange(1, 4))
        except Crash:
            hands[index] = stage.hand(healthy=False)
        except StoreError:
            continue
    stage.finish(*runs)


def test_the_first_messages_of_a_run_are_sent_after_all(stage: Stage) -> None:
    """Its creator died before that, and nobody asks for it again: the sweep of a minute finds it."""
    stage.faults.plan(lambda _call, operation: "after" if operation == "TransactWriteItems" else None)
    run = RunId("orphan")
    with pytest.raises(Crash):
        start(stage.hand(healthy=False).backend, run, stage.now)
    assert stage.oracle.queue.next_visible() is None
    assert stage.oracle.sweep(stage.now + MINUTE - 1).resent == 0, "it may be at it still"
    assert [stage.oracle.sweep(stage.now + MINUTE).resent for _ in range(2)] == [1, 0]
    stage.finish(run)


def test_creating_a_run_again_sends_its_first_messages(stage: Stage) -> None:
    """Its creator died before that, and whoever wanted the run asks again under the same id."""
    stage.faults.plan(lambda _call, operation: "after" if operation == "TransactWriteItems" else None)
    run = RunId("again")
    with pytest.raises(Crash):
        start(stage.hand(healthy=False).backend, run, stage.now)
    assert start(stage.hand().backend, run, stage.now) is False
    assert stage.oracle.queue.next_visible() == stage.now
    stage.finish(run)
