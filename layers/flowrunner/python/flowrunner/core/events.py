"""What can happen to a run, in the past tense. Events are values: whoever observed them gives all facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowrunner.core.flow import DEFAULT, Json
from flowrunner.core.ids import Millis, NodeId, StepId


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """A failure as policies see it. `retry_after` is the wait that the other side asked for, in ms."""

    code: str
    message: str
    retryable: bool = False
    retry_after: Millis = 0
    details: Mapping[str, Json] | None = None

    def record(self, node: NodeId) -> dict[str, Json]:
        """The `error` that expressions and people see."""
        return {
            "code": self.code,
            "message": self.message,
            "node": node,
            "details": dict(self.details or {}),
        }


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run was stored. `queued`: it has no place within `concurrency` yet."""

    queued: bool = False


@dataclass(frozen=True, slots=True)
class SlotGranted:
    """A queued run got its place."""


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """An attempt ended well. `vars` are the keys it wrote, `removed` those it deleted, `secrets` those it read."""

    step: StepId
    attempt: int
    action: str = DEFAULT
    vars: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepFailed:
    """An attempt ended with an error."""

    step: StepId
    attempt: int
    error: ErrorFacts
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """`when` was false."""

    step: StepId
    attempt: int


@dataclass(frozen=True, slots=True)
class StepExpanded:
    """A foreach step knows how many items it has (at least one)."""

    step: StepId
    attempt: int
    count: int
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepWaiting:
    """The step waits for a signal and, unless `until` is 0, for that moment. `child` is a run it waits for."""

    step: StepId
    attempt: int
    until: Millis = 0
    child: str | None = None
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """A waiting step was answered; `error` when the answer is a failure (a child run that failed)."""

    step: StepId
    attempt: int
    action: str = DEFAULT
    error: ErrorFacts | None = None
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A waiting step's moment has come."""

    step: StepId
    attempt: int
    action: str = DEFAULT
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The run's own timeout is over."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the run to stop."""

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class RedriveRequested:
    """Go on after an early end.

    Without `node`: from the steps that failed or were cut off. With it: that node runs again, reached from `parent`
    by `via` as its last activation was, and all that lies behind it.
    """

    node: NodeId | None = None
    parent: StepId | None = None
    via: str | None = None


@dataclass(frozen=True, slots=True)
class OutputFailed:
    """The run's `outputs` could not be evaluated."""

    error: ErrorFacts


@dataclass(frozen=True, slots=True)
class RunSettled:
    """Those who waited for the end of this run were told."""


Event = (
    RunStarted
    | SlotGranted
    | StepSucceeded
    | StepFailed
    | StepSkipped
    | StepExpanded
    | StepWaiting
    | SignalReceived
    | TimerFired
    | DeadlinePassed
    | CancelRequested
    | RedriveRequested
    | OutputFailed
    | RunSettled
)
