"""What a message asks for, given the run's state: the first of the six steps of a step's execution.

A message carries no truth of its own. Whatever it says is looked up in the head: a step that is not scheduled there
(any more) is none of our business, whoever sent the message and how often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowrunner.core.ids import Millis
from flowrunner.core.state import DEADLINE, SETTLE, Entry, Phase
from flowrunner.core.status import RunStatus
from flowrunner.engine.outcome import RunView
from flowrunner.ports.queue import Receipt

POKE = 0
"""The attempt number of a message that says: look whether the wait of this step was answered."""

ADMIT = "admit"
"""The step of the message that tells a queued run that it has got its place."""

CLOCK_SLACK: Millis = 50
"""A step due this soon is taken as due: clocks differ, and a queue's timer may be a little early."""

POKE_RETRY: Millis = 200
"""When to look again whether a step that was answered early has begun to wait."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Nothing to do (any more)."""


@dataclass(frozen=True, slots=True)
class Later:
    """Not due yet: give the message back until `due`."""

    due: Millis


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute the step; `answer` is set when it waited and that has ended."""

    entry: Entry
    answer: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A step that waits was poked: see whether its answer is there."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Expire:
    """The run's deadline has passed."""


@dataclass(frozen=True, slots=True)
class Admit:
    """A queued run may have got its place."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Tell those who wait for the end of this run."""


Action = Ack | Later | Execute | Look | Expire | Admit | Settle


def dispatch(view: RunView, receipt: Receipt, now: Millis) -> Action:
    """What to do about a message."""
    state = view.state
    if receipt.step == SETTLE:
        return Settle() if SETTLE in state.frontier else Ack()
    if state.status.over:
        return Ack()
    if receipt.step == ADMIT:
        return Admit() if state.status is RunStatus.QUEUED else Ack()
    if receipt.step == DEADLINE:
        if not state.deadline:
            return Ack()
        return Expire() if state.deadline <= now else Later(state.deadline)
    entry = state.frontier.get(receipt.step)
    if entry is None:
        return Ack()
    if receipt.attempt == POKE:
        return Look(entry) if entry.phase is Phase.WAITING else Later(now + POKE_RETRY)
    return _step(entry, receipt.attempt, now)


def _step(entry: Entry, attempt: int, now: Millis) -> Action:
    if entry.attempt != attempt or entry.phase in (Phase.HELD, Phase.MAPPING):
        return Ack()
    if entry.phase is Phase.WAITING and not entry.due:
        return Ack()
    # A timer is never early: the core would refuse it, and with its message gone nothing would end the wait.
    slack = 0 if entry.phase is Phase.WAITING else CLOCK_SLACK
    if entry.due > now + slack:
        return Later(entry.due)
    return Execute(entry, {"timer": True} if entry.phase is Phase.WAITING else None)
