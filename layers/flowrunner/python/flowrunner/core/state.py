"""The state of a run, the *head*: all that decides what happens next, and nothing else.

Outputs, inputs and values of vars live in the step rows; the head only names the steps that hold them. So it stays
small (under 1 KB for a linear flow), and every reader of it sees one consistent moment of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.status import WAITING, RunStatus, StepStatus

MAX_FRONTIER = 500
"""Steps scheduled at once; a wider fan-out is what `foreach` is for."""

MAX_HEAD_BYTES = 64 * 1024

SETTLE = StepId("settle")
"""The step of an ended run that tells those who wait for it: the parent run and the next queued run."""

DEADLINE = StepId("deadline")
"""The step of the message that ends a run at its timeout. It is owed as long as the run has a deadline."""


class Phase(StrEnum):
    """What a step in the frontier is at."""

    READY = "r"  # a message is owed, due at `due`
    HELD = "h"  # waits for a free place within `limits.max_parallel`
    WAITING = "w"  # waits for a signal, and for the timer at `due` unless that is 0
    MAPPING = "m"  # a foreach whose items run


@dataclass(frozen=True, slots=True)
class Entry:
    """A step of the frontier: scheduled and not yet committed.

    `parent` is the step whose edge led here by the action `via`; `n` counts the activations of the node; `spent` is
    the number of attempts that an earlier redrive has written off, so `attempt - spent` is what the policy counts.
    """

    node: NodeId
    parent: StepId | None = None
    via: str | None = None
    due: Millis = 0
    phase: Phase = Phase.READY
    attempt: int = 1
    spent: int = 0
    n: int = 1
    child: str | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """How the last ended activation of a node ended; `n` counts the node's ended activations and is the highest."""

    step: StepId
    status: StepStatus
    action: str | None
    attempt: int
    n: int
    handled: bool = True


@dataclass(frozen=True, slots=True)
class JoinState:
    """Arrivals at a join in this round: who, how it ended, and whether a failure was handled."""

    arrived: Mapping[NodeId, tuple[StepStatus, bool]] = field(default_factory=dict)
    fired: bool = False


@dataclass(frozen=True, slots=True)
class MapState:
    """A foreach under way.

    `cursor` is the first item that was never started, `done` the bit set of items that ended well. `bad` maps failed
    items to their last attempt, `again` those that a redrive will repeat.
    """

    count: int
    cursor: int = 0
    done: int = 0
    bad: Mapping[int, int] = field(default_factory=dict)
    again: Mapping[int, int] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.done.bit_count() + len(self.bad) == self.count


@dataclass(frozen=True, slots=True)
class State:
    """The head of a run. `rev` counts the decisions taken; `steps` the activations (items of a
    foreach not counted); `attempt` starts of the run.
    """

    status: RunStatus = RunStatus.RUNNING
    rev: int = 0
    started_at: Millis = 0
    frontier: Mapping[StepId, Entry] = field(default_factory=dict)
    parked: Mapping[StepId, Entry] = field(default_factory=dict)
    """What was scheduled when the run ended early; a redrive goes on from there."""
    nodes: Mapping[NodeId, NodeState] = field(default_factory=dict)
    joins: Mapping[NodeId, JoinState] = field(default_factory=dict)
    maps: Mapping[StepId, MapState] = field(default_factory=dict)
    vars: Mapping[str, StepId] = field(default_factory=dict)
    """The shared store: key → the step whose row holds the value."""
    secrets: tuple[str, ...] = ()
    """Names of the secrets that steps of this run have read, for masking."""
    steps: int = 0
    attempt: int = 1
    retries: int = 0
    """Restarts by `on_error: retry_run`; redrives do not count."""
    deadline: Millis = 0
    progress: int = 0
    error: Mapping[str, Json] | None = None
    slot: str | None = None
    """The key under which the run holds a place of `concurrency`."""
    parent: bool = False
    """Whether another run waits for this one."""

    @property
    def shown_status(self) -> str:
        """The status as people see it: `waiting` when nothing but waiting steps are left."""
        if self.status is RunStatus.RUNNING:
            phases = {entry.phase for entry in self.frontier.values()}
            if Phase.WAITING in phases and phases <= {Phase.WAITING, Phase.MAPPING}:
                return WAITING
        return self.status.value

    @property
    def current_nodes(self) -> tuple[NodeId, ...]:
        """The nodes at which the run is, each once, in the order scheduled."""
        if self.status.over:
            return ()
        return tuple(dict.fromkeys(entry.node for entry in self.frontier.values()))


def parent_of_item(step: StepId) -> StepId | None:
    """The foreach step of an item step (`"7.0[3]"` → `"7.0"`), None for any other step."""
    base, bracket, _ = step.partition("[")
    return StepId(base) if bracket else None


def item_index(step: StepId) -> int:
    """The item's index in its foreach; -1 for a step that is no item."""
    _, bracket, rest = step.partition("[")
    return int(rest[:-1]) if bracket else -1


def item_step(parent: StepId, index: int) -> StepId:
    return StepId(f"{parent}[{index}]")


def step_label(node: NodeId, n: int, index: int = -1) -> str:
    """The name people see: `score`, `poll.3` for the third activation, `each[17]` for an item."""
    name = node if n == 1 else f"{node}.{n}"
    return name if index < 0 else f"{name}[{index}]"
