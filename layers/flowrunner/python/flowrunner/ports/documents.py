"""Small documents changed by compare-and-set."""

from __future__ import annotations

from typing import Protocol

from flowrunner.core.ids import AccountId


class Documents(Protocol):
    """Small documents changed by compare-and-set: the run slots of `concurrency`."""

    def read(self, account: AccountId, key: str) -> tuple[bytes, int]:
        """Body and revision; `(b"", 0)` when absent."""
        ...

    def write(self, account: AccountId, key: str, body: bytes, expected_rev: int) -> bool:
        """Store as `expected_rev + 1`; False if the revision is another one.

        Documents are emptied, never removed: one that came back at revision 1 would take a write meant for the one
        before.
        """
        ...
