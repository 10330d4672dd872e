"""The secrets that runs have read: noted when they are read, known for as long as something has to be masked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.seals import NOTHING, Known, values_of
from flowrunner.errors import SecretMissing, Unreadable
from flowrunner.ports.secrets import Secrets

OnSecretRead = Callable[[AccountId, RunId, str], None]
"""Told before a run is given a secret that it had not read before."""

CACHE_BYTES = 2 * 1024 * 1024
REDACTORS = 64
"""Made ones that are kept: making one for five secrets takes as long as a short step."""


class RunSecrets:
    """Reads secrets for runs. Safe for several threads.

    What a run has read in this process is remembered by value: a secret that is changed while the run lasts is masked
    with its old value as well. Other processes learn the names from the run's head, and ask for today's values.
    """

    def __init__(self, secrets: Secrets, on_read: OnSecretRead | None = None) -> None:
        self._secrets = secrets
        self._on_read = on_read
        self._known: SizedCache[tuple[AccountId, RunId], Known] = SizedCache(CACHE_BYTES)
        self._redactors: SizedCache[Known, Redactor] = SizedCache(REDACTORS)
        self._lock = Lock()

    def read(self, account: AccountId, run: RunId, name: str, *, first: bool) -> str:
        """The value, for the run to use; `first`: no step of it has read this one. Raises `SecretMissing`."""
        value = self._secrets.read(account, name)
        if first and self._on_read is not None:
            self._on_read(account, run, name)
        self._note(account, run, frozenset({(name, value)}))
        return value

    def known(self, account: AccountId, run: RunId, names: Iterable[str]) -> Known:
        """What is to be masked for a run that has read the secrets `names`.

        One that was deleted or damaged since, and that this process has not read, is left out: nobody can tell its
        value. Raises `StoreError`, or `Unreadable` when the key of one cannot be had.
        """
        known = self._known.get((account, run)) or NOTHING
        missing = set(names) - {name for name, _ in known}
        if not missing:
            return known
        fresh = set()
        for name in missing:
            try:
                fresh.add((name, self._secrets.read(account, name)))
            except SecretMissing:
                continue
            except Unreadable as error:
                if error.retryable:
                    raise
        self._note(account, run, frozenset(fresh))
        return known | fresh

    def redactor(self, known: Known) -> Redactor:
        """What masks these secrets."""
        found = self._redactors.get(known)
        if found is None:
            found = Redactor(values_of(known))
            self._redactors.put(known, found, 1)
        return found

    def _note(self, account: AccountId, run: RunId, fresh: Known) -> None:
        with self._lock:
            known = self._known.get((account, run)) or NOTHING
            if not fresh <= known:
                known |= fresh
                size = sum(len(name) + len(value) for name, value in known) + 200
                self._known.put((account, run), known, size)
