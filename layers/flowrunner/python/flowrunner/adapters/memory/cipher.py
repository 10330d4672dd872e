"""Keys that live as long as the process: for memory stores, whose rows do so too, and for tests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, Unreadable
from flowrunner.ports.cipher import KeyInfo

NONCE = 12
ID = 8


class MemoryKeyRing:
    """See `ports.cipher.KeyRing`. AES-256-GCM; the context is the associated data."""

    def __init__(self) -> None:
        self._keys: dict[KeyInfo, AESGCM] = {}
        self._lock = Lock()
        self.add(0, 0)

    @property
    def key_id(self) -> str:
        return self.primary().id

    def primary(self) -> KeyInfo:
        return self.known()[-1]

    def known(self) -> Sequence[KeyInfo]:
        with self._lock:
            return list(self._keys)

    def add(self, now: Millis, min_age: Millis) -> KeyInfo:
        with self._lock:
            last = next(reversed(self._keys), None)
            if last is not None and now - last.epoch < min_age:
                return last
            fresh = KeyInfo(secrets.token_hex(ID), max(now, last.epoch + 1 if last else now))
            self._keys[fresh] = AESGCM(AESGCM.generate_key(256))
            return fresh

    def remove(self, key: str) -> bool:
        if key == self.key_id:
            raise Conflict("the key in use cannot be removed; add another one first")
        with self._lock:
            gone = [info for info in self._keys if info.id == key]
            for info in gone:
                del self._keys[info]
        return bool(gone)

    def encrypt(self, plain: bytes, context: Mapping[str, str]) -> bytes:
        with self._lock:
            info, key = next(reversed(self._keys.items()))
        nonce = secrets.token_bytes(NONCE)
        return bytes.fromhex(info.id) + nonce + key.encrypt(nonce, plain, _associated(context))

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        id = sealed[:ID].hex()
        with self._lock:
            key = next((key for info, key in self._keys.items() if info.id == id), None)
        if key is None:
            raise Unreadable(f"there is no key {id}", retryable=True)
        try:
            return key.decrypt(sealed[ID : ID + NONCE], sealed[ID + NONCE :], _associated(context))
        except (InvalidTag, ValueError):
            raise Unreadable from None


class MemorySealer:
    """See `ports.cipher.Sealer`, with a key of this process."""

    def __init__(self) -> None:
        self._cipher = MemoryKeyRing()

    def seal(self, account: AccountId, plain: bytes, place: str) -> bytes:
        return self._cipher.encrypt(plain, {"account": account, "place": place})

    def open(self, account: AccountId, sealed: bytes, place: str) -> bytes:
        try:
            return self._cipher.decrypt(sealed, {"account": account, "place": place})
        except Unreadable:
            raise Unreadable from None  # no other process has the key


def _associated(context: Mapping[str, str]) -> bytes:
    """Each name and value with its length before it: no two contexts are the same bytes."""
    parts = [part.encode() for name in sorted(context) for part in (name, context[name])]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
