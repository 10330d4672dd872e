"""A world in one process: servers with workers, the API's processes, people, on stores that they share.

Everything that the engine waits for, and every call of a store, goes by the `Baton`; so an execution is a function of
its seed, faults and all. When the people have done what they do, and the runs have ended, it is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar
from zlib import crc32

from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.engine import Engine
from flowrunner.engine.records import RunFacts
from flowrunner.errors import Conflict, NotFound
from flowrunner.ports.backend import Backend
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.history import RunFilter
from flowrunner.ports.queue import Delivery
from flowrunner.ports.runs import RunRow
from flowrunner.services.flow_records import FlowRecord, FlowStatus, record_entity
from flowrunner.services.members import Account
from flowrunner.testing import NoHttp, TurnedClock

from tests.adapters.aws.fake_cloud import ChanceDraws
from tests.simulation.baton import Baton
from tests.simulation.outside import Outside
from tests.simulation.people import Person, owner
from tests.simulation.process import Process, platform_of, registry
from tests.simulation.readers import Reader
from tests.simulation.scenes import ACCOUNTS, Scene, Wish
from tests.simulation.stand_ins import simulated
from tests.simulation.timetable import Timetable
from tests.simulation.weather import Sky
from tests.simulation.witness import Witness

RESTART: Millis = 3_000
LOOK: Millis = 5_000
PATIENCE: Millis = 4 * 3_600_000
"""Simulated time in which every run ends once nothing goes wrong any more."""
DAYS: Millis = 4 * 86_400_000
"""The same for the last message to a webhook."""
SETTLED: Millis = 60_000
"""What was made so long before everything begins is older than it for all clocks."""
MOST = 500


class Draws(ChanceDraws):
    """Draws of a seed, with ids that come in order, as those of the product do: some stores sort by them."""

    def new_id(self) -> str:
        number = super().new_id().rpartition("-")[2]
        return f"0198c5a2-5c1e-7a33-8000-{number}"


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
    settle: Callable[[], None] = lambda: None
    """Called before anybody asks whether all is over: a store whose indexes are behind catches up."""
    listeners: list[tuple[Process, Callable[[Any], None]]] = field(default_factory=list)
    froze: bool = False
    wished: list[tuple[Wish, int, RunId]] = field(default_factory=list)
    """The runs that people have started, and which wish each was."""
    processes: list[Process] = field(default_factory=list)
    """Those with workers."""
    keys: MemoryKeyRing = field(default_factory=MemoryKeyRing)
    trouble: list[BaseException] = field(default_factory=list)
    functions: ClassVar[bool] = False
    """Whether steps are executed by invocations, which need no claim for what was handed off to them."""

    def __post_init__(self) -> None:
        chance = random.Random(f"{self.seed}/order")
        self.baton = Baton(chance, self.clock, switches=chance.choice((10, 40, 90)))
        self.draws = Draws(self.seed)
        self.witness = Witness(self)
        self.froze = self.sky.weather.frozen > 0
        self.outside = Outside(self)
        self.timetable = Timetable(self)
        self.readers = [Reader(self, one) for one in self.scene.readings]
        self._busy = 0
        registry().look_at(self)

    def reader(self) -> Engine:
        """An engine that sees the stores as they are, for whoever looks when all is over."""
        return platform_of(self, self.backend, self.clock, NoHttp()).engine

    # -- what processes ask -----------------------------------------------------------------------------------------

    def compile(self, document: str) -> Flow:
        return self.scene.flows[document]

    def row(self, run: str) -> RunRow | None:
        """A run as it is stored."""
        rows = (self.backend.runs.load([(account, RunId(run))])[0] for account in ACCOUNTS)
        return next((row for row in rows if row is not None), None)

    def rows(self, account: AccountId) -> list[RunRow]:
        """All runs of an account as they are stored, by id: stores list those of one moment in any order."""
        return sorted(self.backend.history.runs(account, RunFilter(limit=MOST)), key=lambda row: row.id)

    def flow_of(self, run: RunId) -> Flow | None:
        """The flow of a run."""
        row = self.row(run)
        return self.scene.flows.get(row.flow_name) if row is not None else None

    def is_child(self, run: str) -> bool:
        """Whether another run has started it."""
        row = self.row(run)
        return row is not None and RunFacts.decode(row.body).parent is not None

    def started(self, wish: Wish, number: int, run: RunId) -> None:
        """Somebody was told that their run is started."""
        self.wished.append((wish, number, run))

    def any_server(self) -> Process | None:
        """One of the servers that live, if one does."""
        live = [one for one in self.processes if not one.dead]
        return live[self.sky.draw(len(live))] if live else None

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
        with simulated(self.baton):
            self._furnish()
            self.began = self.clock.now()
            for number in range(self.servers):
                self._serve(number)
            for number, wish in enumerate(self.scene.wishes):
                person = Person(self, f"people-{number}", server=wish.server)
                self._busily(person.name, partial(person.live, number, wish))
            for timer, schedule in self.timetable.schedules:
                person = Person(self, f"switch-{schedule.id}", server=False)
                self._busily(person.name, partial(self.timetable.switch_off, person, timer, schedule))
            for reader in self.readers:
                self.baton.spawn("reader", reader.live, reader)
            self.director = Process(self, "director", Sky(type(self.sky.weather)(), random.Random(0)), mortal=False)
            self.baton.spawn("director", self._direct, self.director)
            self.baton.run()

    def _furnish(self) -> None:
        """What is there before anything happens: flows, webhooks, schedules."""
        platform = platform_of(self, self.backend, self.clock, NoHttp())
        now = self.clock.now()
        for account in ACCOUNTS:
            self.backend.entities.put(Account(account, account, now, {}).entity(), now)
            for name in self.scene.flows:
                self.backend.flows.save(FlowRow(account, FlowId(name), name, 1, name, name, now))
                record = FlowRecord(FlowId(name), name, FlowStatus.ACTIVE, 1, created_at=now)
                self.backend.entities.put(record_entity(account, record, None), now)
        for hearing in self.scene.hearings:
            self.outside.listen(platform, hearing)
        for timer in self.scene.timers:
            self.timetable.begin(platform, timer)
        self.clock.turn_to(now + SETTLED)

    def _busily(self, name: str, work: Callable[[], None]) -> None:
        """Let somebody do something that the play has to wait for."""
        self._busy += 1

        def do() -> None:
            work()
            self._busy -= 1

        self.baton.spawn(name, do, name)

    def _serve(self, number: int) -> None:
        """Start a server's process, and another one when it has died."""
        process = Process(self, f"server-{number}")

        def serve() -> None:
            try:
                self._run(process)
            finally:
                process.dead = True

        self.baton.spawn(process.name, serve, process)
        self.processes = [one for one in self.processes if one.name != process.name] + [process]

    def _run(self, process: Process) -> None:
        """What a server does until it dies."""
        if self.scene.rounds:
            process.background().start()
        worker = process.engine.worker(on_error=self.trouble.append)
        process.engine.attach(worker)
        worker.run()

    # -- the director -----------------------------------------------------------------------------------------------

    def _direct(self) -> None:
        """Start dead servers again, answer who waits, and end the play when nothing is left to do."""
        deadline = 0
        while True:
            self.baton.sleep(LOOK)
            self._supervise()
            if self._busy:
                continue
            if not deadline:
                deadline = self.clock.now() + PATIENCE
            if self._still():
                if self._answer():
                    deadline = self.clock.now() + PATIENCE
                    continue
                if self._told():
                    break
                assert self.clock.now() < deadline + DAYS, "not all messages are delivered"
            else:
                assert self.clock.now() < deadline, f"not all runs end: {self.statuses()}"
        self.sky.clear = True
        self.baton.stop()

    def _supervise(self) -> None:
        """Start dead servers again, unless there is an outage."""
        down, up = self.scene.outage or (0, 0)
        if self.began + down <= self.clock.now() < self.began + up:
            for process in self.processes:
                if not process.dead:
                    process.end()
            return
        for process in [one for one in self.processes if one.dead]:
            self._serve(int(process.name.rpartition("-")[2]))

    def _told(self) -> bool:
        """Whether everybody has been told of everything. Waits for what comes much later."""
        if any(status not in TERMINAL for status in self.statuses().values()):
            return True  # nothing leads on, and that is what is wrong
        pending = self.outside.pending()
        if pending is not None and pending > self.clock.now():
            self.baton.park(pending)
        return pending is None and all(one.ended is not None for one in self.readers)

    def _still(self) -> bool:
        """Whether nothing is under way and nothing will become due."""
        self.settle()
        return self.backend.queue.next_visible() is None

    def _answer(self) -> bool:
        """Answer all steps that wait; whether there were any."""
        found = False
        for account in ACCOUNTS:
            for row in self.rows(account):
                if row.status in TERMINAL:
                    continue
                view = self.director.engine.control.view(account, row.id)
                for step, entry in view.state.frontier.items():
                    if entry.phase.value == "w" and not entry.due and entry.child is None:
                        found = True
                        self._signal(account, row.id, step)
        return found

    def _signal(self, account: AccountId, run: RunId, step: str) -> None:
        try:
            self.director.platform.runs.signal(owner(account), run, step, {"answer": "yes"})
        except (Conflict, NotFound):
            return

    def statuses(self) -> dict[str, str]:
        return {row.id: row.status for account in ACCOUNTS for row in self.rows(account)}
