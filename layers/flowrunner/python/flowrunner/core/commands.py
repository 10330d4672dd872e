"""What follows from a decision, in the imperative. One executor carries commands out; printing them is a dry run."""

from __future__ import annotations

from dataclasses import dataclass

from flowrunner.core.events import ErrorFacts
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.state import State
from flowrunner.core.status import RunStatus, StepStatus


@dataclass(frozen=True, slots=True)
class ScheduleStep:
    """Send the message of this attempt, to be seen at `due`."""

    step: StepId
    attempt: int
    due: Millis


@dataclass(frozen=True, slots=True)
class RecordStep:
    """Write a row for a step that ended by decision alone: a join that is skipped or fails, a failed foreach."""

    step: StepId
    attempt: int
    node: NodeId
    n: int
    parent: StepId | None
    status: StepStatus
    error: ErrorFacts | None = None


@dataclass(frozen=True, slots=True)
class CancelChild:
    """Cancel the run that a waiting step of this run had started."""

    run: str


@dataclass(frozen=True, slots=True)
class EndRun:
    """The run is over; its output is due when it completed."""

    status: RunStatus


Command = ScheduleStep | RecordStep | CancelChild | EndRun


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state and what to do about it, in order."""

    state: State
    commands: tuple[Command, ...] = ()
