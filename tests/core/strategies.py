"""Random flows, random luck and random order, for Hypothesis.

A *game* is a flow, a list of outcomes and a list of moves. What an attempt comes to depends on its node, activation,
item and number alone (a hash picks from `outcomes`), never on the order; `moves` picks what happens next, among it
duplicates, late answers, cancels and redrives. Short lists of small numbers are simple games, so Hypothesis shrinks
a failing game to one that a person can follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from flowrunner.core.flow import Flow, FlowLimits, Foreach, Join, JoinMode, Node, OnError, RetryPolicy
from flowrunner.core.ids import NodeId
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from tests.builders import describe, first_nodes

NAMES = "abcdefgh"
ACTIONS = ("default", "error", "skipped", "x")
MAX_STEPS = 40


@dataclass(frozen=True)
class Kind:
    """What a game is about: how likely the parts of a flow are, in percent."""

    nodes: int = 6
    joins: int = 35
    foreach: int = 20
    policies: int = 40
    edges: int = 2
    flow: Flow | None = None
    """Instead of a random one."""
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


# Strategies are made once: making them anew for every draw takes longer than playing the game.
PERCENT = st.integers(0, 99)
MODES = st.sampled_from(JoinMode)
FLAGS = st.booleans()
WINDOWS = st.integers(1, 3)
SHARES, COUNTS = st.sampled_from([0, 25, 50]), st.sampled_from([0, 1, 2])
NODE_ERRORS = st.sampled_from([OnError.FAIL, OnError.FAIL, OnError.CONTINUE])
FLOW_ERRORS = st.sampled_from([OnError.STOP, OnError.CONTINUE, OnError.RETRY_RUN])
TIMEOUTS = st.sampled_from([None, None, 60_000, 3_000])
LIMITS = st.builds(FlowLimits, st.integers(1, 4), st.sampled_from([MAX_STEPS, 10]))
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 3),
    delay=st.sampled_from([0, 100, 1_000]),
    backoff=st.sampled_from([1.0, 2.0, 1.5]),
    max_delay=st.sampled_from([300_000, 150]),
    jitter=st.sampled_from(["none", "full"]),
    on=st.sampled_from([(), ("E",), ("R", "AMBIGUOUS")]),
)
OUTCOMES = st.lists(st.integers(0, 15), min_size=1, max_size=20).map(tuple)
MOVES = st.lists(st.integers(0, 32 * 64 - 1), max_size=60).map(tuple)


@st.composite
def games(draw: st.DrawFn, kind: Kind) -> Game:
    """Games of a kind."""
    return Game(
        flow=kind.flow or draw(_flows(kind)),
        outcomes=draw(OUTCOMES),
        moves=draw(MOVES),
        slot=draw(FLAGS),
        parent=draw(FLAGS),
        trouble=kind.trouble,
    )


@st.composite
def flows(draw: st.DrawFn, kind: Kind) -> Flow:
    """Flows that the loader would accept: no node is both a join and a target, every node can be reached."""
    names = [NodeId(name) for name in NAMES[: draw(_upto(kind.nodes))]]
    joins = {name for name in names[1:] if _chance(draw, kind.joins)}
    targets = tuple(name for name in names if name not in joins)
    nodes = {}
    for index, name in enumerate(names):
        join = Join(draw(_needs(tuple(names[:index]))), draw(MODES)) if name in joins else None
        node = Node(id=name, type="noop", join=join, next=draw(_edges(targets, kind.edges)))
        if _chance(draw, kind.foreach):
            node = replace(node, foreach=_foreach(draw))
        if _chance(draw, kind.policies):
            once = _chance(draw, 12)
            node = replace(node, retry=draw(POLICIES), at_most_once=once, on_error=draw(NODE_ERRORS))
        nodes[name] = node
    flow = Flow(name="game", nodes=nodes, start=_start(nodes), limits=FlowLimits(10, MAX_STEPS))
    if not _chance(draw, kind.policies):
        return flow
    return replace(
        flow,
        on_error=draw(FLOW_ERRORS),
        retry_run=draw(POLICIES),
        timeout=draw(TIMEOUTS),
        limits=draw(LIMITS),
    )


def _chance(draw: st.DrawFn, percent: int) -> bool:
    return draw(PERCENT) >= 100 - percent


@cache
def _flows(kind: Kind) -> st.SearchStrategy[Flow]:
    return flows(kind)


@cache
def _upto(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


@cache
def _needs(earlier: tuple[NodeId, ...]) -> st.SearchStrategy[tuple[NodeId, ...]]:
    return st.lists(st.sampled_from(earlier), min_size=1, max_size=3, unique=True).map(tuple)


@cache
def _edges(targets: tuple[NodeId, ...], most: int) -> st.SearchStrategy[dict[str, tuple[NodeId, ...]]]:
    group = st.lists(st.sampled_from(targets), min_size=1, max_size=2).map(tuple)
    return st.dictionaries(st.sampled_from(ACTIONS), group, max_size=most)


def _foreach(draw: st.DrawFn) -> Foreach:
    percent = draw(FLAGS)
    return Foreach(
        items="items",
        max_concurrency=draw(WINDOWS),
        tolerate=draw(SHARES if percent else COUNTS),
        tolerate_percent=percent,
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
