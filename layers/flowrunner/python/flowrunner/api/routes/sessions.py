"""Sessions of the console, and who the caller is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response
from pydantic import ConfigDict, Field

from flowrunner.api import cookies
from flowrunner.api.body_limits import takes_at_most
from flowrunner.api.errors import correlation_of
from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routing import Caller, ThePlatform, address_of, host_of, needs, public, router, session_cookie
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.errors import Forbidden
from flowrunner.services.identity import Actor, Permission
from flowrunner.services.passwords import MAX_BYTES
from flowrunner.services.sessions import Session, csrf_of

api = router("sessions")

MAX_LOGIN = 16 * 1024
"""Bytes; whoever sends them is not known yet."""

TheSession = Annotated[str, Path(max_length=128, description="The session's id, which is not its cookie.")]


class Login(Wish):
    """A name and a password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "olga@example.org", "password": "correct horse battery staple"}]}
    )

    username: str = Field(min_length=1, max_length=256)
    password: str = Field(min_length=1, max_length=MAX_BYTES)


class Identity(Shown):
    """Who the caller is, and what they may do."""

    account_id: str
    name: str = Field(description="The user's name, or `token:` and the token's.")
    user_id: str | None
    token_id: str | None = Field(description="If a token was used.")
    session_id: str | None = Field(description="If a session was used.")
    permissions: list[Permission]
    csrf_token: str | None = Field(
        description="Of a session: requests that change something need it in the header `X-CSRF-Token`."
    )


class SessionAnswer(Shown):
    """One of the caller's sessions."""

    id: str
    created_at: Moment | None
    last_seen: Moment | None = Field(description="Written once a minute at most.")
    address: str = Field(description="Where it was begun.")
    current: bool


@api.post(
    "/v1/session",
    operation_id="log_in",
    summary="Begin a session",
    status_code=201,
    responses={
        401: {"description": "The user name or the password is wrong."},
        403: {"description": "The request comes from another site's page."},
    },
)
@public
@takes_at_most(lambda settings: MAX_LOGIN)
def log_in(request: Request, platform: ThePlatform, wish: Login, response: Response) -> Identity:
    """Sets the session's cookie. A session that the browser had ends; the new one has a new id."""
    origin = request.headers.get("origin")
    if origin is not None and not platform.authenticator.own_origin(origin, host_of(request)):
        raise Forbidden("log in from the console's own origin")
    begun = platform.sessions.login(
        wish.username,
        wish.password,
        address_of(request),
        correlation_of(request),
        instead_of=request.cookies.get(session_cookie(platform.settings)),
    )
    cookies.give(response, platform.settings, begun)
    return _identity(begun.actor, begun.csrf)


@api.get("/v1/session", operation_id="get_session", summary="Who am I?")
@needs(None)
def get_session(request: Request, caller: Caller, platform: ThePlatform) -> Identity:
    """For every kind of credentials."""
    cookie = request.cookies.get(session_cookie(platform.settings))
    return _identity(caller, csrf_of(cookie) if caller.session and cookie else None)


@api.delete("/v1/session", operation_id="log_out", summary="End the session", status_code=204)
@needs(None)
def log_out(caller: Caller, platform: ThePlatform, response: Response) -> None:
    """Removes the cookie, too."""
    platform.sessions.logout(caller)
    cookies.take(response, platform.settings)


@api.get("/v1/sessions", operation_id="list_sessions", summary="The caller's sessions")
@needs(Permission.TOKENS_READ)
def list_sessions(
    caller: Caller, platform: ThePlatform, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> Page[SessionAnswer]:
    """By age, the oldest first."""
    listed = f"sessions:{caller.user}"
    after = cursors.open(caller.account, listed, cursor) if cursor else None
    found = platform.sessions.list(caller, after, limit + 1)
    more = cursors.seal(caller.account, listed, found[limit - 1].id) if len(found) > limit else None
    return Page(items=[_shown(session, caller) for session in found[:limit]], next_cursor=more)


@api.delete(
    "/v1/sessions/{session_id}",
    operation_id="end_session",
    summary="End one of the caller's sessions",
    status_code=204,
)
@needs(Permission.TOKENS_WRITE)
def end_session(caller: Caller, platform: ThePlatform, session_id: TheSession) -> None:
    """Such as the one on a computer that was left behind."""
    platform.sessions.end(caller, session_id)


def _identity(actor: Actor, csrf: str | None) -> Identity:
    return Identity(
        account_id=actor.account,
        name=actor.name,
        user_id=actor.user,
        token_id=actor.token,
        session_id=actor.session,
        permissions=sorted(actor.permissions),
        csrf_token=csrf,
    )


def _shown(session: Session, caller: Actor) -> SessionAnswer:
    return SessionAnswer(
        id=session.id,
        created_at=moment(session.created_at),
        last_seen=moment(session.last_seen),
        address=session.address,
        current=session.id == caller.session,
    )
