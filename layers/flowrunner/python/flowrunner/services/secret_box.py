"""Everything that is kept encrypted, in one kind of entity, so that one sweep can move it all to a new key.

A name within a purpose ("secret" for people's own, "data" for keys of run values, "webhook" for signing keys) has one
value, encrypted in the context {account, purpose, secret, version}: a row that is moved to another account or name,
or given another version, does not decrypt. The entity is due at the epoch of its key, so the index of due entities
tells what is encrypted under older keys, of all accounts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.engine.cache import SizedCache
from flowrunner.errors import NotFound, StoreError, Unreadable
from flowrunner.ports.cipher import KeyInfo, KeyRing
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity

KIND = "secret"

TRIES = 20
"""Lost races for one entity after which something is wrong with the store."""

CACHE_BYTES = 4 * 1024 * 1024
CACHE_SECONDS = 300.0
CACHE_USES = 1_000
"""How long, and how often, a value is taken from memory before it is decrypted again."""

USED_WITHIN: Millis = 300_000
"""`used_at` is right to this much, so that a secret that every step reads is not written as often."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is known of an encrypted value without decrypting it. `version` counts the times that it was set."""

    account: AccountId
    purpose: str
    name: str
    version: int
    key: str
    created_at: Millis
    updated_at: Millis
    used_at: Millis | None = None


@dataclass(slots=True)
class _Kept:
    """A decrypted value in memory, for exactly one ciphertext."""

    cipher: bytes
    plain: bytes
    until: float
    uses: int = CACHE_USES

    def __repr__(self) -> str:
        return "_Kept(***)"


class SecretBox:
    """See the module. For other services: whoever calls it has checked who asks. Safe for threads and processes."""

    def __init__(self, entities: Entities, keys: KeyRing, clock: Clock) -> None:
        self._entities = entities
        self._keys = keys
        self._clock = clock
        self._cache: SizedCache[tuple[str, str], _Kept] = SizedCache(CACHE_BYTES)
        self._lock = Lock()

    def put(self, account: AccountId, purpose: str, name: str, plain: bytes, *, new: bool = False) -> Sealed | None:
        """Set a value; when this returns it is stored under a key that nobody is about to remove.

        With `new` only if there is none: None when there is one.
        """
        for _ in range(TRIES):
            now = self._clock.now()
            found = self._entity(account, purpose, name)
            if found is not None and new:
                return None
            before = read_sealed(found) if found is not None else None
            sealed = Sealed(
                account=account,
                purpose=purpose,
                name=name,
                version=before.version + 1 if before else 1,
                key="",
                created_at=before.created_at if before else now,
                updated_at=now,
                used_at=before.used_at if before else None,
            )
            rev = found.rev if found is not None else 0
            stored = self._write(sealed, plain, rev)
            if stored is not None:
                return stored
        raise StoreError("the secret is written by others all the time; try again")

    def read(self, account: AccountId, purpose: str, name: str) -> bytes:
        """The value. Raises `NotFound`, or `Unreadable` as `ports.cipher.Cipher.decrypt`."""
        entity = self._entity(account, purpose, name)
        if entity is None:
            self._cache.drop((account, _id(purpose, name)))
            raise NotFound(f"there is no {purpose} {name!r}")
        sealed, cipher = _decode(entity)
        plain = self._from_cache(entity, cipher)
        if plain is None:
            plain = self._keys.decrypt(cipher, _context(sealed))
            kept = _Kept(cipher, plain, self._clock.monotonic() + CACHE_SECONDS)
            self._cache.put((account, entity.id), kept, len(plain) + len(cipher) + 500)
        self._note_use(entity, sealed)
        return plain

    def metadata(self, account: AccountId, purpose: str, name: str) -> Sealed:
        """What is known of a value without decrypting it. Raises `NotFound`."""
        entity = self._entity(account, purpose, name)
        if entity is None:
            raise NotFound(f"there is no {purpose} {name!r}")
        return read_sealed(entity)

    def list(self, account: AccountId, purpose: str, *, after: str | None = None, limit: int = 100) -> Sequence[Sealed]:
        """Values of a purpose by name, from behind `after`."""
        start = None if after is None else _id(purpose, after)
        found = self._entities.list(account, KIND, self._clock.now(), prefix=_id(purpose, ""), after=start, limit=limit)
        return [read_sealed(entity) for entity in found]

    def delete(self, account: AccountId, purpose: str, name: str) -> bool:
        """Remove a value. True if it was there."""
        self._cache.drop((account, _id(purpose, name)))
        return self._entities.delete(account, KIND, _id(purpose, name))

    def reseal(self, entity: Entity) -> bool:
        """Encrypt an entity anew under the primary key, with nothing else changed.

        False when somebody else has changed it meanwhile, which does the same or leaves it due. Raises `Unreadable`.
        """
        sealed, cipher = _decode(entity)
        plain = self._keys.decrypt(cipher, _context(sealed))
        return self._write(sealed, plain, entity.rev) is not None

    # -- how ----------------------------------------------------------------------------------------------------

    def _entity(self, account: AccountId, purpose: str, name: str) -> Entity | None:
        return self._entities.get(account, KIND, _id(purpose, name), self._clock.now())

    def _write(self, sealed: Sealed, plain: bytes, rev: int) -> Sealed | None:
        """Encrypt and store at that revision; None when the race is lost.

        Another process may add a key after we have asked for the primary, find that nothing uses ours, and remove it
        before our row is there. So the primary is looked up again behind the write: as long as it is ours, whoever
        adds a key from now on sees our row.

            we: primary = k1 ·············· encrypt, write under k1 · primary is k2! · write under k2
            other:          add k2, scan (nothing under k1), remove k1
        """
        stored: Entity | None = None
        for _ in range(TRIES):
            key = self._keys.primary()
            cipher = self._keys.encrypt(plain, _context(sealed))
            if self._keys.primary() != key:
                continue  # which of the two has encrypted it?
            sealed = replace(sealed, key=key.id)
            entity = _encode(sealed, cipher, key)
            stored = self._entities.put(entity, self._clock.now(), stored.rev if stored else rev)
            if stored is None:
                return None
            if self._keys.primary() == key:
                self._cache.drop((sealed.account, stored.id))
                return sealed
        raise StoreError("new keys are added all the time; try again")

    def _from_cache(self, entity: Entity, cipher: bytes) -> bytes | None:
        kept = self._cache.get((entity.account, entity.id))
        with self._lock:
            if kept is None or kept.cipher != cipher or kept.uses <= 0 or kept.until <= self._clock.monotonic():
                return None
            kept.uses -= 1
            return kept.plain

    def _note_use(self, entity: Entity, sealed: Sealed) -> None:
        now = self._clock.now()
        if sealed.used_at is not None and now - sealed.used_at < USED_WITHIN:
            return
        document = orjson.loads(entity.body) | {"use": now}
        self._entities.put(replace(entity, body=orjson.dumps(document)), now, entity.rev)


