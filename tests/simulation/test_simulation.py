"""Whole systems in one process, on simulated time, with everything going wrong that may: what must hold, holds.

`scripts/simulate --seeds 20000` plays more of them, and `--seed N` one again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.postgres.backend import PostgresBackend
from flowrunner.core.flow import Foreach, RetryPolicy
from flowrunner.core.ids import NodeId, RunId

from tests.builders import flow
from tests.postgres import Cluster
from tests.simulation.defects import DEFECTS, Patch
from tests.simulation.homes import home
from tests.simulation.invoked import invoked
from tests.simulation.lagging import LaggingTable
from tests.simulation.scenes import ACCOUNTS, Scene, Wish
from tests.simulation.seeds import play, play_lagging, played
from tests.simulation.weather import FATES, Planned
from tests.simulation.world import World

SEEDS = 500
INVOKED = 50
LAGGING = 15
AT_ONCE = 25
PAIRS = int(os.environ.get("CHECK_PAIRS", "150"))
TRIED = 150
"""Seeds that a defect may need, from the one that found it first: a change of the engine lets others find it."""


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_what_must_hold_holds(first: int) -> None:
    """Messages lost, doubled, shuffled and late; processes dead at any call; answers lost; stores and clocks in trouble."""
    for seed in range(first, first + AT_ONCE):
        play(seed)


@pytest.mark.parametrize("first", range(0, INVOKED, AT_ONCE))
def test_what_must_hold_holds_for_functions_without_a_sweeper(first: int) -> None:
    """The same as invocations that end, from a queue that delivers at least once: messages alone lead on."""
    for seed in range(first, first + AT_ONCE):
        played(invoked(seed))


def test_what_must_hold_holds_where_indexes_are_behind() -> None:
    """Lists, what is due and who is to be swept are read from indexes of DynamoDB that may show what was."""
    tables = [LaggingTable() for _ in range(LAGGING)]
    for seed, table in enumerate(tables):
        play_lagging(seed, table)
    assert sum(table.late for table in tables) > LAGGING


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda one: one.__name__)
def test_a_planted_defect_is_found(defect: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """The tests of the tests: each mistake, made on purpose, ends some seed with what it violates."""
    first = DEFECTS[defect]
    defect(monkeypatch)
    for seed in range(first, first + TRIED):
        try:
            play(seed)
        except AssertionError:
            return
    raise AssertionError("nobody has noticed")


PROGRAM = """
from tests.simulation.seeds import play
print(*[play(seed).digest for seed in (2, 12, 44, 82)])
"""


def test_a_seed_replays_exactly() -> None:
    """Also in another process, whose sets and dicts of texts have another order."""
    here = " ".join(play(seed).digest for seed in (2, 12, 44, 82))
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.stdout.strip() == here


@pytest.mark.parametrize("store", ["sqlite", "dynamodb"])
def test_all_stores_come_to_the_same(store: str, tmp_path: Path) -> None:
    """The same seeds give the same commits in the same order, whatever keeps the runs."""
    made = home(store, tmp_path)
    for seed in (1, 2, 5, 11, 12, 19, 51, 214):
        assert play(seed, made) == play(seed), f"seed {seed}"


def test_postgresql_comes_to_the_same(postgres: Cluster) -> None:
    """As above, on a server."""
    for seed in (2, 12, 51):
        backend = PostgresBackend(postgres.new_database())
        backend.migrate()
        assert play(seed, lambda made=backend: made) == play(seed), f"seed {seed}"  # type: ignore[misc]  # bound now


# -- faults, one by one and in pairs -----------------------------------------------------------------------------------


def scene() -> Scene:
    """A run with a join, items, a retry, a timer and a step that may be executed once at most."""
    made = flow(
        "a -> b, c; j needs b, c; j -> d",
        nodes={
            "a": {"type": "quick"},
            "b": {"type": "quick", "foreach": Foreach(items=[1, 2], max_concurrency=1)},
            "c": {"type": "quick", "retry": RetryPolicy(max_attempts=2, delay=100, jitter="none")},
            "j": {"type": "pure"},
            "d": {"type": "quick", "at_most_once": True},
        },
    )
    return Scene({"game": replace(made, name="game")}, (0, 13, 1, 11, 0), [Wish(ACCOUNTS[0], "game", 0)])


def plan(faults: dict[int, str]) -> tuple[Planned, str]:
    """Play that scene with exactly these faults; how its run ended: its status, or the code of its error."""
    world = World(3, MemoryBackend(), scene(), sky := Planned(faults), servers=1)
    [(run, status)] = played(world).statuses.items()
    error = world.reader().run(ACCOUNTS[0], RunId(run)).error
    return sky, status if error is None else str(error["code"])


GIVEN_UP = {
    "dies before": {"AMBIGUOUS"},
    "dies after": {"AMBIGUOUS"},
    "frozen": {"AMBIGUOUS"},
    "fails": {"AMBIGUOUS"},
    "lost": {"AMBIGUOUS"},
}
"""What a fault may come to instead: nobody knows whether a step was executed that may be so once at most."""


def test_any_call_may_meet_any_fate() -> None:
    """Each call of the whole play, each kind of fault: the run ends, well unless a step had to be given up."""
    calm, ended = plan({})
    assert ended == "completed"
    for fate in FATES:
        for number, name in enumerate(calm.calls, 1):
            _, ended = plan({number: fate})
            assert ended in {"completed", *GIVEN_UP.get(fate, ())}, f"{fate} at {number}: {name}"


def test_any_two_calls_may_meet_any_fates() -> None:
    """Pairs, drawn at random: many more than anybody thinks of."""
    chance = random.Random(1)
    calls = len(plan({})[0].calls)
    for _ in range(PAIRS):
        first, second = sorted((chance.randint(1, calls), chance.randint(1, calls + 20)))
        plan({first: chance.choice(FATES), second: chance.choice(FATES)})


def test_without_faults_nothing_is_executed_twice() -> None:
    """Each step has its effects once."""
    world = World(3, MemoryBackend(), scene(), Planned({}), servers=3)
    told = played(world)
    places = [one.place for one in world.witness.effects]
    assert len(places) == len(set(places)) == told.effects


def test_the_scene_has_what_it_says() -> None:
    """A timer, a retry and items are met: else trying faults on it is worth little."""
    made = scene().flows["game"]
    assert made.nodes[NodeId("b")].foreach is not None
    world = World(3, MemoryBackend(), scene(), Planned({}), servers=1)
    played(world)
    kinds = {(one.node, one.place[2]) for one in world.witness.effects}
    assert {("a", 1), ("b", 1), ("c", 1), ("j", 1), ("d", 1)} <= kinds
