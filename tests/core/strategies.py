"""Random flows, random luck and random order, for Hypothesis.

A *game* is a flow, a list of outcomes and a list of moves. What an attempt comes to depends on its node, activation,
item and number alone (a hash picks from `outcomes`), never on the order; `moves` picks what happens next, among it
duplicates, late answers, cancels and redrives. Short lists of small numbers are simple games, so Hypothesis shrinks
a failing game to one that a person can follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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


@st.composite
def games(draw: st.DrawFn, kind: Kind) -> Game:
    """Games of a kind."""
    return Game(
        flow=kind.flow or draw(flows(kind)),
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
