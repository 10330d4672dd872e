"""A vault on a backend, with its clock, for tests."""

from __future__ import annotations

from dataclasses import dataclass

from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.cipher import KeyRing
from flowrunner.ports.entities import Entities
from flowrunner.services.audit import Audit
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.rotation import Rotation
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.vault import CountCheck, Vault
from flowrunner.testing import TurnedClock

HOUR: Millis = 3_600_000
DAY: Millis = 24 * HOUR


def person(account: str = "a", role: Role = Role.OWNER) -> Actor:
    """Somebody of an account."""
    return Actor(AccountId(account), f"{role} of {account}", PERMISSIONS[role])


@dataclass
class Safe:
    """A vault with all that it is made of."""

    entities: Entities
    keys: KeyRing
    clock: TurnedClock
    audit: Audit
    box: SecretBox
    rotation: Rotation
    vault: Vault

    def turn(self, by: Millis) -> None:
        self.clock.turn_to(self.clock.now() + by)

    def value(self, account: str, name: str) -> str:
        return self.box.read(AccountId(account), "secret", name).decode()

    def acts(self, account: str = "a") -> list[tuple[str, str]]:
        """What was recorded: action and target, the oldest first."""
        return [(one.action, one.target) for one in self.audit.list(person(account), after=0).records]


def make_safe(
    entities: Entities | None = None,
    keys: KeyRing | None = None,
    clock: TurnedClock | None = None,
    *,
    min_age: Millis = HOUR,
    check_count: CountCheck | None = None,
) -> Safe:
    """Another process's view when `entities` and `keys` are given."""
    clock = clock or TurnedClock()
    entities = entities if entities is not None else MemoryBackend().entities
    keys = keys or MemoryKeyRing()
    audit = Audit(entities, clock)
    box = SecretBox(entities, keys, clock)
    rotation = Rotation(entities, keys, box, audit, clock, min_age)
    return Safe(entities, keys, clock, audit, box, rotation, Vault(box, rotation, audit, check_count))
