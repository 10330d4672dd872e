"""A key-value store per account: the `store` node, run-scoped values and the step cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, Millis, RunId


@dataclass(frozen=True, slots=True)
class Item:
    """One stored value. `expires_at` is None for a value that stays."""

    key: str
    value: Json
    expires_at: Millis | None = None


def namespaces_of(run: RunId) -> str:
    """What the namespaces of a run's own values start with. They are removed with the run."""
    return f"run/{run}/"


class KeyValues(Protocol):
    """Values by account, namespace and key. An expired value is as good as absent at once.

    What not every backend can hold is refused by all with `InvalidInput`: NUL or half a surrogate pair in a key or
    namespace, and values that are no JSON in UTF-8 (half a surrogate pair, an integer beyond 64 bits).
    """

    def get(self, account: AccountId, namespace: str, key: str, now: Millis) -> Item | None: ...

    def set(self, account: AccountId, namespace: str, item: Item) -> None: ...

    def delete(self, account: AccountId, namespace: str, key: str) -> bool:
        """True if a value was there."""
        ...

    def list(
        self, account: AccountId, namespace: str, now: Millis, *, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[Item]:
        """Items in key order, from behind `after`, whose keys start with `prefix`."""
        ...

    def increment(
        self, account: AccountId, namespace: str, key: str, by: float, now: Millis, expires_at: Millis | None
    ) -> float:
        """Add to a number (an absent one counts as 0) in one atomic step; returns the new value.

        `expires_at` takes the place of the one before. Raises `Conflict` when the stored value is not a number, or
        the sum is none that can be stored.
        """
        ...

    def purge(self, now: Millis) -> int:
        """Remove what has expired; returns how many."""
        ...
