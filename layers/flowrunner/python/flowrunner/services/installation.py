"""What all processes of one installation share: random keys, made by whoever needs one first."""

from __future__ import annotations

import base64

from flowrunner.core.ids import AccountId
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.entities import Entities, Entity

SYSTEM = AccountId("system")
"""The account of what belongs to nobody; no user is in it."""


def shared_key(entities: Entities, clock: Clock, draws: Draws, name: str) -> bytes:
    """The 32-byte key called `name`, the same in every process."""
    now = clock.now()
    found = entities.get(SYSTEM, "key", name, now)
    if found is None:
        fresh = Entity(SYSTEM, "key", name, draws.token().encode())
        found = entities.put(fresh, now, expected_rev=0) or entities.get(SYSTEM, "key", name, now)
    assert found is not None, "somebody has made it"
    return base64.urlsafe_b64decode(found.body + b"=" * (-len(found.body) % 4))
