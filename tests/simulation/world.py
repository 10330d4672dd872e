"""A world in one process: servers with workers, the API's processes, people, on stores that they share.

Everything that the engine waits for, and every call of a store, goes by the `Baton`; so an execution is a function of
its seed, faults and all. When the people have done what they do, and the runs have ended, it is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, ClassVar
from zlib import crc32

from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.core.flow import Flow
from flowrunner.core.ids import FlowId, Millis, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine import flights, invocation, worker
from flowrunner.engine.engine import Engine, Parts
from flowrunner.engine.giving_up import GivenUp
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.values import ValueLimits
from flowrunner.errors import Conflict, NotFound, StoreError
from flowrunner.ports.backend import Backend
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.queue import Delivery
from flowrunner.testing import NoHttp, TurnedClock

from tests.adapters.aws.fake_cloud import ChanceDraws
from tests.engine.harness import shared_sandbox
from tests.simulation.baton import Baton, Killed, SimulatedEvent, SimulatedQueue, SimulatedThreads
from tests.simulation.doors import DoorBackend
from tests.simulation.nodes import LuckyRegistry
from tests.simulation.scenes import ACCOUNTS, Scene, Wish
from tests.simulation.weather import Sky
from tests.simulation.witness import Witness

RESTART: Millis = 3_000
LOOK: Millis = 5_000
PATIENCE: Millis = 4 * 3_600_000
"""Simulated time in which every run ends once nothing goes wrong any more."""

LIMITS = ValueLimits(inline=1_000)


class Gone(BaseException):
    """The API's process that somebody has asked has died; nobody knows what it has done."""


class SkewedClock:
    """A clock that is wrong by as much. See `ports.clock.Clock`."""

    def __init__(self, clock: TurnedClock, by: Millis) -> None:
        self._clock, self._by = clock, by

    def now(self) -> Millis:
        return self._clock.now() + self._by

    def monotonic(self) -> float:
        return self._clock.monotonic()


@cache
def registry() -> LuckyRegistry:
    return LuckyRegistry()


class Process:
    """A process: what it has in memory is its own, and dies with it."""

    def __init__(self, world: World, name: str, sky: Sky | None = None, *, mortal: bool = True) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.mortal = mortal
        self.sky = sky or world.sky
        skew = self.sky.weather.skew
        self.clock = SkewedClock(world.clock, self.sky.draw(2 * skew + 1) - skew if skew else 0)
        self.engine = world.engine(DoorBackend(self, world.backend), self.clock)

    def die(self) -> None:
        """End here and now; whoever asks an API's process only sees that no answer comes."""
        if not self.mortal:
            raise Gone
        self.dead = True
        self.world.deaths += 1
        self.world.baton.kill(self)
        raise Killed


