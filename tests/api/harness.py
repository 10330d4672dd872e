"""The whole service in one process for tests: memory, a clock that is turned, the application over HTTP's real path."""

from __future__ import annotations

import atexit
import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from flowrunner.adapters.egress import Guard
from flowrunner.api.app import create_app
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.worker import Worker
from flowrunner.ports.backend import Backend
from flowrunner.services.accounts import Owner
from flowrunner.services.authentication import Credentials
from flowrunner.services.identity import PERMISSIONS, Role
from flowrunner.services.platform import Platform, assemble
from flowrunner.settings import Settings
from flowrunner.testing import TurnedClock
from starlette.testclient import TestClient

from tests.engine.harness import make_engine
from tests.postgres import Cluster

PASSWORD = "correct horse battery"
HELLO = 'metadata: {name: hello}\nnodes:\n  greet: {type: transform, params: {value: "hi ${input.name}"}}\n'


@dataclass
class Team:
    """An account with a user and a token of each role."""

    account: AccountId
    owner: str
    tokens: Mapping[Role, str]

    def headers(self, role: Role = Role.OWNER) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}


@dataclass
class Service:
    """The application with what a test needs to move it."""

    platform: Platform
    client: TestClient
    worker: Worker
    clock: TurnedClock
    teams: dict[str, Team] = field(default_factory=dict)

    def team(self, name: str = "acme") -> Team:
        """The account `name`, made on first use."""
        if name not in self.teams:
            self.teams[name] = self._team(name)
        return self.teams[name]

    def call(
        self, method: str, path: str, *, role: Role | None = Role.OWNER, team: str = "acme", **options: Any
    ) -> httpx2.Response:
        """A request as a member of a team; `role` None: as nobody."""
        headers = {**(self.team(team).headers(role) if role else {}), **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def flow(self, text: str = HELLO, team: str = "acme", **options: Any) -> dict[str, Any]:
        """Store a flow."""
        answer = self.call(
            "POST", "/v1/flows", team=team, content=text, headers={"Content-Type": "application/yaml"}, **options
        )
        assert answer.status_code == 201, answer.text
        stored: dict[str, Any] = answer.json()
        return stored

    def start(self, flow: str, value: Any = None, team: str = "acme", **options: Any) -> RunId:
        """Start a run of a stored flow, and work until nothing is due now."""
        answer = self.call("POST", f"/v1/flows/{flow}/runs", team=team, json={"input": value}, **options)
        assert answer.status_code in (200, 202), answer.text
        self.work()
        return RunId(answer.json()["id"])

    def work(self) -> None:
        """Work until nothing is due now."""
        self.worker.drain()

    def later(self, millis: int) -> None:
        """Turn the clock on."""
        self.clock.turn_to(self.clock.now() + millis)

    def _team(self, name: str) -> Team:
        account = AccountId(f"acct-{name}")
        platform = self.platform
        platform.accounts.bootstrap(account, name, Owner(f"{name}-owner", PASSWORD))
        basic = Credentials(authorization="Basic " + b64encode(f"{name}-owner:{PASSWORD}".encode()).decode())
        owner = platform.authenticator.authenticate(basic)
        tokens = {}
        for role in Role:
            actor = owner
            if role is not Role.OWNER:
                actor = platform.users.create(owner, f"{name}-{role.value}", PASSWORD, role).actor()
            tokens[role] = platform.tokens.create(actor, "tests", PERMISSIONS[role])[1]
        return Team(account, f"{name}-owner", tokens)


def stored_elsewhere() -> Backend | None:
    """A new store of the kind that CHECK_SERVICE_STORE names (sqlite, postgres); None: memory.

    CHECK_SERVICE_STORE=postgres scripts/test tests/api runs all of these tests on PostgreSQL.
    """
    match os.environ.get("CHECK_SERVICE_STORE"):
        case "sqlite":
            return sqlite_store(Path(tempfile.mkdtemp()))
        case "postgres":
            return postgres_store(_cluster().new_database())
        case _:
            return None


def sqlite_store(folder: Path) -> Backend:
    """A new SQLite store in `folder`."""
    from flowrunner.adapters.sqlite.backend import SqliteBackend

    made = SqliteBackend(folder / "service.db", "normal")
    made.migrate()
    return made


def postgres_store(url: str) -> Backend:
    """A store in an empty PostgreSQL database."""
    from flowrunner.adapters.postgres.backend import PostgresBackend

    made = PostgresBackend(url)
    made.migrate()
    return made


@cache
def _cluster() -> Cluster:
    made = Cluster()
    atexit.register(made.stop)
    return made


@contextmanager
def service(settings: Mapping[str, Any] | None = None, **options: Any) -> Iterator[Service]:
    """The service on memory unless told; `options` go to the engine, but for `guard`, which looks at webhooks' URLs."""
    guard = options.pop("guard", None) or Guard(options.get("allow", ()), lambda *_: ["93.184.216.34"])
    backend = options.pop("backend", None) or stored_elsewhere()
    engine, clock = make_engine(backend, **options)
    made = Settings.model_validate({"store": {"url": "memory:"}, **(settings or {})})
    platform = assemble(engine, made, guard.check)
    worker = engine.worker()
    engine.attach(None)
    with TestClient(create_app(platform), base_url="http://testserver", raise_server_exceptions=False) as client:
        yield Service(platform, client, worker, clock)
    platform.background.stop()
    engine.parts.registry.shutdown()
    engine.parts.http.close()
    engine.parts.backend.close()
