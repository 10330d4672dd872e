"""On what terms steps are executed: in whose name, under which lease, for how long, and what happens to successors.

A worker on a server renews its leases for as long as it lives and keeps the successors that its commits create. An
invocation (`invocation`) knows when it ends, and whatever it begins has to be over by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import Millis, StepId
from flowrunner.core.state import DEADLINE, SETTLE, Entry
from flowrunner.engine.program import NodeProgram, Program
from flowrunner.ports.clock import Clock
from flowrunner.ports.queue import Delivery, Message

MARGIN: Millis = 5_000
"""Kept back from the end of an invocation for what comes after a step: its failure, the commit, what follows."""

LEASE_BEYOND: Millis = 10_000
"""A lease outlives the invocation by so much: clocks differ, and a process is not always stopped to the moment."""

NO_TIME = "that is all the time which an invocation has"
FAST_LANE = "a step whose `timeout` is longer than 50s runs where it may take 15 minutes"


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an execution is given up; `because` says why that is earlier than the node's own timeout."""

    at: Millis
    because: str = ""


class Terms(Protocol):
    """See the module."""

    @property
    def name(self) -> str:
        """Whose leases they are."""
        ...

    def lease_until(self) -> Millis: ...

    def deadline(self, node: NodeProgram) -> Deadline: ...

    def claims(self, node: NodeProgram, delivery: Delivery) -> bool:
        """Whether the execution of a node's work needs a claim."""
        ...

    def elsewhere(self, program: Program, step: StepId, entry: Entry) -> bool:
        """Whether the step is for the other lane."""
        ...

    def fits(self, program: Program, step: StepId, entry: Entry) -> bool:
        """Whether there is time enough to begin this step."""
        ...

    def keeps(self, program: Program, message: Message, entry: Entry | None, kept: int) -> bool:
        """Whether a message that is due now is handed off to whoever made it; `kept` are so already, of one commit."""
        ...


class WorkerTerms:
    """Those of a worker: it serves as long as it lives."""

    def __init__(self, clock: Clock, name: str, lease: Millis, step_timeout: Millis) -> None:
        self.name = name
        self._clock = clock
        self._lease = lease
        self._step_timeout = step_timeout

    def lease_until(self) -> Millis:
        return self._clock.now() + self._lease

    def deadline(self, node: NodeProgram) -> Deadline:
        return Deadline(self._clock.now() + (node.node.timeout or self._step_timeout))

    def claims(self, node: NodeProgram, delivery: Delivery) -> bool:
        return node.claimed

    def elsewhere(self, program: Program, step: StepId, entry: Entry) -> bool:
        return False

    def fits(self, program: Program, step: StepId, entry: Entry) -> bool:
        return True

    def keeps(self, program: Program, message: Message, entry: Entry | None, kept: int) -> bool:
        return True


class InvocationTerms:
    """Those of an invocation until `ends_at`; `slow_lane`: which of two lanes it serves, None if there is one."""

    def __init__(
        self, clock: Clock, name: str, ends_at: Millis, slow_lane: bool | None = None, *, express: bool = True
    ) -> None:
        now = clock.now()
        self.name = name
        self.first = True
        """Nothing was begun yet: there will never be more time for what has to be done."""
        self._clock = clock
        self._ends_at = ends_at
        self._last = ends_at - min(MARGIN, max(0, ends_at - now) // 2)
        self._slow_lane = slow_lane
        self._express = express

    def time_left(self) -> Millis:
        return self._ends_at - self._clock.now()

    def lease_until(self) -> Millis:
        return self._ends_at + LEASE_BEYOND

    def deadline(self, node: NodeProgram) -> Deadline:
        wanted = node.node.timeout
        at = self._clock.now() + wanted if wanted is not None else self._ends_at
        if at <= self._last:
            return Deadline(at)
        return Deadline(self._last, FAST_LANE if self._slow_lane is False else NO_TIME)

    def claims(self, node: NodeProgram, delivery: Delivery) -> bool:
        """What was handed off is ours already. Who comes again is claimed in any case: so claims tell of deaths."""
        if delivery.leased:
            return node.claimed and node.node.at_most_once
        return node.claimed or delivery.receives > 1

    def elsewhere(self, program: Program, step: StepId, entry: Entry) -> bool:
        return self._slow_lane is False and program.slow(step, entry)

    def fits(self, program: Program, step: StepId, entry: Entry) -> bool:
        return self.first or self._clock.now() + program.takes(step, entry) <= self._last

    def keeps(self, program: Program, message: Message, entry: Entry | None, kept: int) -> bool:
        """One successor of a commit, in express mode. The others are sent: they are executed beside it."""
        step = message.receipt.step
        if not self._express or program.flow.mode != "express":
            return False
        if kept or entry is None or step in (SETTLE, DEADLINE):
            return False
        if self._slow_lane is False and message.slow:
            return False
        return self._clock.now() + program.takes(step, entry) <= self._last