@dataclass
class World:
    """See the module. `backend` is what all processes share; `servers` is how many of them have a worker."""

    seed: int
    backend: Backend
    scene: Scene
    sky: Sky
    servers: int = 2
    clock: TurnedClock = field(default_factory=TurnedClock)
    deaths: int = 0
    stray: list[Delivery] = field(default_factory=list)
    listeners: list[tuple[Process, Callable[[Any], None]]] = field(default_factory=list)
    froze: bool = False
    runs: list[tuple[Wish, RunId]] = field(default_factory=list)
    trouble: list[BaseException] = field(default_factory=list)
    functions: ClassVar[bool] = False
    """Whether steps are executed by invocations, which need no claim for what was handed off to them."""

    def __post_init__(self) -> None:
        chance = random.Random(f"{self.seed}/order")
        self.baton = Baton(chance, self.clock, switches=chance.choice((10, 40, 90)))
        self.draws = ChanceDraws(self.seed)
        self.witness = Witness(self)
        self.froze = self.sky.weather.frozen > 0
        self._busy = 0
        registry().look_at(self)

    def engine(self, backend: Any, clock: Any) -> Engine:
        """An engine on a process's view of the stores."""
        parts = Parts(
            backend,
            registry(),
            shared_sandbox(),
            LocalSecrets({}),
            NoHttp(),
            clock,
            self.draws,
            LIMITS,
            self.compile,
        )
        return Engine(parts)

    def reader(self) -> Engine:
        """An engine that sees the stores as they are, for whoever looks when all is over."""
        return self.engine(self.backend, self.clock)

    # -- what processes ask -----------------------------------------------------------------------------------------

    def compile(self, document: str) -> Flow:
        return self.scene.flows[document]

    def flow_of(self, run: RunId) -> Flow | None:
        """The flow of a run."""
        for account in ACCOUNTS:
            row = self.backend.runs.load([(account, run)])[0]
            if row is not None:
                return self.scene.flows.get(row.flow_name)
        return None

    def luck(self, run: RunId, key: str) -> int:
        number = crc32(f"{self.seed}/{key}".encode())
        return self.scene.outcomes[number % len(self.scene.outcomes)]

    def tell(self, topic: str) -> None:
        """A hint to all processes, which may not arrive."""
        for process, listener in [*self.listeners]:
            if not process.dead and not self.sky.percent(self.sky.weather.unheard):
                listener(topic)

    # -- the play ---------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """From the first run to the last. Raises `AssertionError` for what must not happen."""
        for account in ACCOUNTS:
            for name in self.scene.flows:
                self.backend.flows.save(FlowRow(account, FlowId(name), name, 1, name, name, self.clock.now()))
        with simulated(self.baton):
            for number in range(self.servers):
                self._serve(number)
            for number, wish in enumerate(self.scene.wishes):
                self._busy += 1
                run = RunId(f"run-{number}")
                self.runs.append((wish, run))
                people = Process(self, f"people-{number}", mortal=False)
                self.baton.spawn(people.name, partial(self._live, people, wish, run), people)
            self.director = Process(self, "director", Sky(type(self.sky.weather)(), random.Random(0)), mortal=False)
            self.baton.spawn("director", self._direct, self.director)
            self.baton.run()

    def _serve(self, number: int) -> None:
        """Start a server's process, and another one when it has died."""
        process = Process(self, f"server-{number}")

        def serve() -> None:
            try:
                self._run(process)
            finally:
                process.dead = True

        self.baton.spawn(process.name, serve, process)
        self._processes = [one for one in getattr(self, "_processes", []) if one.name != process.name] + [process]

    def _run(self, process: Process) -> None:
        """What a server does until it dies."""
        process.engine.worker(on_error=self.trouble.append).run()

    def _live(self, people: Process, wish: Wish, run: RunId) -> None:
        """What somebody does: starts a run, and acts on it; who gets no answer asks again."""
        self.baton.sleep(wish.after + 1)
        request = StartRequest(wish.account, FlowId(wish.flow), 1, None, run=run)
        self._insist(lambda: people.engine.start(request))
        for act, after in wish.acts:
            self.baton.sleep(after + 1)
            if act == "cancel" and self._insist(lambda: people.engine.control.cancel(wish.account, run)):
                row = self.backend.runs.load([(wish.account, run)])[0]
                if row is not None and row.status in TERMINAL:  # else somebody has redriven it already
                    self.witness.cancel_answered(run)
            if act == "redrive":
                self._insist(lambda: people.engine.control.redrive(wish.account, run))
        self._busy -= 1

    def _insist(self, act: Callable[[], object]) -> bool:
        """Do it until an answer comes; whether it was done (now)."""
        while True:
            try:
                act()
            except (StoreError, Gone):
                self.baton.sleep(1_000)
            except (Conflict, NotFound):
                return False
            else:
                return True

    # -- the director -----------------------------------------------------------------------------------------------

    def _direct(self) -> None:
        """Start dead servers again, answer who waits, and end the play when nothing is left to do."""
        deadline = 0
        while True:
            self.baton.sleep(LOOK)
            for process in [one for one in self._processes if one.dead]:
                self._serve(int(process.name.rpartition("-")[2]))
            if self._busy:
                continue
            if not deadline:
                deadline = self.clock.now() + PATIENCE
            if self._still():
                if not self._answer():
                    break
                deadline = self.clock.now() + PATIENCE
            assert self.clock.now() < deadline, f"not all runs end: {self.statuses()}"
        self.sky.clear = True
        self.baton.stop()

    def _still(self) -> bool:
        """Whether nothing is under way and nothing will become due."""
        return self.backend.queue.next_visible() is None

    def _answer(self) -> bool:
        """Answer all steps that wait; whether there were any."""
        found = False
        for account in ACCOUNTS:
            for row in self.backend.history.runs(account, wanted()):
                if row.status in TERMINAL:
                    continue
                view = self.director.engine.control.view(account, row.id)
                for step, entry in view.state.frontier.items():
                    if entry.phase.value == "w" and not entry.due and entry.child is None:
                        found = True
                        self._insist(
                            partial(self.director.engine.control.signal, account, row.id, step, {"answer": "yes"})
                        )
        return found

    def statuses(self) -> dict[str, str]:
        return {row.id: row.status for account in ACCOUNTS for row in self.backend.history.runs(account, wanted())}


def wanted() -> Any:
    from flowrunner.ports.history import RunFilter

    return RunFilter(limit=500)


@contextmanager
def simulated(baton: Baton) -> Iterator[None]:
    """Let whatever the engine waits for go by the baton."""

    def interrupt(thread: int) -> bool:
        task = baton.of(thread)
        if task is not None:
            baton.doom(task, GivenUp)
        return task is not None

    threads = SimpleNamespace(Event=lambda: SimulatedEvent(baton))
    changes: list[tuple[Any, str, Any]] = [
        (worker, "SimpleQueue", lambda: SimulatedQueue(baton)),
        (worker, "threading", threads),
        (worker, "ThreadPool", lambda size, name: SimulatedThreads(baton, name)),
        (invocation, "SimpleQueue", lambda: SimulatedQueue(baton)),
        (invocation, "threading", threads),
        (invocation, "ThreadEach", lambda name: SimulatedThreads(baton, name)),
        (flights, "interrupt", interrupt),
    ]
    before = [getattr(module, name) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(changes, before, strict=True):
            setattr(module, name, value)
