"""Sealing values of runs: each account has a data key, itself kept in the box, that is made when it is first needed.

A new wrapping key means encrypting the data key anew and nothing else, so values of old runs stay readable; with the
account its data key goes, and with that everything it has sealed.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowrunner.core.ids import AccountId
from flowrunner.engine.cache import SizedCache
from flowrunner.errors import NotFound, StoreError, Unreadable
from flowrunner.ports.clock import Clock
from flowrunner.services.secret_box import CACHE_SECONDS, SecretBox

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PURPOSE = "data"
NAME = "values"
FORMAT = b"\x01"
NONCE = 12
MOST_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class _Kept:
    cipher: AESGCM
    until: float


class DataKeys:
    """See `ports.cipher.Sealer`. AES-256-GCM with a random nonce; account and place are the associated data."""

    def __init__(self, box: SecretBox, clock: Clock) -> None:
        self._box = box
        self._clock = clock
        self._kept: SizedCache[AccountId, _Kept] = SizedCache(MOST_KEPT)

    def seal(self, account: AccountId, plain: bytes, place: str) -> bytes:
        nonce = secrets.token_bytes(NONCE)
        return FORMAT + nonce + self._cipher(account, make=True).encrypt(nonce, plain, _associated(account, place))

    def open(self, account: AccountId, sealed: bytes, place: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        if sealed[:1] != FORMAT:
            raise Unreadable
        nonce, text = sealed[1 : 1 + NONCE], sealed[1 + NONCE :]
        try:
            return self._cipher(account, make=False).decrypt(nonce, text, _associated(account, place))
        except (InvalidTag, ValueError):
            raise Unreadable from None

    def _cipher(self, account: AccountId, *, make: bool) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        now = self._clock.monotonic()
        kept = self._kept.get(account)
        if kept is None or kept.until <= now:
            kept = _Kept(AESGCM(self._key(account, make=make)), now + CACHE_SECONDS)
            self._kept.put(account, kept, 1)
        return kept.cipher

    def _key(self, account: AccountId, *, make: bool) -> bytes:
        try:
            return self._box.read(account, PURPOSE, NAME)
        except NotFound:
            if not make:
                raise Unreadable("the account's data key is gone") from None
        fresh = secrets.token_bytes(32)
        if self._box.put(account, PURPOSE, NAME, fresh, new=True) is not None:
            return fresh
        try:
            return self._box.read(account, PURPOSE, NAME)  # another process was faster
        except NotFound:
            raise StoreError("the account's data key was removed just now") from None


def _associated(account: AccountId, place: str) -> bytes:
    return b"\0".join((account.encode(), place.encode()))
