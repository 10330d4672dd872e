"""A seed is a world with all that happens in it."""

from __future__ import annotations

import hashlib
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.ports.backend import Backend

from tests.simulation.history import check
from tests.simulation.homes import FUNCTIONS, LAGGING, dynamodb, home
from tests.simulation.invoked import invoked
from tests.simulation.lagging import LaggingTable
from tests.simulation.scenes import scene_of
from tests.simulation.weather import Sky, Weather, weather_of
from tests.simulation.world import World


@dataclass(frozen=True)
class Played:
    """What a seed came to."""

    seed: int
    digest: str
    runs: int
    faults: int
    deaths: int
    effects: int
    turns: int
    statuses: dict[str, str]


def world_of(
    seed: int, backend: Callable[[], Backend] = MemoryBackend, weather: Weather | None = None, sky: Sky | None = None
) -> World:
    """The world of a seed."""
    chance = random.Random(f"{seed}/scene")
    drawn = weather_of(chance)
    weather = weather or drawn
    scene = scene_of(chance, seed, weather.acts)
    return World(seed, backend(), scene, sky or Sky(weather, random.Random(f"{seed}/weather")), chance.randint(1, 3))


def play(seed: int, backend: Callable[[], Backend] = MemoryBackend, weather: Weather | None = None) -> Played:
    """Play a seed and check what must hold. Raises `AssertionError` with the seed in a note."""
    world = world_of(seed, backend, weather)
    try:
        return played(world)
    finally:
        world.backend.close()


def play_lagging(seed: int, table: LaggingTable) -> Played:
    """Play a seed on DynamoDB with indexes that are behind its table."""
    world = world_of(seed, lambda: dynamodb(table))
    world.settle = table.catch_up
    try:
        return played(world)
    finally:
        world.backend.close()


def played(world: World) -> Played:
    """Play a world."""
    try:
        world.play()
        check(world)
    except BaseException as failure:
        failure.add_note(f"seed {world.seed}, {world.sky.weather}; faults: {world.sky.met}")
        raise
    digest = hashlib.sha256(repr((world.witness.commits, world.baton.turns)).encode()).hexdigest()[:16]
    met = world.sky.met
    return Played(
        world.seed,
        digest,
        len(world.statuses()),
        len(met),
        world.deaths,
        len(world.witness.effects),
        world.baton.turns,
        world.statuses(),
    )


def one(place: tuple[int, str]) -> Played | str:
    """What a seed comes to: the traceback when it fails."""
    seed, name = place
    with TemporaryDirectory() as folder:
        try:
            if name == FUNCTIONS:
                return played(invoked(seed))
            if name == LAGGING:
                return play_lagging(seed, LaggingTable())
            return play(seed, home(name, Path(folder)))
        except BaseException:  # noqa: BLE001  # whatever it is, it is shown, and the next seed follows
            return (
                f"seed {seed} on {name} fails: scripts/simulate --seed {seed} --store {name}\n{traceback.format_exc()}"
            )
