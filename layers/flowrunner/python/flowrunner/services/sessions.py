"""Sessions of the console: a cookie that only its browser knows, and a CSRF token that hangs on it.

The store has the hash of the cookie. A session ends when it was idle for long, at an age, at logout, and when the
user's password changes: each session names the change that it was begun under.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Forbidden, NotFound, Unauthenticated
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.logins import Logins
from flowrunner.services.members import SESSION, Member, Members

TOUCHED_EVERY: Millis = 60_000
"""`last_seen` is written at most this often."""
PER_USER = 100
"""Sessions that one user can have; the oldest one makes room."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of a session, which is not its cookie."""

    account: AccountId
    id: str
    """The user's id, a dot, and an id that sorts by time."""
    created_at: Millis
    last_seen: Millis
    address: str
    """Where it was begun."""
    password_changed_at: Millis
    """Of the user, when it was begun."""
    lookup: str = ""
    rev: int = 0

    @property
    def user(self) -> str:
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Begun:
    """A new session: what the browser gets. `cookie` is shown to nobody else."""

    cookie: str = field(repr=False)
    csrf: str = field(repr=False)
    actor: Actor
    expires_at: Millis
    """When it ends however busy it is."""


class Sessions:
    """Begins, recognises and ends sessions."""

    def __init__(
        self,
        entities: Entities,
        members: Members,
        logins: Logins,
        audit: Audit,
        clock: Clock,
        draws: Draws,
        *,
        idle: Millis = 12 * 3_600_000,
        age: Millis = 7 * 86_400_000,
    ) -> None:
        self._entities = entities
        self._members = members
        self._logins = logins
        self._audit = audit
        self._clock = clock
        self._draws = draws
        self._idle = idle
        self._age = age

    # -- for people ---------------------------------------------------------------------------------------------

    def login(
        self, username: str, password: str, address: str, correlation: str = "", instead_of: str | None = None
    ) -> Begun:
        """Begin a session under a new id. `instead_of` is a cookie that the browser had, whose session ends.

        Raises as `Logins.verify`.
        """
        member = self._logins.verify(username, password, address, correlation)
        now = self._clock.now()
        cookie = self._draws.token()
        session = Session(
            account=member.account.id,
            id=f"{member.user.id}.{self._draws.new_id()}",
            created_at=now,
            last_seen=now,
            address=address,
            password_changed_at=member.user.password_changed_at,
            lookup=_hash(cookie),
        )
        self._entities.put(self._entity(session), now, expected_rev=0)
        actor = replace(member.actor(address, correlation), session=session.id)
        self._audit.record(actor, Action.LOGIN, member.user.name)
        if instead_of is not None:
            self._end_cookie(instead_of)
        self._make_room(session)
        return Begun(cookie, csrf_of(cookie), actor, now + self._age)

    def logout(self, actor: Actor) -> None:
        """End the session that the actor uses. Raises `Forbidden` when it is no session."""
        if actor.session is None:
            raise Forbidden("this is no session: a token is revoked, a password is just not sent any more")
        self._audit.record(actor, Action.LOGOUT, actor.name)
        self._entities.delete(actor.account, SESSION, actor.session)

    def list(self, actor: Actor, after: str | None = None, limit: int = 50) -> Sequence[Session]:
        """The actor's own sessions, oldest first, behind the id `after`."""
        require(actor, Permission.TOKENS_READ)
        prefix = f"{_own(actor)}."
        rows = self._entities.list(actor.account, SESSION, self._clock.now(), prefix=prefix, after=after, limit=limit)
        return [_read(row) for row in rows]

    def end(self, actor: Actor, id: str) -> None:
        """End one of the actor's own sessions. Raises `NotFound`."""
        require(actor, Permission.TOKENS_WRITE)
        if not id.startswith(f"{_own(actor)}.") or not self._entities.delete(actor.account, SESSION, id):
            raise NotFound("there is no such session")
        self._audit.record(actor, Action.LOGOUT, actor.name, session=id)

    # -- for authentication -------------------------------------------------------------------------------------

    def identify(self, cookie: str, address: str, correlation: str = "") -> Actor:
        """Whose session this is, now. Raises `Unauthenticated`. For internal callers."""
        row = self._entities.find(SESSION, _hash(cookie), self._clock.now())
        if row is None:
            raise Unauthenticated("the session has ended; log in again")
        session = _read(row)
        actor = self._actor(session, address, correlation)
        now = self._clock.now()
        if now - session.last_seen >= TOUCHED_EVERY:
            # On that revision only: who ends it meanwhile wins.
            self._entities.put(self._entity(replace(session, last_seen=now)), now, expected_rev=session.rev)
        return actor

    def recheck(self, actor: Actor) -> Actor:
        """The actor of a session again, as the store says now. Raises `Unauthenticated`. For internal callers."""
        row = self._entities.get(actor.account, SESSION, actor.session or "", self._clock.now())
        if row is None:
            raise Unauthenticated("the session has ended; log in again")
        return self._actor(_read(row), actor.address, actor.correlation)

    def keep(self, actor: Actor, member: Member) -> None:
        """Let the actor's own session outlive the change of their password. For internal callers."""
        now = self._clock.now()
        row = self._entities.get(actor.account, SESSION, actor.session or "", now)
        if row is not None:
            session = replace(_read(row), password_changed_at=member.user.password_changed_at)
            self._entities.put(self._entity(session), now, expected_rev=row.rev)

    # -- how ----------------------------------------------------------------------------------------------------

    def _actor(self, session: Session, address: str, correlation: str) -> Actor:
        member = self._members.member(session.account, session.user)
        if member is None or not member.active or member.user.password_changed_at != session.password_changed_at:
            raise Unauthenticated("the session has ended; log in again")
        return replace(member.actor(address, correlation), session=session.id)

    def _entity(self, session: Session) -> Entity:
        body = {
            "created_at": session.created_at,
            "last_seen": session.last_seen,
            "address": session.address,
            "password_changed_at": session.password_changed_at,
        }
        ends = min(session.last_seen + self._idle, session.created_at + self._age)
        return Entity(session.account, SESSION, session.id, orjson.dumps(body), lookup=session.lookup, expires_at=ends)

    def _end_cookie(self, cookie: str) -> None:
        row = self._entities.find(SESSION, _hash(cookie), self._clock.now())
        if row is not None:
            self._entities.delete(row.account, SESSION, row.id)

    def _make_room(self, session: Session) -> None:
        rows = self._entities.list(
            session.account, SESSION, self._clock.now(), prefix=f"{session.user}.", limit=PER_USER + 1
        )
        if len(rows) > PER_USER:
            self._entities.delete(session.account, SESSION, rows[0].id)


def csrf_of(cookie: str) -> str:
    """The CSRF token of a session: only who has the cookie can compute it, and the browser's scripts do not have it."""
    raw = hmac.new(cookie.encode("utf-8", "surrogateescape"), b"flowrunner csrf", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def _own(actor: Actor) -> str:
    if actor.user is None:
        raise Forbidden("only a user has sessions")
    return actor.user


def _read(row: Entity) -> Session:
    body = orjson.loads(row.body)
    return Session(
        account=row.account,
        id=row.id,
        created_at=body["created_at"],
        last_seen=body["last_seen"],
        address=body["address"],
        password_changed_at=body["password_changed_at"],
        lookup=row.lookup or "",
        rev=row.rev,
    )
