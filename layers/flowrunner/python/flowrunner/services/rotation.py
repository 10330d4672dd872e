"""Moving everything that is encrypted to a new key, and forgetting keys that nothing uses any more.

    a key is added  →  what older keys have encrypted is encrypted anew, one row at a time  →  old keys are removed

Nothing is kept between the steps: what is left to do is what the index of due rows says (see `secret_box`). So it may
be killed at any point and done by several processes at once; whoever comes next goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import StoreError, Unreadable
from flowrunner.ports.cipher import KeyInfo, KeyRing
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.secret_box import KIND, SecretBox

BATCH = 200
CHECK_EVERY: Millis = 3_600_000

RETIRED: Millis = 3_600_000
"""A key is kept this long after another one took its place, for processes that see the new one late."""

TRIES = 20
"""Lost races for one row after which something is wrong with the store."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did for one account. `failed` are values that could not be decrypted, and were left alone."""

    key: str
    added: bool
    resealed: int
    failed: int


class Rotation:
    """See the module. `min_age`: no new key while the present one is younger."""

    def __init__(
        self, entities: Entities, keys: KeyRing, box: SecretBox, audit: Audit, clock: Clock, min_age: Millis
    ) -> None:
        self._entities = entities
        self._keys = keys
        self._box = box
        self._audit = audit
        self._clock = clock
        self._min_age = min_age

    def rotate(self, actor: Actor) -> Rotated:
        """Add a key, and encrypt everything of the actor's account under it. `sweep` does the other accounts.

        Called again after it was cut off it goes on. The keys are the installation's: while the newest is younger than
        `vault.min_key_age` no other is added, so that accounts cannot pile them up. Raises `Forbidden`.
        """
        require(actor, Permission.SECRETS_WRITE)
        before = self._keys.primary()
        key = self._keys.add(self._clock.now(), self._min_age)
        resealed, failed = self._reseal_account(actor.account, key)
        result = Rotated(key.id, key != before, resealed, failed)
        self._audit.record(actor, Action.SECRETS_ROTATED, key.id, added=result.added, resealed=resealed, failed=failed)
        return result

    def sweep(self) -> Millis:
        """One round for all accounts: encrypt anew what is under older keys, then remove keys without use.

        Answers when to come back. For the background; several processes may do it at once.
        """
        primary = self._keys.primary()
        self._reseal_due(primary)
        return self._remove_unused(primary)

    # -- how ----------------------------------------------------------------------------------------------------

    def _reseal_account(self, account: AccountId, key: KeyInfo) -> tuple[int, int]:
        resealed = failed = 0
        after: str | None = None
        while True:
            page = self._entities.list(account, KIND, self._clock.now(), after=after, limit=BATCH)
            for entity in page:
                if entity.due is None or entity.due >= key.epoch:
                    continue
                done = self._reseal(entity)
                resealed, failed = resealed + done, failed + (not done)
            if len(page) < BATCH:
                return resealed, failed
            after = page[-1].id

    def _reseal_due(self, primary: KeyInfo) -> None:
        """Until nothing is due under older keys, or nothing more can be done about it."""
        while True:
            batch = self._entities.due(KIND, primary.epoch - 1, BATCH)
            if not sum([self._reseal(entity) for entity in batch]):
                return

    def _reseal(self, entity: Entity) -> bool:
        """True if the row is not in the way any more. One whose key is missing here waits for it."""
        current: Entity | None = entity
        for _ in range(TRIES):
            if current is None or current.due != entity.due:
                return True  # gone, or moved by somebody else
            try:
                if self._box.reseal(current):
                    return True
            except Unreadable as error:
                log.warning("a value of account %s cannot be moved to the new key: %s", entity.account, error)
                if not error.retryable:
                    # No key will ever read it: it holds no key back any more, and is left for people to look at.
                    self._entities.put(replace(current, due=None), self._clock.now(), current.rev)
                return False
            current = self._entities.get(entity.account, KIND, entity.id, self._clock.now())
        raise StoreError("a secret is written by others all the time; try again")

    def _remove_unused(self, primary: KeyInfo) -> Millis:
        now = self._clock.now()
        old = [key for key in self._keys.known() if key.epoch < primary.epoch]
        if not old:
            return now + CHECK_EVERY
        if now < primary.epoch + RETIRED:
            return primary.epoch + RETIRED
        oldest = self._entities.next_due(KIND)
        for key in old:
            if oldest is None or key.epoch < oldest:
                self._keys.remove(key.id)
                log.info("the key %s is not used any more and was removed", key.id)
        return now + CHECK_EVERY
