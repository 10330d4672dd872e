"""On what terms steps are executed: in whose name, under which lease, for how long, and what happens to successors.

A worker on a server renews its leases for as long as it lives and keeps the successors that its commits create. An
invocation (`invocation`) knows when it ends, and whatever it begins has to be over by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import Millis, StepId
from flowrunner.core.state import Entry
from flowrunner.engine.program import NodeProgram, Program
from flowrunner.ports.clock import Clock
from flowrunner.ports.queue import Delivery, Message


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

    @property
    def patient(self) -> bool:
        """Whether a step that meets trouble with the store or the keys while it executes is tried again later."""
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

    patient = False

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
