"""Large values under keys of their own (claim check)."""

from __future__ import annotations

from typing import Protocol

from flowrunner.core.ids import AccountId, RunId


class Blobs(Protocol):
    """Large values under keys of their own (claim check). A stored blob is never overwritten."""

    def put(self, account: AccountId, run: RunId, key: str, content: bytes) -> None: ...

    def get(self, account: AccountId, run: RunId, key: str) -> bytes | None: ...
