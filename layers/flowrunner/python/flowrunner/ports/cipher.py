"""Encryption at rest: what is sealed, under which key, and what it is bound to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId, Millis


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key by its name. `epoch` is when it was made; of two keys the later one has the higher epoch, always."""

    id: str
    epoch: Millis


class Cipher(Protocol):
    """Authenticated encryption. The context is bound to the ciphertext, not hidden: never put a secret into it.

    Safe for several threads.
    """

    @property
    def key_id(self) -> str:
        """The key that `encrypt` uses now."""
        ...

    def encrypt(self, plain: bytes, context: Mapping[str, str]) -> bytes: ...

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        """What was encrypted in exactly this context.

        Raises `Unreadable` for anything else: a ciphertext that was changed, cut, or moved to another account or name.
        Its `retryable` is true when only the key is missing here, which another process may have added.
        """
        ...


class KeyRing(Cipher, Protocol):
    """A cipher of several keys: the newest encrypts, all of them decrypt."""

    def primary(self) -> KeyInfo:
        """The key that `encrypt` uses now, also when another process has added it just now."""
        ...

    def known(self) -> Sequence[KeyInfo]:
        """All keys, the oldest first; the last one is the primary."""
        ...

    def add(self, now: Millis, min_age: Millis) -> KeyInfo:
        """Make a new key the primary, unless the present one is younger than `min_age`; answers the primary.

        When this returns, the key is as durable as anything that will be encrypted with it.
        """
        ...

    def remove(self, key: str) -> bool:
        """Forget a key for good. True if it was there. Raises `Conflict` for the primary."""
        ...


class Sealer(Protocol):
    """Seals values of runs that hold a secret, so that no row of the store shows it."""

    def seal(self, account: AccountId, plain: bytes, place: str) -> bytes:
        """`place` says where the value is kept; it opens nowhere else."""
        ...

    def open(self, account: AccountId, sealed: bytes, place: str) -> bytes:
        """What was sealed for this account and place. Raises `Unreadable`."""
        ...
