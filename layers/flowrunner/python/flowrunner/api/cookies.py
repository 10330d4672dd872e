"""The cookie of a session: out of reach for scripts, other sites' requests and, over HTTPS, for other hosts."""

from __future__ import annotations

from fastapi import Response

from flowrunner.api.routing import session_cookie
from flowrunner.services.sessions import Begun
from flowrunner.settings import Settings


def give(response: Response, settings: Settings, begun: Begun) -> None:
    """Set the cookie of a new session."""
    name = session_cookie(settings)
    response.set_cookie(
        name,
        begun.cookie,
        max_age=settings.accounts.session_age // 1000,
        path="/",
        secure=name.startswith("__Host-"),
        httponly=True,
        samesite="lax",
    )


def take(response: Response, settings: Settings) -> None:
    """Remove the cookie."""
    name = session_cookie(settings)
    response.delete_cookie(name, path="/", secure=name.startswith("__Host-"), httponly=True, samesite="lax")
