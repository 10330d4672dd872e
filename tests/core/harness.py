"""A run that is decided twice: by the core and by the slow model, compared after every event.

Steps are named as people see them: `a`, `a.2` for the second activation, `a[3]` and `a.2[3]` for items.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from flowrunner.core import events as ev
from flowrunner.core.codec import encode
from flowrunner.core.commands import Decision, RecordStep
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.events import ErrorFacts, Event
from flowrunner.core.flow import Flow
from flowrunner.core.graph import Graph, build_graph
from flowrunner.core.ids import NodeId, StepId
from flowrunner.core.state import SETTLE, Phase, State, item_index, parent_of_item, step_label

from tests.core.invariants import Invariants
from tests.core.model import Model, Refused
from tests.core.records import Act, Fact, Item

PHASES = {"ready": "r", "held": "h", "waiting": "w", "mapping": "m"}
NOWHERE = StepId("999999.0")


@dataclass
class Run:
    """The state and the model of one run. Every method that makes something happen raises `Rejected` if both refuse."""

    flow: Flow
    slot: str | None = None
    parent: bool = False
    now: int = 1_000
    draw: float = 0.5
    state: State = field(init=False)
    model: Model = field(init=False)
    graph: Graph = field(init=False)
    ids: dict[tuple[int, int], StepId] = field(default_factory=dict)
    """The core's name of each of the model's activations and items."""

    def __post_init__(self) -> None:
        self.state = State(slot=self.slot, parent=self.parent, started_at=self.now)
        self.model = Model(self.flow, slot=self.slot is not None, parent=self.parent)
        self.graph = build_graph(self.flow)
        self.invariants = Invariants(self.flow)

    # -- what happens ---------------------------------------------------------------------------------------------

    def happen(self, fact: Fact) -> Decision:
        """Tell both; assert that they agree and that the old state is as it was; raise `Rejected` when both refuse."""
        event = self.event(fact)
        before = json.dumps(encode(self.state))
        refused = self._refused(fact)
        rejection: Rejected | None = None
        try:
            decision = decide(self.graph, self.state, event, self.now, self.draw)
        except Rejected as told:
            rejection = told
        assert json.dumps(encode(self.state)) == before, "the event changed the state it was applied to"
        if rejection is not None:
            assert refused, f"the core rejects what is in order: {rejection}"
            raise rejection
        assert not refused, "the core takes what is not in order"
        self.invariants.check(self.state, event, decision)
        self.state = decision.state
        self._learn_recorded(decision)
        self.compare()
        return decision

    def _refused(self, fact: Fact) -> bool:
        try:
            self.model.apply(fact, self.now, self.draw)
        except Refused:
            return True
        return False

    def start(self, *, queued: bool = False) -> Decision:
        return self.happen(Fact("queue" if queued else "start"))

    def ok(self, label: str, action: str = "default", *, keys: tuple[str, ...] = ()) -> Decision:
        return self._step("succeed", label, action=action, keys=keys)

    def fail(self, label: str, code: str = "E", *, retryable: bool = False, retry_after: int = 0) -> Decision:
        return self._step("fail", label, code=code, retryable=retryable, retry_after=retry_after)

    def skip(self, label: str) -> Decision:
        return self._step("skip", label)

    def expand(self, label: str, count: int) -> Decision:
        return self._step("expand", label, count=count)

    def wait(self, label: str, until: int = 0, *, child: bool = False) -> Decision:
        return self._step("wait", label, until=until, child=child)

    def signal(self, label: str, action: str = "default", *, error: str = "", retryable: bool = False) -> Decision:
        if error:
            return self._step("signal_error", label, code=error, retryable=retryable)
        return self._step("signal", label, action=action)

    def timer(self, label: str) -> Decision:
        return self._step("timer", label)

    def cancel(self) -> Decision:
        return self.happen(Fact("cancel"))

    def redrive(self, node: str | None = None) -> Decision:
        return self.happen(Fact("redrive", node=NodeId(node) if node else None))

    def settle(self) -> Decision:
        return self.happen(Fact("settle"))

    def _step(self, kind: str, label: str, **facts: object) -> Decision:
        for act, item in self.model_steps():
            index = item.index if item else -1
            if step_label(act.node, act.n, index) == label:
                attempt = item.attempt if item else act.attempt
                fact = Fact(kind, act.uid, index, attempt)
                return self.happen(replace(fact, **facts))  # type: ignore[arg-type]  # a helper's keywords are its callers'
        raise KeyError(f"no step {label} is scheduled; there are {sorted(self.phases)}")

    def event(self, fact: Fact) -> Event:
        """The core's event for a fact."""
        step = self.ids.get((fact.uid, fact.index), NOWHERE)
        error = ErrorFacts(fact.code, "no luck", fact.retryable, fact.retry_after, {"status": 500})
        child = f"child-of-{step}-{fact.attempt}" if fact.child else None
        events: dict[str, Event] = {
            "start": ev.RunStarted(),
            "queue": ev.RunStarted(queued=True),
            "grant": ev.SlotGranted(),
            "cancel": ev.CancelRequested(),
            "deadline": ev.DeadlinePassed(),
            "output_failed": ev.OutputFailed(error),
            "settle": ev.RunSettled(),
            "redrive": ev.RedriveRequested(fact.node),
            "succeed": ev.StepSucceeded(step, fact.attempt, fact.action, fact.keys, fact.removed),
            "fail": ev.StepFailed(step, fact.attempt, error),
            "skip": ev.StepSkipped(step, fact.attempt),
            "expand": ev.StepExpanded(step, fact.attempt, fact.count),
            "wait": ev.StepWaiting(step, fact.attempt, fact.until, child),
            "signal": ev.SignalReceived(step, fact.attempt, fact.action),
            "signal_error": ev.SignalReceived(step, fact.attempt, error=error),
            "timer": ev.TimerFired(step, fact.attempt, fact.action),
        }
        return events[fact.kind]

    # -- how it stands --------------------------------------------------------------------------------------------

    @property
    def phases(self) -> dict[str, str]:
        """The frontier: label → phase letter, in the order scheduled."""
        return {
            step_label(entry.node, entry.n, item_index(step)): entry.phase.value
            for step, entry in self.state.frontier.items()
        }

    @property
    def active(self) -> list[str]:
        return sorted(self.phases)

    @property
    def status(self) -> str:
        return self.state.status.value

    @property
    def error(self) -> str | None:
        return str(self.state.error["code"]) if self.state.error else None

    def ended(self, node: str) -> str | None:
        """How the node's last activation ended."""
        found = self.state.nodes.get(NodeId(node))
        return found.status.value if found else None

    def step(self, label: str) -> StepId:
        """The id of a scheduled step."""
        for step, entry in self.state.frontier.items():
            if step_label(entry.node, entry.n, item_index(step)) == label:
                return step
        raise KeyError(label)

    def due(self, label: str) -> int:
        return self.state.frontier[self.step(label)].due

    def model_steps(self) -> list[tuple[Act, Item | None]]:
        """Activations and items that something can happen to, oldest first."""
        found: list[tuple[Act, Item | None]] = []
        for act in self.model.active():
            if act.phase in ("ready", "waiting"):
                found.append((act, None))
            elif act.phase == "mapping":
                found += [(act, item) for item in act.items or () if item.state in ("ready", "waiting")]
        return found

    # -- whether both agree ---------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Assert that the state says what the model says, and learn the names of new steps."""
        model, state = self.model, self.state
        assert (state.status.value, state.steps, state.attempt, state.retries, state.deadline) == (
            model.status,
            model.steps,
            model.attempt,
            model.restarts,
            model.deadline,
        )
        assert (SETTLE in state.frontier) == model.settling
        error = state.error and (state.error["code"], state.error["node"])
        assert error == model.error
        frontier = {step: entry for step, entry in state.frontier.items() if step != SETTLE}
        by_place = {
            (entry.node, entry.n, item_index(step)): step for step, entry in [*frontier.items(), *state.parked.items()]
        }
        self._learn(by_place)
        self._compare_steps(by_place)
        self._compare_ends()
        joins = {
            join: {node: (how[0].value, how[1]) for node, how in one.arrived.items()}
            for join, one in state.joins.items()
        }
        assert joins == {join: model.current(join) for join in self.graph.joins if model.current(join)}
        assert {join for join, one in state.joins.items() if one.fired} == model.fired
        assert dict(state.vars) == {key: self.ids[at] for key, at in model.vars.items()}

    def _learn(self, by_place: dict[tuple[NodeId, int, int], StepId]) -> None:
        for act, item in self._model_all():
            index = item.index if item else -1
            place = (act.node, act.n, index)
            assert place in by_place, f"{step_label(*place)} is missing; the core has {sorted(by_place.values())}"
            assert self.ids.setdefault((act.uid, index), by_place[place]) == by_place[place]

    def _learn_recorded(self, decision: Decision) -> None:
        """Joins that ended in the decision that looked at them were never scheduled; others may come from them."""
        for one in decision.commands:
            if isinstance(one, RecordStep) and one.step not in self.ids.values():
                fresh = [act for act in self.model.acts if act.place == "over" and (act.uid, -1) not in self.ids]
                act = next((act for act in fresh if (act.node, act.n) == (one.node, one.n)), None)
                assert act is not None, f"the core ended {one.node}.{one.n} by itself, the model did not"
                self.ids[act.uid, -1] = one.step

    def _model_all(self) -> list[tuple[Act, Item | None]]:
        found: list[tuple[Act, Item | None]] = []
        for act in self.model.acts:
            if act.place in ("active", "parked"):
                found.append((act, None))
                if act.phase == "mapping":
                    found += [(act, item) for item in act.items or () if item.state in ("ready", "waiting")]
        return found

    def _compare_steps(self, by_place: dict[tuple[NodeId, int, int], StepId]) -> None:
        both = self._model_all()
        assert len(both) == len(by_place), f"the core has {sorted(by_place)}, the model {both}"
        for act, item in both:
            one: Act | Item = item or act
            step = self.ids[act.uid, item.index if item else -1]
            entry = {**self.state.parked, **self.state.frontier}[step]
            assert (step in self.state.frontier) == (act.place == "active")
            phase = Phase(PHASES[item.state if item else act.phase])
            actual = entry.phase
            if act.place == "parked" and {actual, phase} == {Phase.READY, Phase.HELD}:
                actual = phase  # all the same: a redrive holds both
            parent = None if act.parent is None else self.ids.get((act.parent, -1))
            told = (
                actual,
                entry.attempt,
                entry.attempt - entry.spent,
                entry.via,
                entry.parent,
                bool(entry.child),
            )
            assert told == (phase, one.attempt, one.tries + 1, act.via, parent, one.child)
            if phase in (Phase.READY, Phase.WAITING) and act.place == "active":
                assert entry.due == one.due
        held = [entry.node for entry in self.state.frontier.values() if entry.phase is Phase.HELD]
        assert held == [act.node for act in self.model.active() if act.phase == "held"]
        for act in self.model.active():
            if act.items is not None:
                state = self.state.maps[self.ids[act.uid, -1]]
                assert state.done == sum(1 << item.index for item in act.items if item.state == "done")
                assert sorted(state.bad) == [item.index for item in act.items if item.state == "bad"]
        assert {parent_of_item(step) or step for step in self.state.maps} <= {*by_place.values()}

    def _compare_ends(self) -> None:
        expected: dict[NodeId, tuple[str, str | None, int, bool, int]] = {}
        for end in self.model.ends:
            if not end.hidden:
                highest = max(end.act.n, expected[end.act.node][-1] if end.act.node in expected else 0)
                expected[end.act.node] = (end.status, end.action, end.attempt, end.handled, highest)
        actual = {
            node: (one.status.value, one.action, one.attempt, one.handled, one.n)
            for node, one in self.state.nodes.items()
        }
        assert actual == expected
