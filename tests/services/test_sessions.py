"""Sessions of the console, and tickets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flowrunner.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from flowrunner.services.audit import Action
from flowrunner.services.identity import PERMISSIONS, Permission, Role, trigger_actor
from flowrunner.services.sessions import PER_USER, csrf_of

from tests.attacks import attacks
from tests.services.people import PASSWORD, Server

HOUR = 3600


def test_a_session_is_its_user() -> None:
    """With all that the role allows; the store has only the hash of the cookie."""
    server = Server()
    owner = server.owner()
    begun = server.sessions.login("Olga", PASSWORD, "192.0.2.1", "c-1")
    actor = server.sessions.identify(begun.cookie, "192.0.2.2", "c-2")
    assert (actor.account, actor.user, actor.name) == (owner.account, owner.user, "olga")
    assert (actor.session, actor.address, actor.correlation) == (begun.actor.session, "192.0.2.2", "c-2")
    assert actor.permissions == frozenset(Permission)
    rows = server.entities.list(owner.account, "session", server.clock.now())
    assert len(rows) == 1
    assert all(begun.cookie not in f"{row.id} {row.lookup} {row.body.decode()}" for row in rows)
    assert begun.cookie not in repr(begun)
    assert begun.csrf not in repr(begun)
    assert server.acts(owner)[-1] == Action.LOGIN


def test_a_log_in_has_a_new_id() -> None:
    """What the browser had before is not taken over, and ends (corpus auth-31)."""
    server = Server()
    server.owner()
    first = server.sessions.login("olga", PASSWORD, "192.0.2.1", instead_of="chosen by somebody")
    second = server.sessions.login("olga", PASSWORD, "192.0.2.1", instead_of=first.cookie)
    assert len({"chosen by somebody", first.cookie, second.cookie}) == 3
    assert first.csrf != second.csrf
    with pytest.raises(Unauthenticated):
        server.sessions.identify("chosen by somebody", "")
    with pytest.raises(Unauthenticated):
        server.sessions.identify(first.cookie, "")
    server.sessions.identify(second.cookie, "")


def test_an_idle_session_ends() -> None:
    """After 12 hours without a request; with one in between it goes on."""
    server = Server()
    server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    for _ in range(3):
        server.later(11 * HOUR)
        server.sessions.identify(begun.cookie, "")
    server.later(12 * HOUR)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun.cookie, "")
    with pytest.raises(Unauthenticated):
        server.sessions.recheck(begun.actor)


def test_a_busy_session_ends_at_its_age() -> None:
    """After seven days, however busy it is."""
    server = Server()
    server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    assert begun.expires_at == server.clock.now() + 7 * 24 * HOUR * 1000
    for _ in range(27):
        server.later(6 * HOUR)
        server.sessions.identify(begun.cookie, "")
    server.later(6 * HOUR)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun.cookie, "")


def test_the_times_are_settings() -> None:
    """A short idle time is kept."""
    server = Server(session_idle="10m", session_age="15m")
    server.owner()
    idle, busy = (server.sessions.login("olga", PASSWORD, "192.0.2.1") for _ in range(2))
    server.later(599)
    server.sessions.identify(busy.cookie, "")
    server.later(1)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(idle.cookie, "")
    server.later(299)
    server.sessions.identify(busy.cookie, "")
    server.later(1)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(busy.cookie, "")


def test_the_last_sight_is_written_once_a_minute() -> None:
    """Reading does not write to the store each time, and never brings back a session that was ended."""
    server = Server()
    owner = server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    for _ in range(5):
        server.later(29)
        server.sessions.identify(begun.cookie, "")
    row = server.entities.get(owner.account, "session", begun.actor.session or "", server.clock.now())
    assert row is not None
    assert row.rev == 2
    server.sessions.logout(begun.actor)
    assert server.entities.put(row, server.clock.now(), expected_rev=row.rev) is None


def test_a_log_out_ends_the_session() -> None:
    """At once, for requests and for what is connected; a token or password has nothing to end."""
    server = Server()
    owner = server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    server.sessions.logout(begun.actor)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun.cookie, "")
    with pytest.raises(Unauthenticated):
        server.authenticator.recheck(begun.actor)
    with pytest.raises(Forbidden, match="no session"):
        server.sessions.logout(owner)
    assert server.acts(owner)[-1] == Action.LOGOUT


def test_one_sees_and_ends_ones_own_sessions() -> None:
    """Others' answer like missing ones, also to an owner."""
    server = Server()
    owner = server.owner()
    server.user(owner, "vera", Role.VIEWER)
    mine = [server.sessions.login("olga", PASSWORD, f"192.0.2.{index}") for index in range(3)]
    hers = server.sessions.login("vera", PASSWORD, "192.0.2.9")
    listed = server.sessions.list(owner)
    assert [session.address for session in listed] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
    assert [session.id for session in server.sessions.list(owner, after=listed[0].id, limit=1)] == [listed[1].id]
    server.sessions.end(owner, mine[1].actor.session or "")
    for id in (hers.actor.session or "", mine[1].actor.session or "", "missing", ""):
        with pytest.raises(NotFound):
            server.sessions.end(owner, id)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(mine[1].cookie, "")
    server.sessions.identify(hers.cookie, "")
    nobody = trigger_actor(owner.account, "schedule:x")
    with pytest.raises(Forbidden):
        server.sessions.list(nobody)


