"""Random flows, random luck and random order, for Hypothesis.

A *game* is a flow, a list of outcomes and a list of moves. What an attempt comes to depends on its node, activation,
item and number alone (a hash picks from `outcomes`), never on the order; `moves` picks what happens next, among it
duplicates, late answers, cancels and redrives. Short lists of small numbers are simple games, so Hypothesis shrinks
a failing game to one that a person can follow.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from zlib import crc32

from flowrunner.core.decide import Rejected
from flowrunner.core.flow import Flow, FlowLimits, Foreach, Join, JoinMode, Node, OnError, RetryPolicy
from flowrunner.core.ids import NodeId
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from tests.builders import describe, first_nodes
from tests.core.harness import Run
from tests.core.model import Act, Fact, Item

NAMES = "abcdefgh"
ACTIONS = ("default", "error", "skipped", "x")
MAX_STEPS = 40
MAX_MOVES = 3_000


@dataclass(frozen=True)
class Kind:
    """What a game is about: how likely the parts of a flow are, in percent."""

    nodes: int = 6
    joins: int = 35
    foreach: int = 20
    policies: int = 40
    edges: int = 2
    trouble: int = 8
    """Of 32 moves, those that are not simply the next thing to happen."""


@dataclass(frozen=True)
class Game:
    """Everything that determines a run."""

    flow: Flow
    outcomes: tuple[int, ...]
    moves: tuple[int, ...]
    slot: bool
    parent: bool
    trouble: int

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """How Hypothesis shows a failing game."""
        luck = f"outcomes={self.outcomes} moves={self.moves} slot={self.slot} parent={self.parent}"
        printer.text(f"\n{describe(self.flow)}\n{luck} trouble={self.trouble}\n")


@st.composite
def games(draw: st.DrawFn, kind: Kind) -> Game:
    """Games of a kind."""
    return Game(
        flow=draw(flows(kind)),
        outcomes=tuple(draw(st.lists(st.integers(0, 15), min_size=1, max_size=20))),
        moves=tuple(draw(st.lists(st.integers(0, 32 * 64 - 1), max_size=60))),
        slot=draw(st.booleans()),
        parent=draw(st.booleans()),
        trouble=kind.trouble,
    )


@st.composite
def flows(draw: st.DrawFn, kind: Kind) -> Flow:
    """Flows that the loader would accept: no node is both a join and a target, every node can be reached."""
    names = [NodeId(name) for name in NAMES[: draw(st.integers(1, kind.nodes))]]
    joins = {name for name in names[1:] if _chance(draw, kind.joins)}
    targets = [name for name in names if name not in joins]
    nodes = {}
    for index, name in enumerate(names):
        join = None
        if name in joins:
            needs = draw(st.lists(st.sampled_from(names[:index]), min_size=1, max_size=3, unique=True))
            join = Join(tuple(needs), draw(st.sampled_from(JoinMode)))
        node = Node(id=name, type="noop", join=join, next=draw(_edges(targets, kind.edges)))
        if _chance(draw, kind.foreach):
            node = replace(node, foreach=draw(_foreach()))
        if _chance(draw, kind.policies):
            node = draw(_policies(node))
        nodes[name] = node
    flow = Flow(name="game", nodes=nodes, start=_start(nodes), limits=FlowLimits(10, MAX_STEPS))
    return draw(_run_policies(flow)) if _chance(draw, kind.policies) else flow


def _chance(draw: st.DrawFn, percent: int) -> bool:
    return draw(st.integers(0, 99)) >= 100 - percent


def _edges(targets: list[NodeId], most: int) -> st.SearchStrategy[dict[str, tuple[NodeId, ...]]]:
    group = st.lists(st.sampled_from(targets), min_size=1, max_size=2).map(tuple)
    return st.dictionaries(st.sampled_from(ACTIONS), group, max_size=most)


@st.composite
def _foreach(draw: st.DrawFn) -> Foreach:
    percent = draw(st.booleans())
    return Foreach(
        items="items",
        max_concurrency=draw(st.integers(1, 3)),
        tolerate=draw(st.sampled_from([0, 25, 50] if percent else [0, 1, 2])),
        tolerate_percent=percent,
    )


@st.composite
def _policies(draw: st.DrawFn, node: Node) -> Node:
    return replace(
        node,
        retry=_retry(draw),
        at_most_once=draw(st.integers(0, 7)) == 7,
        on_error=draw(st.sampled_from([OnError.FAIL, OnError.FAIL, OnError.CONTINUE])),
    )


def _retry(draw: st.DrawFn) -> RetryPolicy:
    return RetryPolicy(
        max_attempts=draw(st.integers(1, 3)),
        delay=draw(st.sampled_from([0, 100, 1_000])),
        backoff=draw(st.sampled_from([1.0, 2.0, 1.5])),
        max_delay=draw(st.sampled_from([300_000, 150])),
        jitter=draw(st.sampled_from(["none", "full"])),
        on=draw(st.sampled_from([(), ("E",), ("R", "AMBIGUOUS")])),
    )


@st.composite
def _run_policies(draw: st.DrawFn, flow: Flow) -> Flow:
    return replace(
        flow,
        on_error=draw(st.sampled_from(OnError).filter(lambda one: one is not OnError.FAIL)),
        retry_run=_retry(draw),
        timeout=draw(st.sampled_from([None, None, 60_000, 3_000])),
        limits=FlowLimits(draw(st.integers(1, 4)), draw(st.sampled_from([MAX_STEPS, 10]))),
    )


def _start(nodes: dict[NodeId, Node]) -> tuple[NodeId, ...]:
    """The first nodes, and one of every part that cannot be reached from them."""
    start = list(first_nodes(nodes))
    reached: set[NodeId] = set()
    queue = list(start)
    for extra in [None, *(node.id for node in nodes.values() if node.join is None)]:
        if extra is not None and extra not in reached:
            start.append(extra)
            queue.append(extra)
        while queue:
            here = queue.pop()
            if here not in reached:
                reached.add(here)
                queue += [target for group in nodes[here].next.values() for target in group]
                queue += [node.id for node in nodes.values() if node.join and here in node.join.needs]
    return tuple(dict.fromkeys(start))


def _told(fact: Fact) -> str:
    """A fact with what differs from the defaults."""
    plain = Fact(fact.kind)
    return f"  {fact.kind} " + " ".join(
        f"{one.name}={getattr(fact, one.name)}"
        for one in fields(fact)
        if getattr(fact, one.name) != getattr(plain, one.name)
    )


# -- playing ----------------------------------------------------------------------------------------------------------


class Player:
    """Plays a game to its end. Core and model are compared at every move (see `Run.happen`)."""

    def __init__(self, game: Game) -> None:
        self.game = game
        self.run = Run(game.flow, slot="key" if game.slot else None, parent=game.parent)
        self.past: list[Fact] = []
        self.redrives = 0
        self.rejected = 0

    def play(self) -> Run:
        """Asserts that the run ends, and that it takes nothing any more then. Answers the run."""
        try:
            return self._play()
        except AssertionError as failure:
            failure.add_note("what had happened:\n" + "\n".join(map(_told, self.past[-20:])))
            raise

    def _play(self) -> Run:
        run, moves = self.run, list(self.game.moves)
        self._try(Fact("queue" if self.game.slot and moves and moves[0] % 2 else "start"))
        for _ in range(MAX_MOVES):
            move = moves.pop(0) if moves else 0
            if run.state.status.over:
                if not run.model.settling and not (moves and self.redrives < 3):
                    break
                self._after_the_end(move)
            else:
                self._move(move)
        else:
            raise AssertionError(f"the run has not ended after {MAX_MOVES} moves")
        for fact in self.past:
            if fact.kind != "redrive":
                self._try(fact, must_be_rejected=True)
        return run

    def _try(self, fact: Fact, *, must_be_rejected: bool = False) -> None:
        try:
            self.run.happen(fact)
        except Rejected:
            self.rejected += 1
            return
        except AssertionError as failure:
            failure.add_note(f"while told {_told(fact)} at {self.run.now} with {self.run.draw}")
            raise
        assert not must_be_rejected, f"{fact} was accepted by a run that is over"
        self.past.append(fact)

    def _move(self, move: int) -> None:
        run, special, pick = self.run, move % 32, move // 32
        run.draw = (pick % 8) / 8
        run.now += (pick % 5) * 40
        if run.status == "queued":
            self._try(Fact("cancel" if special == 31 else "grant"))
        elif special >= 32 - self.game.trouble:
            self._trouble(31 - special, pick)
        else:
            self._go_on(pick)

    def _go_on(self, pick: int) -> None:
        """The next thing that was to happen happens."""
        steps = self.run.model_steps()
        act, item = steps[pick % len(steps)]
        fact = self._outcome(act, item)
        one = item or act
        if fact.kind == "timer":
            self.run.now = max(self.run.now, one.due)
        self._try(fact)

    def _trouble(self, which: int, pick: int) -> None:
        """Something out of order: mostly events that have to be rejected."""
        run, steps = self.run, self.run.model_steps()
        act, item = steps[pick % len(steps)]
        outcome = self._outcome(act, item)
        if which in (0, 1):
            self._try(self.past[pick % len(self.past)])
        elif which == 2:
            self._try(replace(outcome, attempt=outcome.attempt + (1 if pick % 2 else -1)))
        elif which == 3:
            kinds = ("succeed", "fail", "skip", "expand", "wait", "signal", "signal_error", "timer")
            self._try(replace(outcome, kind=kinds[pick % len(kinds)], code="E", count=pick % 3))
        elif which == 4:
            if run.model.deadline and pick % 2:
                run.now = max(run.now, run.model.deadline)
            self._try(Fact("deadline"))
        elif which == 5:
            self._try(replace(outcome, uid=pick % (len(run.model.acts) + 1), index=pick % 4 - 1))
        elif which == 6:
            self._try(Fact("cancel"))
        else:
            self._try(Fact(("start", "grant", "settle", "redrive", "output_failed")[pick % 5], code="OUT"))

    def _after_the_end(self, move: int) -> None:
        special, pick = move % 32, move // 32
        self.run.now += 10
        if special % 2 or self.run.model.settling:
            self._try(Fact("settle") if special % 4 < 3 else Fact("cancel"))
        elif self.past and special % 8 == 0:
            self._try(self.past[pick % len(self.past)])
        else:
            names = list(self.game.flow.nodes)
            node = names[pick % len(names)] if special % 8 == 2 else None
            if self.redrives < 3:
                self._try(Fact("redrive", node=node))
                self.redrives += 1

    def _outcome(self, act: Act, item: Item | None) -> Fact:
        """What this attempt comes to: a function of node, activation, item and attempt."""
        one = item or act
        waiting = (item.state if item else act.phase) == "waiting"
        collecting = act.items is not None and item is None
        key = f"{act.node}/{act.n}/{one.attempt}/{item.index if item else ''}/{waiting}/{collecting}"
        number = crc32(key.encode())
        luck = self.game.outcomes[number % len(self.game.outcomes)]
        fact = Fact("succeed", act.uid, item.index if item else -1, one.attempt)
        if waiting:
            return self._answer(fact, luck, one)
        if self.game.flow.nodes[act.node].foreach and act.items is None and luck not in (7, 8, 13):
            return replace(fact, kind="expand", count=1 + number % 5)
        match luck:
            case 5:
                return replace(fact, keys=("k", act.node), removed=("r",))
            case 6:
                return replace(fact, action="x", keys=("r",), removed=("k",))
            case 7 if item is None and not collecting:
                return replace(fact, kind="skip")
            case 8 | 9:
                return replace(fact, kind="fail", code="E")
            case 10 | 11:
                return replace(
                    fact, kind="fail", code="R", retryable=True, retry_after=700 if luck == 11 else 0
                )
            case 12:
                return replace(fact, kind="wait", child=number % 2 == 0)
            case 13:
                return replace(fact, kind="wait", until=self.run.now + 500)
            case 14:
                return replace(fact, kind="fail", code="AMBIGUOUS", retryable=True)
        return fact

    def _answer(self, fact: Fact, luck: int, one: Act | Item) -> Fact:
        if luck in (9, 10):
            return replace(fact, kind="signal_error", code="R" if luck == 10 else "E", retryable=luck == 10)
        action = "x" if luck == 6 else "default"
        return replace(fact, kind="timer" if one.due and luck % 2 == 0 else "signal", action=action)
