"""API tokens: made once, shown once, kept as a hash.

    fr_live_ <43 base62 digits: 256 random bits> <6 base62 digits: CRC-32 of all before>

The prefix lets scanners find leaked tokens; the checksum refuses typing errors and guesses without asking the store.
A fast hash is right for 256 random bits, and finding a token by its hash leaves nothing to time.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import PERMISSIONS, Actor, Permission, require
from flowrunner.services.members import TOKEN, Members
from flowrunner.services.names import title
from flowrunner.services.quotas import Quotas

PREFIX = "fr_live_"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY, CHECK = 43, 6
_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{BODY + CHECK}}}", re.ASCII)

MIN_LIFE: Millis = 60_000
MAX_LIFE: Millis = 10 * 365 * 86_400_000
USED_EVERY: Millis = 60_000
"""`last_used` is written at most this often."""
MOST_GENERATIONS = 5
"""Of tokens made with tokens made with tokens ..."""
SHOWN_EXPIRED: Millis = 30 * 86_400_000
"""An expired token is listed for this long, then removed."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token, which is not the token itself."""

    account: AccountId
    id: str
    name: str
    user: str
    """Whose it is: it can do no more than they can, and ends with them."""
    scopes: frozenset[Permission]
    created_at: Millis
    expires_at: Millis | None
    last_used: Millis | None = None
    made_with: tuple[str, ...] = ()
    """The token that it was made with, the one that that was made with, and so on: it ends with each of them."""
    lookup: str = ""
    rev: int = 0

    def entity(self) -> Entity:
        body = {
            "name": self.name,
            "user": self.user,
            "scopes": sorted(self.scopes),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "last_used": self.last_used,
            "made_with": self.made_with,
        }
        gone = None if self.expires_at is None else self.expires_at + SHOWN_EXPIRED
        return Entity(self.account, TOKEN, self.id, orjson.dumps(body), lookup=self.lookup, expires_at=gone)


