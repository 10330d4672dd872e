"""Who asks, and what they may do: roles of people, scopes of tokens, and the one function that decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from flowrunner.core.ids import AccountId
from flowrunner.errors import Forbidden


class Permission(StrEnum):
    """What one may do. These are also the scopes of tokens."""

    FLOWS_READ = "flows:read"
    FLOWS_WRITE = "flows:write"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    SECRETS_READ = "secrets:read"  # names, never values
    SECRETS_WRITE = "secrets:write"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_WRITE = "schedules:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    USAGE_READ = "usage:read"
    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    AUDIT_READ = "audit:read"
    PLUGINS_READ = "plugins:read"
    PLUGINS_WRITE = "plugins:write"
    MCP_USE = "mcp:use"


class Role(StrEnum):
    """What a person is in their account; each role has the permissions of those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    EDITOR = "editor"
    OWNER = "owner"


_P = Permission
_VIEWER = frozenset({
    _P.FLOWS_READ, _P.RUNS_READ, _P.SCHEDULES_READ, _P.WEBHOOKS_READ, _P.USAGE_READ, _P.ACCOUNT_READ, _P.PLUGINS_READ,
    _P.TOKENS_READ, _P.TOKENS_WRITE,
})  # fmt: skip  # everybody manages tokens of their own, which can do no more than they
_OPERATOR = _VIEWER | {_P.RUNS_WRITE, _P.SECRETS_READ, _P.MCP_USE}
_EDITOR = _OPERATOR | {_P.FLOWS_WRITE, _P.SECRETS_WRITE, _P.SCHEDULES_WRITE, _P.WEBHOOKS_WRITE}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.EDITOR: _EDITOR,
    Role.OWNER: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `name` is shown to people: a user's name, a token's, `schedule:nightly`, `hook:orders`."""

    account: AccountId
    name: str
    permissions: frozenset[Permission]
    user: str | None = None
    """The user's id; None for what acts by itself."""
    token: str | None = None
    """The id of the API token, if one was used."""
    session: str | None = None
    """The id of the console session, if one was used."""
    address: str = ""
    """The client's IP address."""
    correlation: str = ""
    """The id of the request, on every log line that it causes."""

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


def require(actor: Actor, permission: Permission) -> None:
    """Raises `Forbidden` unless `actor` has the permission."""
    if not actor.may(permission):
        raise Forbidden(f"this needs the permission {permission}", permission=str(permission))


def trigger_actor(account: AccountId, name: str, correlation: str = "") -> Actor:
    """What starts runs by itself: a schedule or an inbound webhook."""
    return Actor(account, name, frozenset({Permission.RUNS_WRITE}), correlation=correlation)
