"""Signing keys of endpoints: made here, kept in the secret box, two of them alive while a receiver changes over."""

from __future__ import annotations

import base64

from flowrunner.core.ids import AccountId, Millis
from flowrunner.ports.clock import Draws
from flowrunner.services.endpoints import Endpoint, KeyRef
from flowrunner.services.secret_box import SecretBox

PURPOSE = "webhook"


class EndpointKeys:
    """Makes and opens keys. Each is bound to its account and endpoint: moved elsewhere it does not open."""

    def __init__(self, box: SecretBox, draws: Draws) -> None:
        self._box = box
        self._draws = draws

    def make(self, account: AccountId, endpoint: str) -> tuple[KeyRef, str]:
        """A new key, and what its receiver needs (`whsec_…`), which is never shown again."""
        token = self._draws.token()
        key = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        ref = KeyRef(self._draws.new_id())
        self._box.put(account, PURPOSE, f"{endpoint}/{ref.id}", key)
        return ref, "whsec_" + base64.b64encode(key).decode()

    def live(self, endpoint: Endpoint, now: Millis) -> list[bytes]:
        """The keys that sign at `now`, the newest first. Raises `Unreadable`, `NotFound`."""
        return [self._box.read(endpoint.account, PURPOSE, f"{endpoint.id}/{ref.id}") for ref in endpoint.live_keys(now)]

    def forget(self, endpoint: Endpoint, kept: tuple[KeyRef, ...] = ()) -> None:
        """Remove the keys of an endpoint that are not in `kept`."""
        names = {ref.id for ref in kept}
        for ref in endpoint.keys:
            if ref.id not in names:
                self._box.delete(endpoint.account, PURPOSE, f"{endpoint.id}/{ref.id}")
