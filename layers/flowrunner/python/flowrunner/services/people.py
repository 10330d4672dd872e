"""Everything about who somebody is, put together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.entities import Entities
from flowrunner.services.accounts import Accounts
from flowrunner.services.audit import Audit
from flowrunner.services.authentication import Authenticator
from flowrunner.services.logins import Logins
from flowrunner.services.members import Members
from flowrunner.services.passwords import Passwords
from flowrunner.services.quotas import Quotas
from flowrunner.services.sessions import Sessions
from flowrunner.services.tickets import Tickets
from flowrunner.services.tokens import Tokens
from flowrunner.services.users import Users
from flowrunner.settings import AccountSettings


@dataclass(frozen=True, slots=True)
class People:
    """The services about accounts, users and how they are recognised. They share counts and caches."""

    members: Members
    logins: Logins
    accounts: Accounts
    users: Users
    tokens: Tokens
    sessions: Sessions
    authenticator: Authenticator
    tickets: Tickets


def make_people(
    entities: Entities,
    audit: Audit,
    clock: Clock,
    draws: Draws,
    quotas: Quotas,
    settings: AccountSettings,
    *,
    origins: Collection[str] = (),
    passwords: Passwords | None = None,
) -> People:
    """Put them together. `origins` are those that the console is served from, beside the server's own host."""
    passwords = passwords or Passwords()
    members = Members(entities, clock)
    logins = Logins(members, passwords, audit, clock, draws)
    tokens = Tokens(entities, members, audit, quotas, clock, draws)
    sessions = Sessions(
        entities,
        members,
        logins,
        audit,
        clock,
        draws,
        idle=settings.session_idle,
        age=settings.session_age,
    )
    authenticator = Authenticator(members, logins, tokens, sessions, origins)
    return People(
        members=members,
        logins=logins,
        accounts=Accounts(entities, members, passwords, audit, clock, draws, open_to_all=settings.signup == "open"),
        users=Users(members, passwords, logins, sessions, audit, quotas, clock, draws),
        tokens=tokens,
        sessions=sessions,
        authenticator=authenticator,
        tickets=Tickets(entities, authenticator, clock, draws),
    )
