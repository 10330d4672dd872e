"""A gateway that holds WebSocket connections, for tests: what it was given to send, and clients that may be gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from flowrunner.core.ids import AccountId, RunId
from flowrunner.errors import StoreError
from flowrunner.ports.changes import RunMoved, StepSpoke
from flowrunner.services.identity import Role
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.sockets import Hail, Sockets

from tests.api.harness import Service, service

NUMBERS = count()
"""For names that nothing else has."""


WAITS = """
metadata: {name: waits}
nodes:
  a: {type: transform, params: {value: 1}, next: b}
  b: {type: approval, params: {message: "go?"}, next: {approved: c}}
  c: {type: log, params: {message: done}}
"""


class Gateway:
    """See `ports.push.Push`."""

    def __init__(self) -> None:
        self.sent: dict[str, list[dict[str, Any]]] = {}
        self.gone: set[str] = set()
        self.closed: list[str] = []
        self.down = False
        self.before: Callable[[str, dict[str, Any]], None] = lambda connection, message: None
        """Called before each message: what happens just then."""

    def send(self, connection: str, message: bytes) -> bool:
        said = json.loads(message)
        self.before(connection, said)
        if self.down:
            raise StoreError("API Gateway did not answer")
        if connection in self.gone:
            return False
        assert len(message) <= 128 * 1024
        self.sent.setdefault(connection, []).append(said)
        return True

    def close(self, connection: str) -> None:
        self.closed.append(connection)


@dataclass
class Line:
    """The service behind a gateway."""

    api: Service
    gateway: Gateway
    sockets: Sockets
    numbers: Iterator[int]

    def another(self) -> Sockets:
        """Another process."""
        return make_sockets(self.api, self.gateway)

    def connect(self, team: str = "acme", role: Role = Role.VIEWER, *, ticket: bool = False) -> str:
        """A connection whose owner is known."""
        hail = Hail(f"c{next(self.numbers)}=")
        headers = self.api.team(team).headers(role)
        if ticket:
            answer = self.api.client.post("/v1/ws/tickets", headers=headers)
            self.sockets.open(Hail(hail.connection, ticket=answer.json()["ticket"]))
        else:
            self.sockets.open(hail)
            self.say(hail.connection, type="auth", token=self.api.team(team).tokens[role])
        return hail.connection

    def say(self, connection: str, text: str | None = None, **message: Any) -> None:
        self.sockets.hear(Hail(connection), text or json.dumps(message), self.until())

    def until(self) -> int:
        return self.api.clock.now() + 20_000

    def moved(self, *runs: RunId, team: str = "acme", sockets: Sockets | None = None) -> None:
        """The stream tells that runs have moved."""
        account = self.api.team(team).account
        (sockets or self.sockets).tell([StepSpoke(account, run) for run in runs], self.until())

    def commits(self, *changes: RunMoved) -> None:
        """The stream tells of commits."""
        self.sockets.tell(changes, self.until())

    def take(self, connection: str) -> list[dict[str, Any]]:
        """What a client has got since the last time."""
        return self.gateway.sent.pop(connection, [])

    def ids(self, connection: str) -> list[str]:
        """The ids of the events among that."""
        return [one["event"]["id"] for one in self.take(connection) if one["type"] == "event"]

    def kept(self, team: str = "acme") -> list[str]:
        """The kinds of what is kept of connections."""
        entities = self.api.platform.engine.parts.backend.entities
        account: AccountId = self.api.team(team).account
        now = self.api.clock.now()
        return [kind for kind in ("connection", "watch") for _ in entities.list(account, kind, now)]


def make_sockets(api: Service, gateway: Gateway, limits: LiveLimits | None = None) -> Sockets:
    platform = api.platform
    return Sockets(
        platform.engine.parts.backend.entities,
        platform.engine.feed,
        gateway,
        platform.authenticator,
        platform.tickets,
        api.clock,
        limits or LiveLimits(),
    )


@contextmanager
def lines(**options: Any) -> Iterator[Callable[[], Line]]:
    """Gives gateways without connections, all to one service with the teams `acme` and `other`."""
    with service(**options) as api:
        teams = [api.team(name) for name in ("acme", "other")]

        def line() -> Line:
            entities, now = api.platform.engine.parts.backend.entities, api.clock.now()
            for team, kind in ((team, kind) for team in teams for kind in ("connection", "watch")):
                for one in entities.list(team.account, kind, now, limit=1_000):
                    entities.delete(team.account, kind, one.id)
            gateway = Gateway()
            return Line(api, gateway, make_sockets(api, gateway), NUMBERS)

        yield line


def started(wire: Line, text: str = WAITS, team: str = "acme") -> RunId:
    """A run that waits for an answer."""
    own = text.replace("metadata: {name: ", f"metadata: {{name: f{next(wire.numbers)}-")
    return wire.api.start(wire.api.flow(own, team=team)["id"], team=team)


def answered(wire: Line, run: RunId) -> None:
    wire.api.platform.engine.control.signal(wire.api.team().account, run, "b", {"approved": True})
    wire.api.work()


def history(wire: Line, run: RunId) -> list[str]:
    return [one.id for one in wire.api.platform.engine.feed.read(wire.api.team().account, run).events]
