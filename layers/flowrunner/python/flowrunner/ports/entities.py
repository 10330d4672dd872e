"""Small things that people make and change: users, tokens, secrets, schedules, webhooks, deliveries, audit records.

One shape for all of them, so that a store has few rules to keep. The services own what is inside `body`; a store sees
the columns below. Every write is one conditional write of one entity: what needs more is built from retries and from
ids that are derived, so that doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId, Millis

ANY_REVISION = -1


@dataclass(frozen=True, slots=True)
class Entity:
    """One thing of an account. Kind and id name it; ids of a kind are listed in the order of their bytes (UTF-8).

    `lookup` is a second name, unique over all accounts within the kind (the hash of a token, a login name). `due` puts
    the entity into the kind's due index. An expired entity is as good as absent at once, and removed by `purge`.
    """

    account: AccountId
    kind: str
    id: str
    body: bytes
    rev: int = 0
    """Counts the writes; the store's to set. 0: not stored yet."""
    lookup: str | None = None
    due: Millis | None = None
    expires_at: Millis | None = None


class Entities(Protocol):
    """The store of entities. `now` decides what has expired.

    Text that not every backend can hold (NUL, half a surrogate pair) is refused by all with `InvalidInput`.
    """

    def get(self, account: AccountId, kind: str, id: str, now: Millis) -> Entity | None: ...

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        """Write all columns and answer what is stored, its `rev` one higher than before.

        `expected_rev` 0: only if there is none (an expired one counts as none); above 0: only at that revision. None
        when the condition fails. Raises `Conflict` when `lookup` is taken by another entity of the kind; one that has
        expired gives it up, and is removed.
        """
        ...

    def delete(self, account: AccountId, kind: str, id: str, expected_rev: int = ANY_REVISION) -> bool:
        """True if it was there (expired or not, and at that revision) and is gone."""
        ...

    def list(
        self,
        account: AccountId,
        kind: str,
        now: Millis,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> Sequence[Entity]:
        """Entities whose ids start with `prefix`, by id, from behind the id `after` in that direction."""
        ...

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        """By the second name, in whatever account it is."""
        ...

    def due(self, kind: str, until: Millis, limit: int) -> Sequence[Entity]:
        """Entities of all accounts with `due` at or before `until`, by due time, expired ones included."""
        ...

    def next_due(self, kind: str) -> Millis | None:
        """The earliest `due` of the kind; None when nothing is due ever."""
        ...

    def purge(self, now: Millis) -> int:
        """Remove what has expired; returns how many."""
        ...

    def delete_account(self, account: AccountId, limit: int = 1000) -> int:
        """Remove up to `limit` entities of an account, of every kind; returns how many, 0 when none are left."""
        ...
