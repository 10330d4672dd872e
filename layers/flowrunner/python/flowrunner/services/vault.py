"""The secrets of an account: set, listed, deleted, imported, never shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.rotation import Rotated, Rotation
from flowrunner.services.secret_box import Sealed, SecretBox
from flowrunner.services.secret_import import ImportFormat, name_problem, parse_secrets, value_problem
from flowrunner.services.vault_secrets import PURPOSE, all_names

CountCheck = Callable[[AccountId, Callable[[], int]], None]
"""Raises `QuotaExceeded` when an account that has so many secrets may not have one more."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What may be known of a secret. `version` counts the times it was set; `used_at` is right to five minutes."""

    name: str
    version: int
    created_at: Millis
    updated_at: Millis
    used_at: Millis | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """The names that an import has made, and those that had a value already."""

    created: Sequence[str]
    updated: Sequence[str]


class Vault:
    """See the module. Values come in by `put` and `import_`; only runs read them (`vault_secrets`)."""

    def __init__(self, box: SecretBox, rotation: Rotation, audit: Audit, check_count: CountCheck | None = None) -> None:
        self._box = box
        self._rotation = rotation
        self._audit = audit
        self._check_count = check_count

    def put(self, actor: Actor, name: str, value: str) -> Secret:
        """Set a secret. Raises `InvalidInput`, `QuotaExceeded` or `Forbidden`."""
        require(actor, Permission.SECRETS_WRITE)
        _check_name(name)
        problem = value_problem(value)
        if problem is not None:
            raise InvalidInput(problem, problems=[{"field": "value", "message": problem}])
        if self._check_count is not None and not self._has(actor, name):
            self._check_count(actor.account, lambda: len(self._names(actor.account)))
        return self._put(actor, name, value)

    def get(self, actor: Actor, name: str) -> Secret:
        """What may be known of a secret. Raises `NotFound` or `Forbidden`."""
        require(actor, Permission.SECRETS_READ)
        return _shown(self._sealed(actor.account, name))

    def list(self, actor: Actor, *, after: str | None = None, limit: int = 50) -> Sequence[Secret]:
        """Secrets by name, from behind `after`. Raises `Forbidden`."""
        require(actor, Permission.SECRETS_READ)
        return [_shown(sealed) for sealed in self._box.list(actor.account, PURPOSE, after=after, limit=limit)]

    def delete(self, actor: Actor, name: str) -> None:
        """Remove a secret. Runs that read it from now on fail. Raises `NotFound` or `Forbidden`."""
        require(actor, Permission.SECRETS_WRITE)
        if not name_is_possible(name) or not self._has(actor, name):
            raise _missing(name)
        self._audit.record(actor, Action.SECRET_DELETED, name)
        self._box.delete(actor.account, PURPOSE, name)

    def import_(self, actor: Actor, text: str, format: ImportFormat) -> Imported:  # noqa: A002 - the word of the API
        """Set all secrets of a text, or none when anything is wrong with it.

        Cut off in the middle it has set a part; the same import sets the rest. Raises `InvalidInput` with every
        problem, `TooLarge`, `QuotaExceeded` or `Forbidden`.
        """
        require(actor, Permission.SECRETS_WRITE)
        values = parse_secrets(text, format)
        before = set(self._names(actor.account))
        created = [name for name in values if name not in before]
        if created and self._check_count is not None:
            self._check_count(actor.account, lambda: len(before) + len(created) - 1)
        for name, value in values.items():
            self._put(actor, name, value)
        self._audit.record(actor, Action.SECRETS_IMPORTED, created=len(created), updated=len(values) - len(created))
        return Imported(sorted(created), sorted(name for name in values if name in before))

    def rotate(self, actor: Actor) -> Rotated:
        """See `rotation.Rotation.rotate`."""
        return self._rotation.rotate(actor)

    def sweep(self) -> Millis:
        """See `rotation.Rotation.sweep`. For the background."""
        return self._rotation.sweep()

    # -- how ----------------------------------------------------------------------------------------------------

    def _put(self, actor: Actor, name: str, value: str) -> Secret:
        # First the record: what is not recorded is not done.
        self._audit.record(actor, Action.SECRET_WRITTEN, name)
        sealed = self._box.put(actor.account, PURPOSE, name, value.encode())
        assert sealed is not None, "only `new` is refused"
        return _shown(sealed)

    def _sealed(self, account: AccountId, name: str) -> Sealed:
        if not name_is_possible(name):
            raise _missing(name)
        try:
            return self._box.metadata(account, PURPOSE, name)
        except NotFound:
            raise _missing(name) from None

    def _has(self, actor: Actor, name: str) -> bool:
        try:
            self._box.metadata(actor.account, PURPOSE, name)
        except NotFound:
            return False
        return True

    def _names(self, account: AccountId) -> Sequence[str]:
        return all_names(self._box, account)


def name_is_possible(name: str) -> bool:
    """Whether there can be a secret of that name."""
    return name_problem(name) is None


def _check_name(name: str) -> None:
    problem = name_problem(name)
    if problem is not None:
        raise InvalidInput(problem, problems=[{"field": "key", "message": problem}])


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no secret {name[:128]!r}")


def _shown(sealed: Sealed) -> Secret:
    return Secret(sealed.name, sealed.version, sealed.created_at, sealed.updated_at, sealed.used_at)
