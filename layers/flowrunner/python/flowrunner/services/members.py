"""Accounts and their users as they are stored, and who somebody is right now.

The owners of an account stand in the account's own record, with whether each may log in. Every change of them is
therefore one conditional write, and two owners who demote each other at the same moment cannot leave an account without
one. Of everybody else the user's record says the role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, NotFound, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.names import same_name

ACCOUNT = "account"
USER = "user"
SESSION = "session"
TOKEN = "token"  # noqa: S105 - the kind of thing, none of them

PAGE = 100
TRIES = 20


@dataclass(frozen=True, slots=True)
class Account:
    """An account's record."""

    id: AccountId
    name: str
    created_at: Millis
    owners: Mapping[str, bool]
    """Ids of the owners, each with whether they may log in; at least one may."""
    deleting: bool = False
    rev: int = 0

    def entity(self) -> Entity:
        body = {
            "name": self.name,
            "created_at": self.created_at,
            "owners": dict(self.owners),
            "deleting": self.deleting,
        }
        return Entity(self.id, ACCOUNT, self.id, orjson.dumps(body))


@dataclass(frozen=True, slots=True)
class User:
    """A user's record. `role` and `disabled` count only while the account does not list the user as an owner."""

    account: AccountId
    id: str
    name: str
    password: str = field(repr=False)
    """The hash, with its parameters."""
    created_at: Millis
    password_changed_at: Millis
    role: Role = Role.VIEWER
    disabled: bool = False
    rev: int = 0

    def entity(self, expires_at: Millis | None = None) -> Entity:
        body = {
            "name": self.name,
            "password": self.password,
            "created_at": self.created_at,
            "password_changed_at": self.password_changed_at,
            "role": self.role,
            "disabled": self.disabled,
        }
        lookup = same_name(self.name)
        return Entity(self.account, USER, self.id, orjson.dumps(body), lookup=lookup, expires_at=expires_at)


@dataclass(frozen=True, slots=True)
class Member:
    """A user in their account, as both records say now."""

    account: Account
    user: User

    @property
    def role(self) -> Role:
        return Role.OWNER if self.user.id in self.account.owners else self.user.role

    @property
    def disabled(self) -> bool:
        return not self.account.owners.get(self.user.id, not self.user.disabled)

    @property
    def active(self) -> bool:
        """Whether the user may log in at all."""
        return not self.disabled and not self.account.deleting

    def actor(self, address: str = "", correlation: str = "") -> Actor:
        """The user acting in person, with all that the role allows."""
        return Actor(
            self.account.id,
            self.user.name,
            PERMISSIONS[self.role],
            user=self.user.id,
            address=address,
            correlation=correlation,
        )


