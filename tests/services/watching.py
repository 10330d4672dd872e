"""Readers of live events for tests: a hub that is turned by hand, and mailboxes that are looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.feed import START, Position
from flowrunner.ports.backend import Backend
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.live import Hub
from flowrunner.services.live_frames import Frame
from flowrunner.services.live_readers import LiveLimits, Subscription
from flowrunner.services.mailbox import Mailbox

from tests.engine.harness import ACCOUNT, Bench, bench

VIEWER = Actor(ACCOUNT, "tests", PERMISSIONS[Role.VIEWER])
STRANGER = Actor(AccountId("other"), "tests", PERMISSIONS[Role.OWNER])


@dataclass
class Reader:
    """One who reads, and what they got."""

    subscription: Subscription
    frames: list[Frame] = field(default_factory=list)
    ended: bool = False

    @property
    def ids(self) -> list[str]:
        """Without what came again."""
        return list(dict.fromkeys(frame.event.id for frame in self.frames))

    @property
    def types(self) -> list[str]:
        return [frame.event.type for frame in self.frames]

    def replay(self) -> None:
        """All of the history."""
        reader = self.subscription
        while not (reader.caught_up or reader.ended):
            self.frames += reader.replay()
        self.ended = reader.ended


class Watching:
    """A hub with readers in an event loop that runs when `turn` says so."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self.hub = hub
        self.loop = loop
        self.readers: list[Reader] = []

    def watch(self, run: RunId, after: Position = START, actor: Actor = VIEWER, most: int = 1 << 20) -> Reader:
        reader = Reader(self.hub.subscribe(actor, run, after, Mailbox(self.loop, most), run))
        self.readers.append(reader)
        return reader

    def watch_account(self, actor: Actor = VIEWER, *, steps: bool = False) -> Reader:
        reader = Reader(self.hub.subscribe_account(actor, Mailbox(self.loop), "account", steps=steps))
        self.readers.append(reader)
        return reader

    def turn(self) -> None:
        """One turn of the hub, and everybody reads."""
        self.hub.turn()
        for reader in self.readers:
            for mail in self.loop.run_until_complete(reader.subscription.mailbox.take(0.0)):
                reader.frames += mail.batch.frames
                reader.ended = reader.ended or mail.batch.ended


@contextmanager
def watching(
    backend: Backend | None = None, limits: LiveLimits | None = None, **options: Any
) -> Iterator[tuple[Bench, Watching]]:
    """An engine and its hub; `options` go to the engine."""
    loop = asyncio.new_event_loop()
    with bench(backend, **options) as b:
        hub = Hub(b.engine, limits, threaded=False)
        yield b, Watching(hub, loop)
        hub.stop()
    loop.close()
