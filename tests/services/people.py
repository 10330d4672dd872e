"""A server's accounts and users over the memory backend, with a clock that is turned and a hash that costs nothing."""

from __future__ import annotations

import base64
from typing import Any

from flowrunner.adapters.local.clock import SystemDraws
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.ports.entities import Entities
from flowrunner.services.accounts import Owner
from flowrunner.services.audit import Audit
from flowrunner.services.authentication import Credentials
from flowrunner.services.identity import Actor, Role
from flowrunner.services.members import Member
from flowrunner.services.passwords import Passwords
from flowrunner.services.people import make_people
from flowrunner.services.quotas import Quotas
from flowrunner.services.usage import Usage
from flowrunner.settings import AccountSettings, QuotaSettings
from flowrunner.testing import TurnedClock

PASSWORD = "correct horse battery"
ORIGIN = "https://flows.example.org"


class QuickHasher:
    """Counts what it is asked; its hashes are no secret."""

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.hashed = 0
        self.verified = 0

    def hash(self, password: str, /) -> str:
        self.hashed += 1
        return f"quick:{self.version}:{password}"

    def verify(self, stored: str, password: str, /) -> bool:
        from argon2.exceptions import VerifyMismatchError

        self.verified += 1
        if stored.partition(":")[2].partition(":")[2] != password:
            raise VerifyMismatchError
        return True

    def check_needs_rehash(self, stored: str, /) -> bool:
        return stored.split(":")[1] != str(self.version)


class Server:
    """What one process of a server has. Several share a `backend`."""

    def __init__(self, backend: MemoryBackend | None = None, clock: TurnedClock | None = None, **settings: Any) -> None:
        self.backend = backend or MemoryBackend()
        self.clock = clock or TurnedClock()
        self.hasher = QuickHasher()
        self.audit = Audit(self.backend.entities, self.clock)
        self.quotas = Quotas(
            QuotaSettings(users=8, tokens=150),
            self.backend.values,
            self.backend.history,
            Usage(self.entities, self.clock),
            self.clock,
        )
        self.settings = AccountSettings(**{"signup": "open", **settings})
        self.people = make_people(
            self.backend.entities,
            self.audit,
            self.clock,
            SystemDraws(),
            self.quotas,
            self.settings,
            origins=[ORIGIN],
            passwords=Passwords(self.hasher),
        )
        self.members, self.accounts, self.users = self.people.members, self.people.accounts, self.people.users
        self.tokens, self.sessions = self.people.tokens, self.people.sessions
        self.authenticator, self.tickets = self.people.authenticator, self.people.tickets

    @property
    def entities(self) -> Entities:
        return self.backend.entities

    def owner(self, name: str = "olga") -> Actor:
        """The owner of a new account."""
        return self.accounts.create(f"{name}'s account", Owner(name, PASSWORD)).actor("192.0.2.1")

    def user(self, owner: Actor, name: str, role: Role) -> Actor:
        """A new user of the owner's account."""
        return self.users.create(owner, name, PASSWORD, role).actor("192.0.2.1")

    def member(self, actor: Actor) -> Member:
        """What the store says of a user now."""
        found = self.members.member(actor.account, actor.user or "")
        assert found is not None
        return found

    def basic(self, name: str, password: str = PASSWORD, address: str = "192.0.2.1") -> Actor:
        """Authenticate a request with HTTP Basic."""
        return self.authenticator.authenticate(Credentials(authorization=basic(name, password), address=address))

    def bearer(self, token: str) -> Actor:
        """Authenticate a request with a token."""
        return self.authenticator.authenticate(Credentials(authorization=f"Bearer {token}", address="192.0.2.1"))

    def acts(self, actor: Actor) -> list[str]:
        """What the audit log of an account has, oldest first."""
        return [str(record.action) for record in self.audit.list(actor, after=0, limit=1000).records]

    def later(self, seconds: float) -> None:
        """Turn the clock."""
        self.clock.turn_to(self.clock.now() + int(seconds * 1000))


def basic(name: str, password: str = PASSWORD) -> str:
    """The header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