def test_the_oldest_session_makes_room() -> None:
    """A user who logs in again and again does not fill the store."""
    server = Server()
    owner = server.owner()
    begun = [server.sessions.login("olga", PASSWORD, "192.0.2.1") for _ in range(PER_USER + 1)]
    assert len(server.sessions.list(owner, limit=1000)) == PER_USER
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun[0].cookie, "")
    server.sessions.identify(begun[1].cookie, "")


@pytest.mark.parametrize("cookie", ["", "x" * 10_000, "a\0b", "\udcff", "'; drop table"])
def test_a_strange_cookie_is_nobodys(cookie: str) -> None:
    """Whatever a browser sends, it is refused as unknown."""
    with pytest.raises(Unauthenticated):
        Server().sessions.identify(cookie, "")


def test_a_csrf_token_hangs_on_its_cookie() -> None:
    """Computed from it, and of no other."""
    assert csrf_of("one") == csrf_of("one")
    assert csrf_of("one") != csrf_of("two")
    assert len(csrf_of("\udcff")) == 43


# -- tickets --------------------------------------------------------------------------------------------------------


def test_a_ticket_is_good_once() -> None:
    """It gives what its user may do; the second time it is refused (auth-25)."""
    server = Server()
    owner = server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    _, token = server.tokens.create(owner, "ci", [Permission.RUNS_READ])
    for actor in (owner, begun.actor, server.bearer(token)):
        ticket, expires_at = server.tickets.issue(actor)
        assert expires_at == server.clock.now() + 30_000
        redeemed = server.tickets.redeem(ticket, "192.0.2.5", "c-5")
        assert redeemed == replace(actor, address="192.0.2.5", correlation="c-5")
        with pytest.raises(Unauthenticated, match="new one"):
            server.tickets.redeem(ticket)


def test_a_ticket_expires() -> None:
    """After 30 seconds."""
    server = Server()
    ticket, _ = server.tickets.issue(server.owner())
    server.later(30)
    with pytest.raises(Unauthenticated):
        server.tickets.redeem(ticket)


def test_a_ticket_is_worth_what_its_owner_is() -> None:
    """Revoked, ended, disabled or demoted in between: the ticket says what holds when it is redeemed."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    token, text = server.tokens.create(editor, "ci", [Permission.RUNS_READ])
    begun = server.sessions.login("ed", PASSWORD, "192.0.2.1")
    by_token, _ = server.tickets.issue(server.bearer(text))
    by_session, _ = server.tickets.issue(begun.actor)
    by_name, by_name_2 = (server.tickets.issue(editor)[0] for _ in range(2))
    server.tokens.revoke(editor, token.id)
    server.sessions.logout(begun.actor)
    server.users.update(owner, editor.user or "", role=Role.VIEWER)
    assert server.tickets.redeem(by_name).permissions == PERMISSIONS[Role.VIEWER]
    server.users.update(owner, editor.user or "", disabled=True)
    calls: list[Callable[[], object]] = [
        lambda: server.tickets.redeem(by_token),
        lambda: server.tickets.redeem(by_session),
        lambda: server.tickets.redeem(by_name_2),
    ]
    for call in calls:
        with pytest.raises(Unauthenticated):
            call()


def test_only_users_have_tickets() -> None:
    """What acts by itself needs no WebSocket; and nonsense is no ticket."""
    server = Server()
    with pytest.raises(Forbidden):
        server.tickets.issue(trigger_actor(server.owner().account, "schedule:x"))
    for ticket in ("", "x", "\ud800", "a\0"):
        with pytest.raises(Unauthenticated):
            server.tickets.redeem(ticket)


@pytest.mark.parametrize("entry", [e for e in attacks("corpus.json", "auth") if e["id"] == "auth-25"])
def test_a_huge_password_is_refused_before_hashing(entry: dict[str, Any]) -> None:
    """As a bad request, and counted for nobody."""
    [(part, count)] = entry["input"]["login"]["password"]["parts"]
    server = Server()
    server.owner()
    for name in ("olga", entry["input"]["login"]["email"]):
        with pytest.raises(InvalidInput):
            server.sessions.login(name, part * count, "192.0.2.1")
    assert server.hasher.verified == 0