class Tokens:
    """Makes, lists, revokes and recognises tokens."""

    def __init__(
        self, entities: Entities, members: Members, audit: Audit, quotas: Quotas, clock: Clock, draws: Draws
    ) -> None:
        self._entities = entities
        self._members = members
        self._audit = audit
        self._quotas = quotas
        self._clock = clock
        self._draws = draws

    # -- for people ---------------------------------------------------------------------------------------------

    def create(
        self, actor: Actor, name: str, scopes: Collection[Permission], expires_in: Millis | None = None
    ) -> tuple[Token, str]:
        """A new token of the actor's, and its text, which nobody can show again.

        A token made with a token ends with that one, whether that expires or is revoked. Raises `Forbidden` for a
        scope that the actor lacks, `InvalidInput`, `QuotaExceeded`.
        """
        require(actor, Permission.TOKENS_WRITE)
        if actor.user is None:
            raise Forbidden("only a user can have tokens")
        lacking = sorted(set(scopes) - actor.permissions)
        if lacking:
            raise Forbidden(f"you cannot give what you do not have: {', '.join(lacking)}", scopes=lacking)
        if not scopes:
            raise InvalidInput("a token without scopes can do nothing; name at least one", field="scopes")
        if expires_in is not None and not MIN_LIFE <= expires_in <= MAX_LIFE:
            raise InvalidInput("a token lives for at least a minute and at most ten years", field="expires_in_ms")
        self._quotas.check_count(actor.account, "tokens", lambda: self._members.count(actor.account, TOKEN))
        now = self._clock.now()
        parent = self._parent(actor)
        text = new_token(self._draws)
        token = Token(
            account=actor.account,
            id=self._draws.new_id(),
            name=title(name),
            user=actor.user,
            scopes=frozenset(scopes),
            created_at=now,
            expires_at=_earlier(parent.expires_at if parent else None, now + expires_in if expires_in else None),
            made_with=(parent.id, *parent.made_with) if parent else (),
            lookup=digest(text),
        )
        self._entities.put(token.entity(), now, expected_rev=0)
        self._audit.record(actor, Action.TOKEN_CREATED, token.id, name=token.name, scopes=sorted(token.scopes))
        return token, text

    def list(self, actor: Actor, after: str | None = None, limit: int = 50) -> Sequence[Token]:
        """Tokens by age, behind the id `after`: all of the account for who manages users, else one's own."""
        require(actor, Permission.TOKENS_READ)
        found: list[Token] = []
        while len(found) < limit:
            page = self._entities.list(actor.account, TOKEN, self._clock.now(), after=after, limit=100)
            found += [token for token in map(_read, page) if _shows(actor, token, Permission.USERS_READ)]
            if len(page) < 100:
                break
            after = page[-1].id
        return found[:limit]

    def get(self, actor: Actor, id: str) -> Token:
        """Raises `NotFound`, also for somebody else's token."""
        require(actor, Permission.TOKENS_READ)
        return self._visible(actor, id, Permission.USERS_READ)

    def revoke(self, actor: Actor, id: str) -> None:
        """From now on the token is refused, and all that were made with it. Raises `NotFound`, also for somebody
        else's token.
        """
        require(actor, Permission.TOKENS_WRITE)
        token = self._visible(actor, id, Permission.USERS_WRITE)
        self._audit.record(actor, Action.TOKEN_REVOKED, token.id, name=token.name)
        self._entities.delete(actor.account, TOKEN, token.id)
        # Without this they would be in the list for ever; they are refused from now on as it is.
        for row in self._members.tokens(actor.account):
            if token.id in _read(row).made_with:
                self._entities.delete(actor.account, TOKEN, row.id)

    # -- for authentication -------------------------------------------------------------------------------------

    def identify(self, text: str, address: str, correlation: str = "") -> Actor:
        """Whose token this is, now. Raises `Unauthenticated`. For internal callers."""
        if not well_formed(text):
            raise Unauthenticated("the token is not valid")
        row = self._entities.find(TOKEN, digest(text), self._clock.now())
        if row is None:
            raise Unauthenticated("the token is not valid")
        token = _read(row)
        actor = self._actor(token, address, correlation)
        self._touch(token)
        return actor

    def recheck(self, actor: Actor) -> Actor:
        """The actor of a token again, as the store says now. Raises `Unauthenticated`. For internal callers."""
        row = self._entities.get(actor.account, TOKEN, actor.token or "", self._clock.now())
        if row is None:
            raise Unauthenticated("the token was revoked")
        return self._actor(_read(row), actor.address, actor.correlation)

    def _actor(self, token: Token, address: str, correlation: str) -> Actor:
        if token.expires_at is not None and token.expires_at <= self._clock.now():
            raise Unauthenticated("the token has expired")
        for id in token.made_with:
            if self._entities.get(token.account, TOKEN, id, self._clock.now()) is None:
                raise Unauthenticated("the token was revoked with the one that it was made with")
        member = self._members.member(token.account, token.user)
        if member is None or not member.active:
            raise Unauthenticated("the token is not valid")
        return Actor(
            token.account,
            f"token:{token.name}",
            token.scopes & PERMISSIONS[member.role],
            user=token.user,
            token=token.id,
            address=address,
            correlation=correlation,
        )

    def _touch(self, token: Token) -> None:
        now = self._clock.now()
        if token.last_used is None or now - token.last_used >= USED_EVERY:
            # On that revision only: who revokes it meanwhile wins, and two requests at once need not both write.
            self._entities.put(replace(token, last_used=now).entity(), now, expected_rev=token.rev)

    def _visible(self, actor: Actor, id: str, all_with: Permission) -> Token:
        row = self._entities.get(actor.account, TOKEN, id, self._clock.now())
        if row is None or not _shows(actor, _read(row), all_with):
            raise NotFound("there is no such token")
        return _read(row)

    def _parent(self, actor: Actor) -> Token | None:
        """The token that the actor uses. Raises `Unauthenticated` when it was revoked just now."""
        if actor.token is None:
            return None
        row = self._entities.get(actor.account, TOKEN, actor.token, self._clock.now())
        if row is None:
            raise Unauthenticated("the token was revoked")
        parent = _read(row)
        if len(parent.made_with) >= MOST_GENERATIONS - 1:
            raise Forbidden(f"tokens make tokens {MOST_GENERATIONS} generations deep; log in to make this one")
        return parent


def new_token(draws: Draws) -> str:
    """The text of a new token."""
    bits = int.from_bytes(hashlib.sha256(draws.token().encode()).digest())
    body = PREFIX + _base62(bits, BODY)
    return body + _base62(zlib.crc32(body.encode()), CHECK)


def well_formed(text: str) -> bool:
    """Whether the text has the shape of a token and its checksum is right."""
    return _SHAPE.fullmatch(text) is not None and text[-CHECK:] == _base62(zlib.crc32(text[:-CHECK].encode()), CHECK)


def digest(text: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(text.encode()).hexdigest()


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))


def _earlier(*moments: Millis | None) -> Millis | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _shows(actor: Actor, token: Token, all_with: Permission) -> bool:
    return actor.may(all_with) or (actor.user is not None and actor.user == token.user)


def _read(row: Entity) -> Token:
    body = orjson.loads(row.body)
    return Token(
        account=row.account,
        id=row.id,
        name=body["name"],
        user=body["user"],
        scopes=frozenset(Permission(scope) for scope in body["scopes"]),
        created_at=body["created_at"],
        expires_at=body["expires_at"],
        last_used=body["last_used"],
        made_with=tuple(body.get("made_with", ())),
        lookup=row.lookup or "",
        rev=row.rev,
    )
