"""What must hold of each run, whatever happened: read from the stored history alone, after all is over.

The list is that of docs/how-a-run-executes.md. What was executed outside is the witness's business; here is what
anybody can read who has the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowrunner.core.advance import handling_action
from flowrunner.core.flow import Flow, JoinMode, OnError
from flowrunner.core.graph import Graph, build_graph
from flowrunner.core.ids import AccountId, NodeId, StepId
from flowrunner.core.state import State, parent_of_item
from flowrunner.core.status import TERMINAL
from flowrunner.engine.engine import Engine
from flowrunner.engine.heads import read_head
from flowrunner.engine.records import Attempt, RunFacts, read_attempt
from flowrunner.ports.runs import RowStatus, RunRow

from tests.simulation.scenes import ACCOUNTS

if TYPE_CHECKING:
    from tests.simulation.world import World

SHOWN = 40


@dataclass
class Told:
    """A run as its history tells it. `last` has the last attempt of each step."""

    row: RunRow
    state: State
    flow: Flow
    graph: Graph
    attempts: Sequence[Attempt]
    last: dict[StepId, Attempt]

    @property
    def clean(self) -> bool:
        """Completed at the first start: nothing was cut off, so that everything has to be there."""
        return self.row.status == "completed" and self.state.attempt == 1


def check(world: World) -> None:
    """Assert the list for all runs of a world, and that nothing is left over."""
    told = [one for account in ACCOUNTS for one in _tell(world, account)]
    reader = world.reader()
    wished = {run for _, _, run in world.wished}
    assert wished <= {str(one.row.id) for one in told}, "a run that was started is lost"
    starts = Counter(wish for one in told if (wish := RunFacts.decode(one.row.body).labels.get("wish")) is not None)
    twice = [wish for wish, count in starts.items() if count > 1]
    assert not twice, f"more than one run was started for one key: wish {twice}"
    for one in told:
        try:
            _check_run(one)
            _check_values(world, reader, one)
        except AssertionError as failure:
            failure.add_note(describe(one))
            raise
    assert world.backend.queue.next_visible() is None, "a message is left over"
    world.outside.check()
    world.timetable.check()
    for one_reader in world.readers:
        one_reader.check()


def _tell(world: World, account: AccountId) -> list[Told]:
    found = []
    for row in world.rows(account):
        attempts = [read_attempt(one) for one in world.backend.history.steps(account, row.id)]
        last: dict[StepId, Attempt] = {}
        for one in attempts:
            last[one.step] = one
        flow = world.scene.flows[row.flow_name]
        found.append(Told(row, read_head(row), flow, build_graph(flow), attempts, last))
    return found


def _check_run(told: Told) -> None:
    row, attempts = told.row, told.attempts
    assert row.status in TERMINAL, f"the run has not ended: {row.status}"
    assert row.ended_at is not None
    assert row.result is not None
    committed = [one for one in attempts if one.rev]
    assert all(1 < one.rev <= row.rev for one in committed), "a revision that the run never had"
    taken = Counter(one.rev for one in committed if one.status is not RowStatus.SKIPPED and _caused(told, one))
    assert not [rev for rev, count in taken.items() if count > 1], "two outcomes are one decision"
    for one in attempts:
        _check_attempt(told, one)
    if told.clean:
        for one in told.last.values():
            _check_successors(told, one)
        _check_joins(told)
    if told.clean:  # what a restart (`retry_run`) has dropped stays as it was
        open_ = [one for one in told.last.values() if not one.status.final and parent_of_item(one.step) is None]
        assert not open_, "a step is open in a completed run"


def _caused(told: Told, one: Attempt) -> bool:
    """Whether the attempt's outcome was an event of its own, not what followed from another one (a foreach's end)."""
    node = told.flow.nodes[one.node]
    return node.foreach is None and node.join is None


def _check_attempt(told: Told, one: Attempt) -> None:
    """What created it came before it, and its outcome after that."""
    created = int(one.step.partition(".")[0])
    assert created <= told.row.rev, "a step that no decision has created"
    if one.rev and one.status.final and _caused(told, one):
        assert one.rev > created, f"{one.step} ended before it was created"
    if one.attempt > 1 and one.rev:
        before = [other for other in told.attempts if other.step == one.step and other.attempt < one.attempt]
        assert all(other.rev < one.rev for other in before if other.rev), f"the attempts of {one.step} are mixed up"
    parent = told.last.get(StepId(one.parent)) if one.parent is not None else None
    if parent is not None and told.clean and parent_of_item(one.step) is None:
        assert parent.rev == created, f"{one.step} was created by {created}, not by the end of {parent.step}"


def _action(told: Told, one: Attempt) -> str | None:
    if one.status is RowStatus.SUCCEEDED:
        return one.action or "default"
    if one.status is RowStatus.SKIPPED:
        return "skipped"
    return handling_action(told.flow, told.flow.nodes[one.node])


def _check_successors(told: Told, one: Attempt) -> None:
    """All targets of the action were scheduled, each once, and no others."""
    if parent_of_item(one.step) is not None:
        return
    action = _action(told, one)
    expected = Counter(told.flow.nodes[one.node].next.get(action, ()) if action is not None else ())
    children = [
        other for other in told.last.values() if other.parent == one.step and not told.flow.nodes[other.node].join
    ]
    assert Counter(other.node for other in children if parent_of_item(other.step) is None) == expected, (
        f"{one.step} ({one.node}) ended by {action} and led to {[other.step for other in children]}"
    )


def _check_joins(told: Told) -> None:
    """A join that waits for all fired when nobody could arrive any more; in a flow without loops, once."""
    for node in told.flow.nodes.values():
        if node.join is None or node.join.mode is JoinMode.ANY:
            continue
        fired = [one for one in told.last.values() if one.node == node.id and parent_of_item(one.step) is None]
        loops = any(
            told.graph.reachable([target]) & told.graph.mask([other.id])
            for other in told.flow.nodes.values()
            for group in other.next.values()
            for target in group
        )
        needs = set(node.join.needs)
        if not loops and any(one.node in needs for one in told.last.values()):
            assert len(fired) == 1, f"the join {node.id} fired {len(fired)} times"
        for one in fired:
            created = int(one.step.partition(".")[0])
            for other in told.last.values():
                if parent_of_item(other.step) is None and other is not one:
                    _check_not_early(told, one, other, created, needs)


def _check_not_early(told: Told, join: Attempt, other: Attempt, created: int, needs: set[NodeId]) -> None:
    born = int(other.step.partition(".")[0])
    active = born < created < other.rev
    reaches = told.graph.reachable([other.node]) & told.graph.mask(sorted(needs))
    assert not (active and reaches), f"the join {join.node} fired while {other.step} ({other.node}) could still arrive"


def _check_values(world: World, reader: Engine, told: Told) -> None:
    """What is stored is what an execution of that very attempt gave, and what came after it has seen just that."""
    given: set[int] = set()
    account, run = told.row.account, told.row.id
    for one in told.attempts:
        if one.status is not RowStatus.SUCCEEDED or told.flow.nodes[one.node].type not in {"claimed", "quick", "pure"}:
            continue
        value = reader.value(account, run, one.output)
        if isinstance(value, dict) and "by" in value:
            effect = world.witness.effects[value["by"] - 1]
            assert effect.place == (run, one.step, one.attempt), f"the output of {one.step} is that of {effect.place}"
            assert value == effect.output, f"the output of {one.step} was changed"
            given.add(effect.number)
    if told.clean and told.flow.on_error is not OnError.RETRY_RUN:
        for one in told.attempts:
            value = reader.value(account, run, one.output)
            seen = set(value.get("saw", ())) if isinstance(value, dict) else set()
            assert seen <= given | world.witness.of_others(run), f"{one.step} has seen what was not kept"


def describe(told: Told) -> str:
    """The history of a run, for whoever looks for a mistake."""
    lines = [f"{told.row.account}/{told.row.id} {told.row.status}, revision {told.row.rev}:"]
    lines += [
        f"  {one.step} {one.node} attempt {one.attempt} {one.status.value} rev {one.rev} from {one.parent} by {one.via}"
        for one in told.attempts[:SHOWN]
    ]
    return "\n".join(lines)
