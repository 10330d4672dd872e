"""Who looks on: effects outside, leases and commits as they really happened; it knows what must not happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from flowrunner.core.codec import decode
from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis, RunId
from flowrunner.engine.feed import ENDS
from flowrunner.ports.runs import ClaimRequest, Commit

if TYPE_CHECKING:
    from tests.simulation.nodes import Lucky
    from tests.simulation.process import Process
    from tests.simulation.world import World

Place = tuple[str, str, int]
"""Run, step, attempt."""


R = TypeVar("R")


def telling(method: Callable[..., R]) -> Callable[..., R]:
    """Let what the method finds end the simulation."""

    @wraps(method)
    def call(self: Witness, *given: Any) -> R:
        try:
            return method(self, *given)
        except AssertionError as error:
            self.world.baton.fail(error)
            raise

    return call


@dataclass
class Effect:
    """One execution of a node's work."""

    number: int
    account: str
    place: Place
    node: str
    process: Process
    began: int
    output: Json = None
    ended: bool = False


@dataclass
class Lease:
    owner: str
    until: Millis
    process: Process


@dataclass
class Witness:
    """See the module. What must not happen ends the simulation, whoever would have caught it."""

    world: World
    effects: list[Effect] = field(default_factory=list)
    leases: dict[Place, Lease] = field(default_factory=dict)
    committed_at: dict[Place, int] = field(default_factory=dict)
    """The turn at which the outcome of an attempt was committed."""
    cancelled: set[str] = field(default_factory=set)
    """Runs whose cancel was answered."""
    commits: list[tuple[str, int, str]] = field(default_factory=list)
    """Run, revision and status, in the order in which they were applied: what the simulation comes to."""
    heads: dict[str, int] = field(default_factory=dict)
    endings: list[tuple[str, str, str]] = field(default_factory=list)
    """Each end of a run, with the id and the type of the event that tells of it."""

    # -- what nodes do ----------------------------------------------------------------------------------------------

    @telling
    def begins(self, node: Lucky, ctx: Any, seen: list[int]) -> int:
        """An execution begins; answers its number."""
        world = self.world
        place = (ctx.run.id, ctx.step, ctx.attempt)
        number = len(self.effects) + 1
        process = world.baton.me.process
        effect = Effect(number, ctx.run.account, place, ctx.node, process, world.baton.turns)  # type: ignore[arg-type]  # nodes are executed in processes
        before = [one for one in self.effects if one.place == place]
        for seen_effect in (self.effects[one - 1] for one in seen):
            assert seen_effect.account == ctx.run.account, f"{place} sees an output of another account"
            other = seen_effect.place[0]
            # A run sees what its child gave, which sees its own.
            known = other == ctx.run.id or world.is_child(other) or world.is_child(ctx.run.id)
            assert known, f"{place} sees an output of {seen_effect.place}"
        if not node.pure and not world.functions:
            lease = self.leases.get(place)
            assert lease is not None, f"{place} is executed without a claim"
            holds = lease.process is process and lease.until > world.clock.now() + world.sky.weather.skew
            if holds:
                assert place not in self.committed_at, f"{place} is executed after its outcome was committed"
                busy = [one for one in before if not one.ended and not one.process.dead and one.process is not process]
                assert not busy or world.froze, f"{place} is executed by two at once"
        flow = world.flow_of(RunId(ctx.run.id))
        if flow is not None and flow.nodes[ctx.node].at_most_once and not node.pure:
            assert not before, f"{place} is executed twice, and may be executed once at most"
        self.effects.append(effect)
        return number

    def ends(self, number: int, output: Json) -> None:
        self.effects[number - 1].output = output
        self.effects[number - 1].ended = True

    # -- what the store of runs does --------------------------------------------------------------------------------

    @telling
    def granted(self, process: Process, request: ClaimRequest, until: Millis) -> None:
        """A claim is granted until then: whoever asks again for what it has is given no longer lease."""
        place = (request.run, request.step, request.attempt)
        assert request.run not in self.cancelled, f"{place} begins after the cancel of its run was answered"
        assert place not in self.committed_at, f"{place} may begin although its outcome is committed"
        lease = self.leases.get(place)
        if lease is not None and lease.owner != request.owner:
            assert lease.until <= request.now, f"{place} is given to {request.owner}, and {lease.owner} has it"
            assert not request.at_most_once, f"{place} is given to a second one, and may begin once"
        self.leases[place] = Lease(request.owner, until, process)

    def renewed(self, claims: Any, owner: str, until: Millis) -> None:
        for _, run, step, attempt in claims:
            lease = self.leases.get((run, step, attempt))
            if lease is not None and lease.owner == owner:
                lease.until = until

    def let_go(self, claims: Any, owner: str) -> None:
        for _, run, step, attempt in claims:
            lease = self.leases.get((run, step, attempt))
            if lease is not None and lease.owner == owner:
                del self.leases[run, step, attempt]

    @telling
    def committed(self, commit: Commit) -> None:
        run = str(commit.run)
        if commit.head is not None:
            self.commits.append((run, commit.rev, commit.status))
            before = self.heads.get(run, 1)
            assert commit.expected_rev == before, (
                f"the head of {run} was moved from {commit.expected_rev}, not {before}"
            )
            self.heads[run] = commit.rev
        if commit.ended_at is not None and commit.head is not None:
            state = decode(orjson.loads(commit.head))
            type = ENDS[state.status]
            self.endings.append((run, f"run:{state.attempt}:{type}", type))
        if commit.reopened:
            self.cancelled.discard(run)
        for row in commit.steps:
            place = (run, str(row.step), row.attempt)
            if row.rev and row.status.final:
                # A redrive takes over what was recorded before: it is committed by that then.
                assert place not in self.committed_at, f"the outcome of {place} is committed twice"
                self.committed_at[place] = self.world.baton.turns

    # -- what people do ---------------------------------------------------------------------------------------------

    def cancel_answered(self, run: str) -> None:
        self.cancelled.add(run)

    @telling
    def same_run(self, number: int, first: str, again: str) -> None:
        assert first == again, f"wish {number} was asked for again under its key, and started another run"

    def of_others(self, run: str) -> set[int]:
        """The executions of other runs."""
        return {one.number for one in self.effects if one.place[0] != run}
