"""Accounts: made with their first owner, renamed, and marked for their end. `services.erasure` removes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, Forbidden, InvalidInput, NotFound, StoreError
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.installation import SYSTEM
from flowrunner.services.members import Account, Member, Members, User
from flowrunner.services.names import title, user_name
from flowrunner.services.passwords import Passwords, acceptable
from flowrunner.services.throttle import Throttle, address_key

ERASURE = "erasure"
"""The kind of the notes, in the system's account, of what has to be removed."""

SIGN_UPS_PER_HOUR = 10
"""From one address."""
RESERVED: Millis = 600_000
"""How long a user name stays taken when a sign-up is cut off."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The first user of a new account."""

    username: str
    password: str = field(repr=False)


class Accounts:
    """See the module. `open_to_all` says whether strangers may make an account (`accounts.signup`)."""

    def __init__(
        self,
        entities: Entities,
        members: Members,
        passwords: Passwords,
        audit: Audit,
        clock: Clock,
        draws: Draws,
        *,
        open_to_all: bool = False,
    ) -> None:
        self._entities = entities
        self._members = members
        self._passwords = passwords
        self._audit = audit
        self._clock = clock
        self._draws = draws
        self.open_to_all = open_to_all
        self._sign_ups = Throttle(clock, SIGN_UPS_PER_HOUR, 3600.0)

    # -- beginning ----------------------------------------------------------------------------------------------

    def sign_up(self, name: str, owner: Owner, address: str, correlation: str = "") -> Member:
        """A stranger makes an account. The only function here without an actor that answers to the outside.

        Raises `Forbidden` when sign-up is closed, `TooManyRequests`, `Conflict` when the user name is taken.
        """
        if not self.open_to_all:
            raise Forbidden("sign-up is closed on this server; ask who runs it for an account")
        self._sign_ups.check(address_key(address)).require("too many sign-ups from this address; wait")
        return self.create(name, owner, address, correlation)

    def create(self, name: str, owner: Owner, address: str = "", correlation: str = "") -> Member:
        """A new account with its owner. For internal callers: no permission is asked for.

        Raises `InvalidInput`, and `Conflict` when the user name is taken.
        """
        account = AccountId(self._draws.new_id())
        member = self._found(account, title(name), self._draws.new_id(), owner)
        self._audit.record(
            member.actor(address, correlation), Action.ACCOUNT_CREATED, account, name=member.account.name
        )
        return member

    def bootstrap(self, account: AccountId, name: str, owner: Owner) -> bool:
        """Make the account of that id with its owner, unless it is there. True if it was made now.

        For internal callers: the start of a server, in any number of processes. Raises `Conflict` when the account is
        being removed, or the user name is taken in another one.
        """
        found = self._members.account(account)
        if found is not None and found.deleting:
            raise Conflict(f"the account {account} is being removed")
        if found is not None and self._members.users(account, limit=1):
            self._members.confirm_user(account, first_user(account))  # whoever made it may have died before they did
            return False
        member = self._found(account, title(name), first_user(account), owner)
        self._audit.record(member.actor(), Action.ACCOUNT_CREATED, account, name=member.account.name)
        return True

    def _found(self, account: AccountId, name: str, user_id: str, owner: Owner) -> Member:
        """Take the user name, make the account, confirm the user: cut off anywhere, it leaves nothing that matters.

        The name is taken first, as this is what can fail, and only for a while.
        """
        username = user_name(owner.username)
        password = acceptable(owner.password, username)
        now = self._clock.now()
        user = User(account, user_id, username, self._passwords.hash(password), now, now)
        self._members.save_user(user, expected_rev=0, expires_at=now + RESERVED)
        home = Account(account, name, now, owners={user_id: True})
        self._members.save_account(home, expected_rev=0)
        self._members.confirm_user(account, user_id)
        found = self._members.member(account, user_id)
        if found is None:
            raise StoreError("the account was made by two at once; try again")
        return found

    # -- its own ------------------------------------------------------------------------------------------------

    def get(self, actor: Actor) -> Account:
        """The actor's account."""
        require(actor, Permission.ACCOUNT_READ)
        return self._account(actor.account)

    def update(self, actor: Actor, name: str) -> Account:
        """Rename the account. Raises `InvalidInput`."""
        require(actor, Permission.ACCOUNT_WRITE)
        wanted = title(name)
        account = self._members.change_account(actor.account, lambda found: replace(found, name=wanted))
        self._audit.record(actor, Action.ACCOUNT_CHANGED, actor.account, name=wanted)
        return account

    def delete(self, actor: Actor, confirm: str) -> None:
        """End the account: when this returns, none of its users, tokens and sessions is let in any more.

        Everything that it has is removed in the background (`services.erasure`). Raises `InvalidInput` unless
        `confirm` is the account's name.
        """
        require(actor, Permission.ACCOUNT_WRITE)
        found = self._account(actor.account)
        if confirm != found.name:
            raise InvalidInput("to delete the account, confirm with its name", field="confirm")
        self._audit.record(actor, Action.ACCOUNT_DELETED, actor.account, name=found.name)
        # The note first: an account that is marked and not noted would be shut for ever, and never removed.
        self.note_erasure(actor.account)
        self._members.change_account(actor.account, lambda account: replace(account, deleting=True))

    def active(self, account: AccountId) -> bool:
        """Whether there is such an account that is not being removed. For internal callers: triggers."""
        found = self._members.account(account)
        return found is not None and not found.deleting

    def note_erasure(self, account: AccountId) -> None:
        """Write down that everything of the account has to be removed. For internal callers."""
        now = self._clock.now()
        self._entities.put(Entity(SYSTEM, ERASURE, account, b"", due=now), now, expected_rev=0)

    def _account(self, account: AccountId) -> Account:
        found = self._members.account(account)
        if found is None:
            raise NotFound("there is no such account")
        return found


def first_user(account: AccountId) -> str:
    """The id of the user that `bootstrap` makes: derived, so that two processes make the same one."""
    return hashlib.sha256(f"first user of {account}".encode()).hexdigest()[:32]
