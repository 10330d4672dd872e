"""What is played: flows, mostly random ones, the runs that are started of them, and what people do to those."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, Millis
from flowrunner.language.load import load_valid_flow
from hypothesis.control import BuildContext
from hypothesis.internal.conjecture.data import ConjectureData
from hypothesis.internal.conjecture.providers import PrimitiveProvider

from tests.core.strategies import OUTCOMES, Kind, flows
from tests.simulation.nodes import kind_of

ACCOUNTS = (AccountId("north"), AccountId("south"))

KINDS = (
    Kind(nodes=5),
    Kind(nodes=6, joins=60, foreach=5, policies=20),
    Kind(nodes=3, joins=25, foreach=80, policies=50, edges=1),
    Kind(nodes=4, joins=30, foreach=10, policies=90),
)

CHILD = """
metadata: {name: child}
nodes:
  c: {type: claimed, next: d}
  d: {type: pure}
"""

DOCUMENTS = {
    "parent": """
metadata: {name: parent}
nodes:
  a: {type: quick, next: [run, b]}
  run: {type: flow.run, params: {flow: child}, on_error: continue}
  b: {type: claimed, on_error: continue}
  j: {type: quick, needs: [run, b], on_error: continue}
""",
    "slots": """
metadata: {name: slots}
concurrency: {key: one, max_runs: 1, on_limit: queue}
nodes:
  a: {type: claimed, next: b}
  b: {type: pure}
""",
    "timers": """
metadata: {name: timers}
timeout: 3h
nodes:
  a: {type: delay, params: {for: 20m}, next: [b, c]}
  b: {type: wait.callback, params: {timeout: 1h}, next: {default: d, timeout: d}}
  c: {type: claimed, retry: {max_attempts: 3, delay: 90s}, on_error: continue}
  d: {type: quick, at_most_once: true, on_error: continue}
  j: {type: pure, needs: [d, c]}
""",
}


TICK = """
metadata: {name: tick}
nodes:
  a: {type: quick, on_error: continue}
"""

ENDS = ("run.completed", "run.failed", "run.cancelled")
HOOKS = ("webhook-relay", "webhook-deliveries")
TIMERS = ("schedules",)
MINUTE: Millis = 60_000


@dataclass(frozen=True)
class Wish:
    """A run that somebody starts, and what happens to it then: an act, after so many ms.

    `cancel`, `redrive`, and `again`: the same start once more. `server`: who is asked has a worker, too.
    """

    account: AccountId
    flow: str
    after: Millis
    acts: tuple[tuple[str, Millis], ...] = ()
    server: bool = False


@dataclass(frozen=True)
class Hearing:
    """A webhook of an account, or of one of its flows."""

    account: AccountId
    flow: str | None
    events: tuple[str, ...]


@dataclass(frozen=True)
class Timer:
    """A schedule that fires every so many minutes, until somebody switches it off."""

    account: AccountId
    every: int
    missed: Literal["skip", "run_once"]
    off: Millis


@dataclass(frozen=True)
class Reading:
    """Somebody watches a run that was wished for: which, after how long, and for how long at a time."""

    wish: int
    after: Millis
    length: Millis


@dataclass
class Scene:
    """Everything that is played. `flows` by name, as they are when their nodes are replaced by the world's."""

    flows: dict[str, Flow] = field(default_factory=dict)
    outcomes: tuple[int, ...] = (0,)
    wishes: list[Wish] = field(default_factory=list)
    hearings: list[Hearing] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    outage: tuple[Millis, Millis] | None = None
    """From when to when there is no server at all."""
    rounds: tuple[str, ...] = ()
    """What the background of a server has to do."""


class Seeded(PrimitiveProvider):
    """Draws for the strategies of Hypothesis from a seed and nothing else."""

    def __init__(self, conjecturedata: ConjectureData | None, /, chance: random.Random | None = None) -> None:
        super().__init__(conjecturedata)
        self._chance = chance or random.Random(0)

    def draw_boolean(self, p: float = 0.5) -> bool:
        return self._chance.random() < p

    def draw_integer(self, min_value: int | None = None, max_value: int | None = None, **_hints: Any) -> int:
        return self._chance.randint(min_value or 0, max_value if max_value is not None else 2**31)

    def draw_float(self, **_bounds: Any) -> float:
        return self._chance.random()

    def draw_string(self, *_bounds: Any, **_sizes: Any) -> str:
        raise NotImplementedError

    def draw_bytes(self, *_bounds: Any, **_sizes: Any) -> bytes:
        raise NotImplementedError


