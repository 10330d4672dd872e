"""Signing keys of endpoints: made here, kept encrypted, two of them alive while a receiver changes over."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

from flowrunner.core.ids import Millis
from flowrunner.ports.cipher import Cipher
from flowrunner.ports.clock import Draws
from flowrunner.services.endpoints import Endpoint, SealedKey

OVERLAP: Millis = 24 * 3_600_000
"""How long a key that was replaced still signs, beside the new one."""


class EndpointKeys:
    """Makes, seals and opens keys. Each is bound to its account and endpoint: moved elsewhere it does not open."""

    def __init__(self, cipher: Cipher, draws: Draws) -> None:
        self._cipher = cipher
        self._draws = draws

    def fresh(self, endpoint: Endpoint, now: Millis) -> tuple[Endpoint, str]:
        """The endpoint with a new key, and the key as its receiver needs it; it is never shown again."""
        token = self._draws.token()
        key = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        kept = [replace(old, until=now + OVERLAP) for old in endpoint.live_keys(now) if old.until is None]
        keys = (self._seal(endpoint, key), *kept)
        return replace(endpoint, keys=keys, updated_at=now), "whsec_" + base64.b64encode(key).decode()

    def live(self, endpoint: Endpoint, now: Millis) -> list[bytes]:
        """The keys that sign at `now`, the newest first. Raises `Unreadable`."""
        return [self._cipher.decrypt(key.sealed, _context(endpoint)) for key in endpoint.live_keys(now)]

    def resealed(self, endpoint: Endpoint) -> Endpoint | None:
        """The endpoint with its keys under the cipher's present key; None when they are already."""
        if all(key.kid == self._cipher.key_id for key in endpoint.keys):
            return None
        opened: Sequence[tuple[SealedKey, bytes]] = [
            (key, self._cipher.decrypt(key.sealed, _context(endpoint))) for key in endpoint.keys
        ]
        return replace(
            endpoint, keys=tuple(replace(self._seal(endpoint, plain), until=key.until) for key, plain in opened)
        )

    def _seal(self, endpoint: Endpoint, key: bytes) -> SealedKey:
        kid = self._cipher.key_id
        return SealedKey(self._cipher.encrypt(key, _context(endpoint)), kid=kid)


def _context(endpoint: Endpoint) -> dict[str, str]:
    return {"purpose": "webhook", "account": endpoint.account, "webhook": endpoint.id}
