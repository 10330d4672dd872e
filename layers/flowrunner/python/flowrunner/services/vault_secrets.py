"""The vault as runs see it: `${secrets.NAME}`, and the audit record of who has read what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flowrunner.core.ids import AccountId, RunId
from flowrunner.errors import NotFound, SecretMissing
from flowrunner.ports.secrets import Secrets
from flowrunner.services.audit_actions import Action
from flowrunner.services.secret_box import SecretBox

if TYPE_CHECKING:
    from flowrunner.services.audit import Audit

PURPOSE = "secret"
PAGE = 500


class VaultSecrets:
    """See `ports.secrets.Secrets`. One account may also have what `fallback` knows: environment and dotenv file.

    The vault goes before the fallback. An account of the vault never sees the fallback's secrets.
    """

    def __init__(self, box: SecretBox, fallback: Secrets | None = None, fallback_for: AccountId | None = None) -> None:
        self._box = box
        self._fallback = fallback
        self._fallback_for = fallback_for

    def read(self, account: AccountId, name: str) -> str:
        try:
            return self._box.read(account, PURPOSE, name).decode()
        except NotFound:
            fallback = self._fallback_of(account)
            if fallback is not None and name in fallback.names(account):
                return fallback.read(account, name)
            hint = f"set it with `flowrunner secrets set {name}`"
            if fallback is not None:
                hint = f"on a server, {hint}; for a run without one set FLOWRUNNER_SECRET_{name}"
            raise SecretMissing(f"there is no secret {name!r}", hint=hint) from None

    def names(self, account: AccountId) -> Sequence[str]:
        fallback = self._fallback_of(account)
        others = fallback.names(account) if fallback is not None else ()
        return sorted({*all_names(self._box, account), *others})

    def _fallback_of(self, account: AccountId) -> Secrets | None:
        return self._fallback if account == self._fallback_for else None


class SecretReads:
    """Records in the audit log that a run has read a secret: once per run and secret."""

    def __init__(self, audit: Callable[[], Audit]) -> None:
        """`audit` gives the log when there is something to record: most runs read no secret."""
        self._audit = audit

    def __call__(self, account: AccountId, run: RunId, name: str) -> None:
        """Called before the value is handed out. Raises `StoreError`: a read that cannot be recorded is not done."""
        self._audit().record_once(account, f"run:{run}", Action.SECRET_READ, name, key=f"{run}/{name}", run=run)


def all_names(box: SecretBox, account: AccountId) -> Sequence[str]:
    """The names of an account's secrets, in order."""
    found: list[str] = []
    while True:
        page = box.list(account, PURPOSE, after=found[-1] if found else None, limit=PAGE)
        found += [sealed.name for sealed in page]
        if len(page) < PAGE:
            return found