def read_sealed(entity: Entity) -> Sealed:
    """What an entity says of its value; a damaged one says nothing but its name, so that it can be set anew."""
    try:
        return _decode(entity)[0]
    except Unreadable:
        purpose, _, name = entity.id.partition("/")
        return Sealed(entity.account, purpose, name, 0, "", 0, 0)


def _decode(entity: Entity) -> tuple[Sealed, bytes]:
    try:
        document = orjson.loads(entity.body)
        purpose, _, name = entity.id.partition("/")
        sealed = Sealed(
            account=entity.account,
            purpose=purpose,
            name=name,
            version=int(document["v"]),
            key=str(document["k"]),
            created_at=int(document["t0"]),
            updated_at=int(document["t1"]),
            used_at=document.get("use"),
        )
        return sealed, base64.b64decode(document["c"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Unreadable(f"the row of {entity.id} is damaged") from None


def _encode(sealed: Sealed, cipher: bytes, key: KeyInfo) -> Entity:
    document = {
        "v": sealed.version,
        "k": sealed.key,
        "c": base64.b64encode(cipher).decode(),
        "t0": sealed.created_at,
        "t1": sealed.updated_at,
        "use": sealed.used_at,
    }
    return Entity(sealed.account, KIND, _id(sealed.purpose, sealed.name), orjson.dumps(document), due=key.epoch)


def _id(purpose: str, name: str) -> str:
    return f"{purpose}/{name}"


def _context(sealed: Sealed) -> dict[str, str]:
    return {
        "account": sealed.account,
        "purpose": sealed.purpose,
        "secret": sealed.name,
        "version": str(sealed.version),
    }
