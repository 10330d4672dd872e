"""A store that refuses three writes in ten for ten minutes: it takes longer, and that is all."""

from __future__ import annotations

import random

import pytest
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.language.load import load_valid_flow

from tests.simulation.scenes import ACCOUNTS, Scene, Wish
from tests.simulation.seeds import played
from tests.simulation.weather import CALM, Fate, Sky
from tests.simulation.world import World

MINUTES = 10 * 60_000
REFUSED = 30
WRITES = frozenset(
    f"{store}.{call}"
    for store, calls in {
        "runs": ("create", "claim", "commit", "renew", "let_go", "report"),
        "queue": ("send", "receive", "renew", "release", "ack"),
        "blobs": ("put",),
        "entities": ("put", "delete"),
        "values": ("put", "increment", "delete"),
    }.items()
    for call in calls
)
FLOW = """
metadata: {name: long}
nodes:
  a: {type: claimed, next: [b, c]}
  b: {type: delay, foreach: {items: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20], max_concurrency: 1}, params: {for: 30s}}
  c: {type: claimed, foreach: {items: [1,2,3,4,5], max_concurrency: 2}}
  j: {type: claimed, needs: [b, c]}
"""


class Refusals(Sky):
    """Writes are refused, so many in a hundred, until some time has gone by."""

    def __init__(self, percent: int) -> None:
        super().__init__(CALM, random.Random(percent))
        self.percent_refused = percent
        self.chance = random.Random(1)
        self.until = 0
        self.world: World | None = None
        self.calls = 0

    def fate(self, name: str) -> Fate | None:
        if self.world is None or self.clear:
            return None
        now = self.world.clock.now()
        self.until = self.until or now + MINUTES
        self.calls += 1
        if now < self.until and name in WRITES and self.chance.randrange(100) < self.percent_refused:
            self.met.append((name, "fails"))
            return "fails"
        return None


def run(percent: int, seed: int) -> tuple[list[str], int, Refusals]:
    """The statuses of three runs, how long the longest took, and the sky they were under."""
    wishes = [Wish(ACCOUNTS[number % 2], "long", 1_000 * number) for number in range(3)]
    sky = Refusals(percent)
    world = World(seed, MemoryBackend(), Scene({"long": load_valid_flow(FLOW)}, (0,), wishes), sky, servers=2)
    sky.world = world
    statuses = played(world).statuses
    rows = [row for account in ACCOUNTS for row in world.rows(account)]
    return list(statuses.values()), max((row.ended_at or 0) - row.created_at for row in rows), sky


@pytest.mark.parametrize("seed", range(3))
def test_refused_writes_cost_time_and_nothing_else(seed: int) -> None:
    """Nothing is lost, it takes less than three times as long, and less than twice as many calls are made."""
    calm, took, fair = run(0, seed)
    refused, longer, foul = run(REFUSED, seed)
    assert (calm, refused) == (["completed"] * 3, ["completed"] * 3)
    assert len(foul.met) > 30
    assert took >= MINUTES
    assert longer < 3 * took
    assert foul.calls < 2 * fair.calls
