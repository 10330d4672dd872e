"""One decision in the making: a mutable copy of the state that the rules change, frozen at the end.

Only `decide` and the rule modules beside it (`advance`, `foreach`, `ending`) use this; nobody else sees a state that
is half changed, and a rule that raises `Rejected` leaves nothing behind, since the copy is dropped.
"""

from __future__ import annotations

from dataclasses import replace

from flowrunner.core.commands import (
    CancelChild,
    Command,
    Decision,
    RecordStep,
    ScheduleStep,
)
from flowrunner.core.graph import Graph
from flowrunner.core.ids import Millis, NodeId, StepId
from flowrunner.core.progress import progress_of
from flowrunner.core.state import (
    DEADLINE,
    Entry,
    NodeState,
    Phase,
    State,
    parent_of_item,
)


class Rejected(Exception):
    """The event does not fit the state: a duplicate, a late one, or one that never fitted. Nothing changes."""


class Turn:
    """The state being changed. `now` and `draw` are the only outside facts a rule may use."""

    def __init__(self, graph: Graph, state: State, now: Millis, draw: float) -> None:
        self.graph = graph
        self.flow = graph.flow
        self.now = now
        self.draw = draw
        self.before = state
        self.rev = state.rev + 1
        self.status = state.status
        self.frontier = dict(state.frontier)
        self.parked = state.parked
        self.nodes = dict(state.nodes)
        self.joins = dict(state.joins)
        self.maps = dict(state.maps)
        self.vars = state.vars
        self.secrets = state.secrets
        self.steps = state.steps
        self.attempt = state.attempt
        self.retries = state.retries
        self.deadline = state.deadline
        self.error = state.error
        self.slot = state.slot
        self.commands: list[Command] = []
        self._created = 0

    def entry(self, step: StepId, attempt: int) -> Entry:
        """The frontier's entry of this attempt. Raises `Rejected` when it is not there."""
        entry = self.frontier.get(step)
        if entry is None or entry.attempt != attempt:
            raise Rejected(f"step {step} attempt {attempt} is not scheduled")
        return entry

    def new_step(self) -> StepId:
        """The next id of this decision: never random, so that a repeated decision names the same step."""
        step = StepId(f"{self.rev}.{self._created}")
        self._created += 1
        return step

    def activation(self, node: NodeId) -> int:
        """The number of the activation of `node` that begins now, from 1."""
        ended = self.nodes.get(node)
        highest = ended.n if ended else 0
        for step, entry in self.frontier.items():
            if entry.node == node and entry.n > highest and parent_of_item(step) is None:
                highest = entry.n
        return highest + 1

    def schedule(self, step: StepId, entry: Entry) -> None:
        """Put a step into the frontier, at once or held until there is a place.

        It does not overtake those that are held: a loop would otherwise keep its place for ever and starve them.
        """
        self.steps += 1
        held = any(other.phase is Phase.HELD for other in self.frontier.values())
        if held or self.busy() >= self.flow.limits.max_parallel:
            entry = replace(entry, phase=Phase.HELD)
        self.put(step, entry)

    def put(self, step: StepId, entry: Entry) -> None:
        """Write the entry and owe its message if it is ready or has a timer."""
        self.frontier[step] = entry
        if entry.phase is Phase.READY or (entry.phase is Phase.WAITING and entry.due):
            self.commands.append(ScheduleStep(step, entry.attempt, entry.due))

    def busy(self) -> int:
        """Steps that take a place of `limits.max_parallel`: ready and mapping ones, items not counted."""
        return sum(
            1
            for step, entry in self.frontier.items()
            if entry.phase in (Phase.READY, Phase.MAPPING) and parent_of_item(step) is None
        )

    def release_held(self) -> None:
        """Let held steps go, oldest first, while there are free places."""
        held = [step for step, entry in self.frontier.items() if entry.phase is Phase.HELD]
        if not held:
            return
        free = self.flow.limits.max_parallel - self.busy()
        for step in held[: max(free, 0)]:
            self.put(
                step,
                replace(
                    self.frontier[step],
                    phase=Phase.READY,
                    due=max(self.now, self.frontier[step].due),
                ),
            )

    def record(self, command: RecordStep) -> None:
        self.commands.append(command)

    def set_deadline(self, moment: Millis) -> None:
        """The run ends at `moment` at the latest; a message of its own sees to that."""
        self.deadline = moment
        self.commands.append(ScheduleStep(DEADLINE, 1, moment))

    def note_secrets(self, names: tuple[str, ...]) -> None:
        if names:
            self.secrets = tuple(sorted({*self.secrets, *names}))

    def node_ended(self, state: NodeState, node: NodeId) -> None:
        """Remember how `node` ended. `n` never goes back, so that labels stay unique."""
        last = self.nodes.get(node)
        if last and last.n > state.n:
            state = replace(state, n=last.n)
        self.nodes[node] = state

    def park(self) -> None:
        """Empty the frontier, keeping it for a redrive, and give up what the run waits for elsewhere."""
        for entry in self.frontier.values():
            if entry.child:
                self.commands.append(CancelChild(entry.child))
        self.parked = {**self.parked, **self.frontier}
        self.frontier = {}
        # Whatever was to be sent belongs to steps that are not scheduled any more.
        self.commands = [command for command in self.commands if not isinstance(command, ScheduleStep)]

    def freeze(self) -> Decision:
        """The decision as a value."""
        state = State(
            status=self.status,
            rev=self.rev,
            started_at=self.before.started_at,
            frontier=self.frontier,
            parked=self.parked,
            nodes=self.nodes,
            joins=self.joins,
            maps=self.maps,
            vars=self.vars,
            secrets=self.secrets,
            steps=self.steps,
            attempt=self.attempt,
            retries=self.retries,
            deadline=self.deadline,
            progress=progress_of(
                self.graph,
                self.before.progress,
                self.status,
                self.frontier,
                self.nodes,
                self.maps,
            ),
            error=self.error,
            slot=self.slot,
            parent=self.before.parent,
        )
        return Decision(state, tuple(self.commands))
