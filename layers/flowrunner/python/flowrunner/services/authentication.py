"""Who asks: a password (HTTP Basic), a token (Bearer) or a session of the console, and nothing else."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flowrunner.errors import Forbidden, InvalidInput, Unauthenticated
from flowrunner.services.identity import Actor
from flowrunner.services.logins import Logins
from flowrunner.services.members import Members
from flowrunner.services.sessions import Sessions, csrf_of
from flowrunner.services.tokens import Tokens

MAX_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """What came with a request."""

    authorization: str | None = field(default=None, repr=False)
    """The header `Authorization`, which counts before a session."""
    session: str | None = field(default=None, repr=False)
    """The session's cookie."""
    csrf: str | None = field(default=None, repr=False)
    """The header `X-CSRF-Token`."""
    origin: str | None = None
    """The header `Origin`."""
    reads: bool = True
    """Whether the request changes nothing, by its method."""
    address: str = ""
    correlation: str = ""
    host: str = ""
    """Where the request was sent, from the header `Host`, with or without a scheme: our own console is there."""


class Authenticator:
    """Turns credentials into an actor, as the store says at this moment; nothing is remembered but right passwords."""

    def __init__(
        self,
        members: Members,
        logins: Logins,
        tokens: Tokens,
        sessions: Sessions,
        origins: Collection[str] = (),
    ) -> None:
        self._members = members
        self._logins = logins
        self._tokens = tokens
        self._sessions = sessions
        self._origins = frozenset(map(_origin, origins))

    def authenticate(self, given: Credentials) -> Actor:
        """Who asks.

        Raises `Unauthenticated`; `TooManyRequests` after too many failed logins from the address; `Forbidden` for a
        change that comes with a session, and not with its CSRF token from the console's own origin.
        """
        if given.authorization is not None:
            return self._by_header(given.authorization, given)
        if given.session is None:
            raise Unauthenticated
        actor = self._sessions.identify(given.session, given.address, given.correlation)
        if not given.reads:
            self._require_same_site(given, given.session)
        return actor

    def recheck(self, actor: Actor) -> Actor:
        """The actor of a long connection again: with what they may do now.

        Raises `Unauthenticated` when the token was revoked, the session has ended, or the user may not log in.
        """
        if actor.token is not None:
            return self._tokens.recheck(actor)
        if actor.session is not None:
            return self._sessions.recheck(actor)
        member = self._members.member(actor.account, actor.user or "")
        if member is None or not member.active:
            raise Unauthenticated
        return member.actor(actor.address, actor.correlation)

    def own_origin(self, origin: str | None, host: str = "") -> bool:
        """Whether a browser's `Origin` is one that the console is served from: a known one, or the request's host.

        Whoever brings a browser to send us another host's name does not get it to send our cookie.
        """
        if origin is None:
            return False
        origin = origin.lower()
        rest = origin.partition("://")[2]
        # A proxy may have ended TLS, so the schemes of the two can differ.
        return origin in self._origins or (rest != "" and rest == host.lower().rpartition("://")[2])

    def _by_header(self, header: str, given: Credentials) -> Actor:
        scheme, _, rest = header.partition(" ")
        rest = rest.strip()
        if len(header) > MAX_HEADER or not rest:
            raise Unauthenticated("the header Authorization is not `Basic ...` or `Bearer ...`")
        match scheme.lower():
            case "bearer":
                return self._tokens.identify(rest, given.address, given.correlation)
            case "basic":
                username, password = _basic(rest)
                try:
                    member = self._logins.remembered(username, password, given.address, given.correlation)
                except InvalidInput:
                    raise Unauthenticated("the user name or the password is wrong") from None
                return member.actor(given.address, given.correlation)
            case _:
                raise Unauthenticated("the header Authorization is not `Basic ...` or `Bearer ...`")

    def _require_same_site(self, given: Credentials, cookie: str) -> None:
        if not self.own_origin(given.origin, given.host):
            raise Forbidden("a session's request must come from the console's own origin")
        if not hmac.compare_digest((given.csrf or "").encode("utf-8", "surrogatepass"), csrf_of(cookie).encode()):
            raise Forbidden("send the session's CSRF token in the header X-CSRF-Token")


def _origin(url: str) -> str:
    """The origin of a URL, as browsers send it."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}"


def _basic(text: str) -> tuple[str, str]:
    """Name and password (RFC 7617, UTF-8)."""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise Unauthenticated("the header Authorization is not valid HTTP Basic") from None
    name, colon, password = decoded.partition(":")
    if not colon:
        raise Unauthenticated("the header Authorization is not valid HTTP Basic")
    return name, password
