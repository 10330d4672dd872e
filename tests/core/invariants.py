"""What must hold after every decision of any run, whatever the rules say about what follows.

`Invariants` looks over the shoulder of a run from its start to its end: it keeps what it has seen and asserts.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from flowrunner.core.codec import decode, encode
from flowrunner.core.commands import CancelChild, Decision, EndRun, RecordStep, ScheduleStep
from flowrunner.core.events import Event, RedriveRequested, RunStarted
from flowrunner.core.flow import Flow
from flowrunner.core.foreach import collecting
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import DEADLINE, MAX_FRONTIER, SETTLE, Entry, Phase, State, parent_of_item
from flowrunner.core.status import TRANSITIONS, RunStatus


@dataclass
class Invariants:
    """The memory of one run."""

    flow: Flow
    sent: dict[tuple[StepId, int, str], int] = field(default_factory=dict)
    """Messages owed so far: step, attempt and what for → due."""
    labels: set[tuple[int, NodeId, int]] = field(default_factory=set)
    known: dict[StepId, NodeId] = field(default_factory=dict)
    children_at: dict[StepId, int] = field(default_factory=dict)
    """The decision in which the successors of a step were scheduled."""

    def check(self, before: State, event: Event, decision: Decision) -> None:
        """Assert everything about one decision."""
        after = decision.state
        assert after.rev == before.rev + 1
        assert decode(json.loads(json.dumps(encode(after)))) == after
        self._check_status(before, event, decision)
        self._check_messages(before, event, decision)
        self._check_names(before, decision)
        self._check_successors(event, after)
        self._check_children(before, event, decision)
        self._check_numbers(before, after)

    def _check_status(self, before: State, event: Event, decision: Decision) -> None:
        after = decision.state
        ends = [command.status for command in decision.commands if isinstance(command, EndRun)]
        if isinstance(event, RunStarted | RedriveRequested):
            assert after.status is not before.status or after.status is RunStatus.RUNNING or ends
        elif after.status is not before.status:
            assert after.status in TRANSITIONS[before.status]
        ended = after.status.over and (not before.status.over or isinstance(event, RedriveRequested))
        assert ends == ([after.status] if ended else [])
        if after.status.over:
            assert set(after.frontier) <= {SETTLE}
            assert not after.deadline
        elif after.status is RunStatus.RUNNING:
            assert after.frontier
            assert not after.parked
        assert (after.error is not None) == (after.status in (RunStatus.FAILED, RunStatus.CANCELLED))

    def _check_messages(self, before: State, event: Event, decision: Decision) -> None:
        """One message per step, attempt and purpose in a run's life; whatever is ready has got its own."""
        after = decision.state
        if isinstance(event, RedriveRequested):
            self.sent.clear()
        for command in decision.commands:
            if not isinstance(command, ScheduleStep):
                continue
            if command.step == DEADLINE:
                assert command.due == after.deadline
                continue
            entry = after.frontier[command.step]
            assert command.attempt == entry.attempt
            key = (command.step, command.attempt, _purpose(after, command.step, entry))
            # What the end of a run parked in the very decision that made it ready is sent by the redrive only.
            assert key not in self.sent, f"{key} is sent twice"
            self.sent[key] = command.due
        for step, entry in after.frontier.items():
            if entry.phase is Phase.READY or (entry.phase is Phase.WAITING and entry.due):
                assert self.sent.get((step, entry.attempt, _purpose(after, step, entry))) == entry.due
        if after.deadline and after.deadline != before.deadline:
            assert ScheduleStep(DEADLINE, 1, after.deadline) in decision.commands

    def _check_names(self, before: State, decision: Decision) -> None:
        """The number of an activation is given once per node and start of the run; ids are never given again."""
        after = decision.state
        born: list[tuple[StepId, NodeId, int, int]] = [
            (step, entry.node, entry.n, after.attempt)
            for step, entry in {**after.frontier, **after.parked}.items()
            if parent_of_item(step) is None and step != SETTLE
        ]
        attempt = after.attempt - (after.retries - before.retries)  # what was recorded before a restart belongs there
        born += [(one.step, one.node, one.n, attempt) for one in decision.commands if isinstance(one, RecordStep)]
        for step, node, n, attempt in born:
            if step in self.known:
                continue
            self.known[step] = node
            assert step.partition(".")[0] == str(after.rev), "the id names the decision that created the step"
            assert (attempt, node, n) not in self.labels, f"{node}.{n} is there twice"
            self.labels.add((attempt, node, n))

    def _check_successors(self, event: Event, after: State) -> None:
        """All successors of a step are scheduled by one decision, and only along the action's edges."""
        edges: Counter[tuple[StepId, str, NodeId]] = Counter()
        for step, entry in {**after.frontier, **after.parked}.items():
            if entry.parent is None or parent_of_item(step) is not None:
                continue
            created = int(step.partition(".")[0])
            if isinstance(event, RedriveRequested) and created == after.rev:
                continue  # a named node is reached again as it was before
            assert self.children_at.setdefault(entry.parent, created) == created
            edges[entry.parent, entry.via or "", entry.node] += 1
        for (parent, via, node), count in edges.items():
            assert count <= self.flow.nodes[self.known[parent]].next.get(via, ()).count(node)

    def _check_children(self, before: State, event: Event, decision: Decision) -> None:
        """A child run whose step was dropped is cancelled, and nobody waits for a cancelled one."""
        after = decision.state
        cancelled = {command.run for command in decision.commands if isinstance(command, CancelChild)}
        own = getattr(event, "step", None)
        for step, entry in before.frontier.items():
            if entry.child and step != own and step not in after.frontier:
                assert entry.child in cancelled
        if isinstance(event, RedriveRequested):
            assert not any(entry.child for entry in after.frontier.values())

    def _check_numbers(self, before: State, after: State) -> None:
        assert 0 <= before.progress <= after.progress <= 100
        if after.status is RunStatus.COMPLETED:
            assert after.progress == 100
        busy = [
            step
            for step, entry in after.frontier.items()
            if entry.phase in (Phase.READY, Phase.MAPPING) and parent_of_item(step) is None and step != SETTLE
        ]
        assert len(busy) <= self.flow.limits.max_parallel
        assert len(after.frontier) <= MAX_FRONTIER


def _purpose(state: State, step: StepId, entry: Entry) -> str:
    if entry.phase is Phase.WAITING:
        return "timer"
    if step == SETTLE:
        return f"settle {state.attempt}"
    return "collect" if collecting(state, step) else "execute"