class Members:
    """Reads and writes both records; for the other services, which decide who may."""

    def __init__(self, entities: Entities, clock: Clock) -> None:
        self._entities = entities
        self._clock = clock

    def account(self, account: AccountId) -> Account | None:
        found = self._entities.get(account, ACCOUNT, account, self._clock.now())
        return None if found is None else _read_account(found)

    def member(self, account: AccountId, user: str) -> Member | None:
        """A user of the account, active or not."""
        found = self._entities.get(account, USER, user, self._clock.now())
        return None if found is None else self._with_account(found)

    def find(self, username: str) -> Member | None:
        """By login name, in whatever account. Any text may come in; what is no name has no user."""
        if not _storable(username):
            return None
        found = self._entities.find(USER, same_name(username), self._clock.now())
        return None if found is None else self._with_account(found)

    def users(self, account: AccountId, after: str | None = None, limit: int = PAGE) -> list[Member]:
        home = self.account(account)
        if home is None:
            return []
        rows = self._entities.list(account, USER, self._clock.now(), after=after, limit=limit)
        return [Member(home, _read_user(row)) for row in rows]

    def save_account(self, account: Account, expected_rev: int) -> Account | None:
        """None when somebody else wrote first."""
        stored = self._entities.put(account.entity(), self._clock.now(), expected_rev)
        return None if stored is None else replace(account, rev=stored.rev)

    def change_account(self, account: AccountId, change: Callable[[Account], Account]) -> Account:
        """Write what `change` makes of the record, again if somebody else wrote meanwhile. Raises `NotFound`."""
        for _ in range(TRIES):
            found = self.account(account)
            if found is None:
                raise NotFound("there is no such account")
            wanted = change(found)
            if wanted == found:
                return found
            if saved := self.save_account(wanted, found.rev):
                return saved
        raise StoreError("the account changes all the time; try again")

    def save_user(self, user: User, expected_rev: int, expires_at: Millis | None = None) -> User | None:
        """None when somebody else wrote first. Raises `Conflict` when another user has the name."""
        try:
            stored = self._entities.put(user.entity(expires_at), self._clock.now(), expected_rev)
        except Conflict:
            raise Conflict(f"there is a user {user.name!r} already; names are taken for the whole server") from None
        return None if stored is None else replace(user, rev=stored.rev)

    def confirm_user(self, account: AccountId, user: str) -> None:
        """Keep a user that was saved with an expiry."""
        now = self._clock.now()
        found = self._entities.get(account, USER, user, now)
        if found is not None and found.expires_at is not None:
            self._entities.put(replace(found, expires_at=None), now, expected_rev=found.rev)

    def change_user(self, account: AccountId, user: str, change: Callable[[User], User]) -> User:
        """As `change_account`, for a user."""
        for _ in range(TRIES):
            found = self._entities.get(account, USER, user, self._clock.now())
            if found is None:
                raise NotFound("there is no such user")
            now = _read_user(found)
            wanted = change(now)
            if wanted == now:
                return now
            if saved := self.save_user(wanted, now.rev):
                return saved
        raise StoreError("the user changes all the time; try again")

    def set_owner(self, account: AccountId, user: str, active: bool | None) -> Account:
        """Make a user an owner who may log in or not, or (None) no owner any more.

        Raises `Conflict` when no owner who may log in would be left.
        """

        def change(found: Account) -> Account:
            owners = {id: may for id, may in found.owners.items() if id != user}
            if active is not None:
                owners[user] = active
            if not any(owners.values()):
                raise Conflict(
                    "an account needs an owner who may log in",
                    hint="make somebody else an owner first, or delete the account",
                )
            return replace(found, owners=owners)

        return self.change_account(account, change)

    def remove_user(self, account: AccountId, user: str) -> bool:
        return self._entities.delete(account, USER, user)

    def end_logins(self, account: AccountId, user: str, *, tokens: bool, keep_session: str | None = None) -> None:
        """End the sessions of a user but one, and revoke their tokens if wanted."""
        for row in self._pages(account, SESSION, f"{user}."):
            if row.id != keep_session:
                self._entities.delete(account, SESSION, row.id)
        if tokens:
            for row in self.tokens(account):
                if orjson.loads(row.body)["user"] == user:
                    self._entities.delete(account, TOKEN, row.id)

    def tokens(self, account: AccountId) -> Iterator[Entity]:
        """The rows of all tokens of the account."""
        return self._pages(account, TOKEN, "")

    def count(self, account: AccountId, kind: str) -> int:
        """How many things of a kind the account has."""
        return sum(1 for _ in self._pages(account, kind, ""))

    def _pages(self, account: AccountId, kind: str, prefix: str) -> Iterator[Entity]:
        after: str | None = None
        while True:
            page = self._entities.list(account, kind, self._clock.now(), prefix=prefix, after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _with_account(self, row: Entity) -> Member | None:
        home = self.account(row.account)
        return None if home is None else Member(home, _read_user(row))


def _read_account(row: Entity) -> Account:
    body = orjson.loads(row.body)
    return Account(
        row.account, body["name"], body["created_at"], owners=body["owners"], deleting=body["deleting"], rev=row.rev
    )


def _read_user(row: Entity) -> User:
    body = orjson.loads(row.body)
    return User(
        row.account,
        row.id,
        body["name"],
        body["password"],
        body["created_at"],
        body["password_changed_at"],
        role=Role(body["role"]),
        disabled=body["disabled"],
        rev=row.rev,
    )


def _storable(text: str) -> bool:
    try:
        return "\0" not in text and len(text.encode()) <= 1024
    except UnicodeEncodeError:
        return False
