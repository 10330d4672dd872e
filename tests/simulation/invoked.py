"""The same worlds served as on AWS: by invocations that end, with a queue that delivers at least once and counts.

There is no sweeper: what has to be done is found by messages alone, or by the function of the dead letters.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Any

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.ids import Millis
from flowrunner.engine.dead_letters import DeadLetterSettings
from flowrunner.engine.invocation import InvocationSettings
from flowrunner.ports.queue import Delivery

from tests.engine.cloud import FAST, CloudQueue, CloudRuns
from tests.simulation.process import Process
from tests.simulation.scenes import scene_of
from tests.simulation.weather import Sky, weather_of
from tests.simulation.world import World

POLL: Millis = 3_000
TAKES: Millis = 20
"""What it takes to invoke a function."""
COPIES = 20
"""Messages of a world that come twice: copies of copies would never end."""


class Invoked(World):
    """See the module."""

    functions = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.copies = COPIES
        self.messages = CloudQueue()
        self.messages.clock = self.clock
        stores: Any = self.backend
        stores.runs, stores.queue = CloudRuns(stores.runs, self.messages), self.messages

    def _run(self, process: Process) -> None:
        """Lambda: take a message, invoke, and delete it if it is done with; and the scheduler's rounds."""
        if self.scene.rounds:
            process.background().start()
        invocations = process.engine.invocations(InvocationSettings(), on_error=self.trouble.append)
        while True:
            found = self.messages.deliver(1, slow=None, pick=self.sky.draw)
            if not found:
                self.baton.sleep(POLL)
                continue
            [one] = found
            self.baton.sleep(TAKES)
            if self.copies and self.sky.percent(self.sky.weather.doubled):
                self.copies -= 1
                self.messages.send([replace(one.message, due=self.clock.now())])
            if self.sky.percent(self.sky.weather.dropped):
                continue
            receipt = one.message.receipt
            again = invocations.handle([Delivery(receipt, one.receives)], process.clock.now() + FAST)
            if receipt not in again and one in self.messages.sent:
                self.messages.sent.remove(one)

    def _still(self) -> bool:
        dead, self.messages.dead = self.messages.dead, []
        if dead:
            letters = self.director.engine.dead_letters(DeadLetterSettings(), InvocationSettings())
            handle = partial(letters.handle, [Delivery(one.message.receipt, one.receives) for one in dead])
            again = handle()
            self.messages.dead += [one for one in dead if one.message.receipt in again]
        return not self.messages.sent and not self.messages.dead


def invoked(seed: int) -> Invoked:
    """The world of a seed, with flows in either mode."""
    chance = random.Random(f"{seed}/scene")
    weather = weather_of(chance)
    scene = scene_of(chance, seed, weather.acts)
    mode: Any = chance.choice(("standard", "express"))
    scene.flows = {name: replace(flow, mode=mode) for name, flow in scene.flows.items()}
    return Invoked(seed, MemoryBackend(), scene, Sky(weather, random.Random(f"{seed}/weather")), chance.randint(1, 3))
