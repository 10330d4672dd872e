"""Where `${secrets.KEY}` comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flowrunner.core.ids import AccountId


class Secrets(Protocol):
    """Reads secrets; how they are written and rotated is the vault's own matter."""

    def read(self, account: AccountId, name: str) -> str:
        """The value. Raises `SecretMissing`, naming the key and never a value."""
        ...

    def names(self, account: AccountId) -> Sequence[str]: ...
