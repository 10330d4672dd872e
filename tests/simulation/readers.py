"""Who watches a run live: on connections that end at any moment, each gone on with from the last event that arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty
from typing import TYPE_CHECKING, Any

from flowrunner.core.ids import Millis, RunId
from flowrunner.engine.feed import START, Position
from flowrunner.engine.records import read_attempt
from flowrunner.engine.run_events import attempt_events
from flowrunner.errors import FlowrunnerError
from flowrunner.services.live_frames import Frame
from flowrunner.services.live_readers import Subscription
from flowrunner.services.mailbox import Mail

from tests.simulation.people import owner
from tests.simulation.scenes import Reading
from tests.simulation.stand_ins import SimulatedQueue

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

PAUSES: tuple[Millis, ...] = (0, 1_000, 60_000, 600_000)
"""How long somebody is away between two connections."""
TICK = 1.0


class Wire:
    """A connection: what the hub takes for a mailbox and its event loop."""

    def __init__(self, world: World) -> None:
        self.loop: Any = self
        self.frames = SimulatedQueue(world.baton)
        self.over = False

    def call_soon_threadsafe(self, call: Callable[..., None], *given: Any) -> None:
        call(*given)

    def put(self, mail: Mail) -> None:
        self.send(mail.batch.frames, ended=mail.batch.ended)

    def send(self, frames: Sequence[Frame], *, ended: bool) -> None:
        self.frames.put((frames, ended))

    def close(self, reason: str) -> None:
        self.over = True


@dataclass
class Reader:
    """See the module."""

    world: World
    reading: Reading
    run: RunId | None = None
    position: Position = START
    seen: dict[str, int] = field(default_factory=dict)
    """The events that arrived in order, each with the revision of its position."""
    ended: str | None = None
    """The last event before the end."""

    def live(self) -> None:
        """Watch until the run has ended."""
        world = self.world
        world.baton.sleep(self.reading.after + 1)
        while self.run is None:
            world.baton.sleep(500)
            self.run = next((run for _, number, run in world.wished if number == self.reading.wish), None)
        while self.ended is None:
            server = world.any_server()
            if server is not None:
                self._connect(server)
            # The longer it takes, the more rarely anybody looks.
            pause = max(PAUSES[world.sky.draw(len(PAUSES))], (world.clock.now() - world.began) // 20)
            world.baton.sleep(1 + pause)

    def _connect(self, server: Process) -> None:
        """One connection, to wherever it leads."""
        world, wire = self.world, Wire(self.world)
        until = world.clock.now() + self.reading.length
        held: list[Subscription] = []
        world.baton.spawn(f"{server.name}-wire", lambda: self._serve(server, wire, held), server)
        while world.clock.now() < until and not (server.dead or wire.over or self.ended):
            try:
                frames, ended = wire.frames.get(TICK)
            except Empty:
                continue
            if world.sky.percent(world.sky.weather.unheard):
                break  # lost on the way, and the connection with it
            self._read(frames, ended=ended)
        wire.over = True
        if held and not server.dead:
            held[0].close()

    def _serve(self, server: Process, wire: Wire, held: list[Subscription]) -> None:
        """What the server does for it."""
        assert self.run is not None, "it was waited for"
        account = self.world.scene.wishes[self.reading.wish].account
        try:
            box: Any = wire
            position = Position.parse(str(self.position))
            reader = server.platform.live.subscribe(owner(account), self.run, position, box, "run")
            held.append(reader)
            while not (reader.caught_up or reader.ended or wire.over):
                wire.send(reader.replay(), ended=reader.ended)
        except FlowrunnerError:
            wire.over = True

    def _read(self, frames: Sequence[Frame], *, ended: bool) -> None:
        for frame in frames:
            self.position = frame.position
            self.seen.setdefault(frame.event.id, frame.position.rev)
        if ended:
            self.ended = next(reversed(self.seen), "")

    def check(self) -> None:
        """It has got each event up to the end that it saw, in the order of the commits."""
        assert self.run is not None
        assert self.ended, f"who watched {self.run} heard of no end"
        account = self.world.scene.wishes[self.reading.wish].account
        revs = list(self.seen.values())
        assert revs == sorted(revs), f"the events of {self.run} came out of order: {self.seen}"
        assert self.ended.startswith("run:"), f"the last event of {self.run} is {self.ended}"
        wanted = ["run:1:run.started"]
        for row in self.world.backend.history.steps(account, self.run, limit=1_000):
            attempt = read_attempt(row)
            if 0 < attempt.rev <= revs[-1]:
                wanted += [event.id for event in attempt_events(self.run, attempt)]
        missing = [one for one in wanted if one not in self.seen]
        assert not missing, f"who watched {self.run} has not heard of {missing}: {self.seen}"
