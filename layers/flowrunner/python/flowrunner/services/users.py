"""Users of an account: their roles, whether they may log in, their passwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flowrunner.core.ids import AccountId
from flowrunner.errors import Forbidden, InvalidInput, NotFound
from flowrunner.ports.clock import Clock, Draws
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import PERMISSIONS, Actor, Permission, Role, require
from flowrunner.services.logins import Logins
from flowrunner.services.members import USER, Member, Members, User
from flowrunner.services.names import user_name
from flowrunner.services.passwords import Passwords, acceptable
from flowrunner.services.quotas import Quotas
from flowrunner.services.sessions import Sessions


class Users:
    """What owners do with users, and users with themselves.

    Nobody gives a role that can do more than they, nor touches a user who can: a token with `users:write` and little
    else does not become an owner by making one.
    """

    def __init__(
        self,
        members: Members,
        passwords: Passwords,
        logins: Logins,
        sessions: Sessions,
        audit: Audit,
        quotas: Quotas,
        clock: Clock,
        draws: Draws,
    ) -> None:
        self._members = members
        self._passwords = passwords
        self._logins = logins
        self._sessions = sessions
        self._audit = audit
        self._quotas = quotas
        self._clock = clock
        self._draws = draws

    def list(self, actor: Actor, after: str | None = None, limit: int = 50) -> Sequence[Member]:
        """Users by age, behind the id `after`."""
        require(actor, Permission.USERS_READ)
        return self._members.users(actor.account, after, limit)

    def get(self, actor: Actor, id: str) -> Member:
        """A user; everybody may see themselves. Raises `NotFound`."""
        if id != actor.user:
            require(actor, Permission.USERS_READ)
        return self._member(actor.account, id)

    def create(self, actor: Actor, name: str, password: str, role: Role) -> Member:
        """Raises `Conflict` when the name is taken on this server, `InvalidInput`, `Forbidden`, `QuotaExceeded`."""
        require(actor, Permission.USERS_WRITE)
        _require_covered(actor, role)
        name = user_name(name)
        password = acceptable(password, name)
        self._quotas.check_count(actor.account, "users", lambda: self._members.count(actor.account, USER))
        now = self._clock.now()
        user = User(
            account=actor.account,
            id=self._draws.new_id(),
            name=name,
            password=self._passwords.hash(password),
            created_at=now,
            password_changed_at=now,
            role=Role.VIEWER if role is Role.OWNER else role,
        )
        self._members.save_user(user, expected_rev=0)
        if role is Role.OWNER:
            self._members.set_owner(actor.account, user.id, active=True)
        self._audit.record(actor, Action.USER_CREATED, name, user=user.id, role=str(role))
        return self._member(actor.account, user.id)

    def update(self, actor: Actor, id: str, *, role: Role | None = None, disabled: bool | None = None) -> Member:
        """Change what is given. Both take effect at once, also for tokens and sessions that exist.

        Raises `NotFound`, `Forbidden`, and `Conflict` when no owner who may log in would be left.
        """
        require(actor, Permission.USERS_WRITE)
        before = self._member(actor.account, id)
        _require_covered(actor, before.role)
        wanted = before.role if role is None else role
        _require_covered(actor, wanted)
        blocked = before.disabled if disabled is None else disabled
        if wanted is Role.OWNER:
            # One write. What the user's own record says does not count from then on.
            self._members.set_owner(actor.account, id, active=not blocked)
            self._forget_ghost(actor.account, id)
        else:
            # In this order: while the account lists them as an owner the first write does nothing.
            self._members.change_user(actor.account, id, lambda user: replace(user, role=wanted, disabled=blocked))
            if self._member(actor.account, id).role is Role.OWNER:
                self._members.set_owner(actor.account, id, active=None)
        self._record_update(actor, before, wanted, blocked)
        return self._member(actor.account, id)

    def delete(self, actor: Actor, id: str) -> None:
        """Remove a user with their sessions and tokens.

        Raises `NotFound`, `Forbidden`, and `Conflict` when no owner who may log in would be left.
        """
        require(actor, Permission.USERS_WRITE)
        member = self._member(actor.account, id)
        _require_covered(actor, member.role)
        if member.role is Role.OWNER:
            self._members.set_owner(actor.account, id, active=None)
        self._audit.record(actor, Action.USER_DELETED, member.user.name, user=id)
        self._members.end_logins(actor.account, id, tokens=True)
        self._members.remove_user(actor.account, id)
        self._forget_ghost(actor.account, id)

    def change_password(self, actor: Actor, id: str, new: str, old: str | None = None) -> None:
        """Set a password: one's own with the old one, somebody else's as an owner. Ends the user's other sessions.

        Raises `InvalidInput`, `Forbidden` for a wrong old password, `NotFound`, and `TooManyRequests` after too many
        wrong ones.
        """
        own = id == actor.user
        if not own:
            require(actor, Permission.USERS_WRITE)
        member = self._member(actor.account, id)
        if own:
            self._require_old(actor, member, old)
        else:
            _require_covered(actor, member.role)
        new = acceptable(new, member.user.name, "new password")
        fresh, now = self._passwords.hash(new), self._clock.now()
        # Of every session the moment of the change is compared, so it must differ from the one before.
        user = self._members.change_user(
            actor.account,
            id,
            lambda user: replace(user, password=fresh, password_changed_at=max(now, user.password_changed_at + 1)),
        )
        if own and actor.session is not None:
            self._sessions.keep(actor, replace(member, user=user))
        self._audit.record(actor, Action.PASSWORD_CHANGED, user.name, user=id)
        self._members.end_logins(actor.account, id, tokens=False, keep_session=actor.session if own else None)

    def reset_password(self, username: str, new: str) -> None:
        """Set a forgotten password and end all the user's sessions. For whoever has the store itself in their hands.

        Raises `NotFound` and `InvalidInput`.
        """
        member = self._members.find(user_name(username))
        if member is None:
            raise NotFound("there is no such user")
        operator = replace(member.actor(), name="operator", permissions=frozenset(Permission), user=None)
        self.change_password(operator, member.user.id, new)

    # -- how ----------------------------------------------------------------------------------------------------

    def _member(self, account: AccountId, id: str) -> Member:
        found = self._members.member(account, id)
        if found is None:
            raise NotFound("there is no such user")
        return found

    def _forget_ghost(self, account: AccountId, id: str) -> None:
        """Somebody may have been made an owner while they were removed."""
        home = self._members.account(account)
        if home is not None and id in home.owners and self._members.member(account, id) is None:
            self._members.set_owner(account, id, active=None)

    def _require_old(self, actor: Actor, member: Member, old: str | None) -> None:
        if old is None:
            raise InvalidInput("changing your own password needs the old one", field="old_password")
        if not self._logins.confirm(member, old, actor.address, actor.correlation):
            raise Forbidden("the old password is wrong")

    def _record_update(self, actor: Actor, before: Member, role: Role, blocked: bool) -> None:
        name, id = before.user.name, before.user.id
        if role is not before.role:
            self._audit.record(actor, Action.ROLE_CHANGED, name, user=id, old=str(before.role), new=str(role))
        if blocked != before.disabled:
            action = Action.USER_DISABLED if blocked else Action.USER_ENABLED
            self._audit.record(actor, action, name, user=id)


def _require_covered(actor: Actor, role: Role) -> None:
    lacking = PERMISSIONS[role] - actor.permissions
    if lacking:
        raise Forbidden(f"the role {role} can do more than you: {', '.join(sorted(lacking))}")
