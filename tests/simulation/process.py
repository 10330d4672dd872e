"""A process of a simulated world: its own view of the stores and of the time, and the services over that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.core.ids import Millis
from flowrunner.engine.engine import Engine, Parts
from flowrunner.engine.values import ValueLimits
from flowrunner.services.background import Background
from flowrunner.services.outbound import RELAY
from flowrunner.services.platform import Platform, assemble
from flowrunner.settings import Settings
from flowrunner.testing import TurnedClock

from tests.engine.harness import shared_sandbox
from tests.simulation.baton import Killed
from tests.simulation.doors import DoorBackend, HttpDoor
from tests.simulation.nodes import LuckyRegistry
from tests.simulation.stand_ins import SimulatedExecutor
from tests.simulation.weather import Sky

if TYPE_CHECKING:
    from tests.simulation.world import World

LIMITS = ValueLimits(inline=1_000)


class Gone(BaseException):
    """The API's process that somebody has asked has died, or does not answer; nobody knows what it has done."""


class SkewedClock:
    """A clock that is wrong by as much. See `ports.clock.Clock`."""

    def __init__(self, clock: TurnedClock, by: Millis) -> None:
        self._clock, self._by = clock, by

    def now(self) -> Millis:
        return self._clock.now() + self._by

    def monotonic(self) -> float:
        return self._clock.monotonic()


class Workshop:
    """The sandbox that all processes of the tests share, with nothing that a world could leave in it."""

    helpers: Callable[[str], Mapping[str, str]]

    def __getattr__(self, name: str) -> Any:
        return getattr(shared_sandbox(), name)


@cache
def registry() -> LuckyRegistry:
    return LuckyRegistry()


@cache
def settings() -> Settings:
    return Settings()


def platform_of(world: World, backend: Any, clock: Any, http: Any) -> Platform:
    """The services on a process's view of the stores."""
    sandbox: Any = Workshop()
    parts = Parts(
        backend,
        registry(),
        sandbox,
        LocalSecrets({}),
        http,
        clock,
        world.draws,
        LIMITS,
        world.compile,
        keys=world.keys,
    )
    return assemble(Engine(parts), settings(), lambda url: None)


class Process:
    """See the module. What it has in memory is its own, and dies with it."""

    def __init__(self, world: World, name: str, sky: Sky | None = None, *, mortal: bool = True) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.mortal = mortal
        self.sky = sky or world.sky
        skew = self.sky.weather.skew
        self.clock = SkewedClock(world.clock, self.sky.draw(2 * skew + 1) - skew if skew else 0)
        http = HttpDoor(self, world.outside)
        self.platform = platform_of(world, DoorBackend(self, world.backend), self.clock, http)
        self.platform.outbound.sender._pool = SimulatedExecutor(world.baton, self)

    @property
    def engine(self) -> Engine:
        return self.platform.engine

    def background(self) -> Background:
        """The rounds that the scene needs; others would only take time."""
        wanted = self.world.scene.rounds
        made = Background(self.clock, [one for one in self.platform.background.tasks if one.name in wanted])
        if RELAY in wanted:
            self.platform.outbound.wake_by(made.wake)
        return made

    def die(self) -> None:
        """End here and now; whoever asks an API's process only sees that no answer comes."""
        if not self.mortal:
            raise Gone
        self.end()
        raise Killed

    def end(self) -> None:
        """Be dead, with all that is under way."""
        self.dead = True
        self.world.deaths += 1
        self.world.baton.kill(self)