def drawn(chance: random.Random, *strategies: Any) -> list[Any]:
    """An example of each strategy."""
    data = ConjectureData(random=None, provider=Seeded(None, chance=chance))
    with BuildContext(data, wrapped_test=drawn):
        return [data.draw(one) for one in strategies]


def scene_of(chance: random.Random, seed: int, acts: int) -> Scene:
    """The scene of a seed."""
    made = Scene()
    kind = KINDS[chance.randrange(len(KINDS))]
    flow, outcomes = drawn(chance, flows(kind), OUTCOMES)
    made.outcomes = outcomes
    made.flows["game"] = playable(flow, seed)
    names = ["game"]
    if chance.randrange(3) == 0:
        name = chance.choice(sorted(DOCUMENTS))
        made.flows[name] = load_valid_flow(DOCUMENTS[name])
        names = [name] * 2 if chance.randrange(2) else [name, "game"]
        if name == "parent":
            made.flows["child"] = load_valid_flow(CHILD)
    for number in range(chance.randint(1, 3)):
        happens = [
            (act, chance.choice((0, 1, 500, 5_000, 60_000)))
            for act in ("cancel", "redrive", "redrive")
            if chance.randrange(100) < acts
        ]
        wish = Wish(
            chance.choice(ACCOUNTS), names[number % len(names)], chance.choice((0, 0, 1_000, 30_000)), tuple(happens)
        )
        made.wishes.append(wish)
    surround(made, random.Random(f"{seed}/around"))
    return made


def surround(scene: Scene, chance: random.Random) -> None:
    """Add what is there besides runs and people: webhooks, a schedule, who watches."""
    scene.wishes = [
        replace(
            wish,
            acts=(("again", chance.choice((0, 1_000, 30_000))), *wish.acts) if chance.randrange(4) == 0 else wish.acts,
            server=chance.randrange(2) == 0,
        )
        for wish in scene.wishes
    ]
    if chance.randrange(3) == 0:
        for _ in range(chance.randint(1, 2)):
            flow = chance.choice((None, *sorted(scene.flows)))
            events = ENDS if chance.randrange(2) else (*ENDS, "run.started", "step.succeeded", "step.failed")
            scene.hearings.append(Hearing(chance.choice(scene.wishes).account, flow, events))
        scene.rounds += HOOKS
    if chance.randrange(8) == 0:
        scene.flows["tick"] = load_valid_flow(TICK)
        missed: Literal["skip", "run_once"] = "skip" if chance.randrange(2) else "run_once"
        begins = 3 * MINUTE + chance.randrange(MINUTE)
        if chance.randrange(2):
            scene.outage = begins, begins + chance.randint(12, 18) * MINUTE
        off = (scene.outage[1] if scene.outage else begins) + 7 * MINUTE
        scene.timers.append(Timer(chance.choice(ACCOUNTS), chance.randint(1, 2), missed, off))
        scene.rounds += TIMERS
    if chance.randrange(4) == 0:
        for _ in range(chance.randint(1, 2)):
            length = chance.choice((1_000, 5_000, 30_000))
            scene.readings.append(Reading(chance.randrange(len(scene.wishes)), chance.choice((0, 100, 5_000)), length))


def playable(flow: Flow, seed: int) -> Flow:
    """A flow of the core's random tests with nodes that can be executed."""
    nodes = {
        name: replace(
            node,
            type=kind_of(name, seed),
            foreach=replace(node.foreach, items=[1, 2, 3]) if node.foreach else None,
            timeout=3_000 if kind_of(f"{name}/timeout", seed) == "quick" else None,
        )
        for name, node in flow.nodes.items()
    }
    return replace(flow, nodes=nodes)
