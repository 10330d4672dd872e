"""Accounts: their beginning, their name, their end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    TooManyRequests,
    Unauthenticated,
)
from flowrunner.ports.entities import ANY_REVISION, Entity
from flowrunner.services.accounts import RESERVED, Owner
from flowrunner.services.audit import Action
from flowrunner.services.identity import Permission, Role
from flowrunner.services.members import ACCOUNT

from tests.services.people import PASSWORD, Server

LOCAL = AccountId("local")
ADMIN = Owner("admin", PASSWORD)


def test_signing_up_makes_an_account_with_its_owner() -> None:
    """Who can log in and do everything in it, and nothing elsewhere."""
    server = Server()
    member = server.accounts.sign_up("  The Team ", Owner("Olga", PASSWORD), "192.0.2.1", "c-1")
    assert (member.account.name, member.user.name, member.role) == ("The Team", "Olga", Role.OWNER)
    actor = server.basic("olga")
    assert (actor.account, actor.permissions) == (member.account.id, frozenset(Permission))
    assert server.acts(actor) == [Action.ACCOUNT_CREATED]
    server.later(RESERVED)
    assert server.basic("olga").user == actor.user


def test_sign_up_is_closed_unless_opened() -> None:
    """By default nobody gets in by themselves; the server's own functions still make accounts."""
    server = Server(signup="closed")
    with pytest.raises(Forbidden, match="closed"):
        server.accounts.sign_up("team", ADMIN, "192.0.2.1")
    assert server.hasher.hashed == 0
    server.owner()


def test_signing_up_is_limited() -> None:
    """Ten an hour from one address."""
    server = Server()
    for index in range(10):
        server.accounts.sign_up("team", Owner(f"u{index}", PASSWORD), "192.0.2.1")
    with pytest.raises(TooManyRequests):
        server.accounts.sign_up("team", Owner("late", PASSWORD), "192.0.2.1")
    server.accounts.sign_up("team", Owner("late", PASSWORD), "192.0.2.2")


@pytest.mark.parametrize(
    ("name", "owner"),
    [("", ADMIN), ("a\nb", ADMIN), ("team", Owner("a b", PASSWORD)), ("team", Owner("olga", "short"))],
)
def test_a_refused_sign_up_leaves_nothing(name: str, owner: Owner) -> None:
    """Neither a user nor an account."""
    server = Server()
    with pytest.raises(InvalidInput):
        server.accounts.sign_up(name, owner, "192.0.2.1")
    assert server.hasher.hashed == 0
    assert server.members.find(owner.username) is None


def test_a_user_name_is_taken_once() -> None:
    """The second account with it is refused, and nothing of it stays."""
    server = Server()
    server.owner("olga")
    with pytest.raises(Conflict, match="already"):
        server.accounts.sign_up("other", Owner("OLGA", PASSWORD), "192.0.2.1")
    assert PASSWORD not in repr(Owner("OLGA", PASSWORD))


class Dying:
    """Entities of a process that dies at one of its writes."""

    def __init__(self, server: Server, after: int) -> None:
        self._entities = server.entities
        self._left = after

    def __getattr__(self, name: str) -> object:
        return getattr(self._entities, name)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> Entity | None:
        if self._left == 0:
            raise OSError("killed")
        self._left -= 1
        return self._entities.put(entity, now, expected_rev)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_sign_up_that_is_cut_off_frees_its_name(writes: int) -> None:
    """After ten minutes at the latest it can be done again."""
    server = Server()
    server.members._entities = Dying(server, writes)  # type: ignore[assignment]  # it passes on what it does not do
    with pytest.raises(OSError, match="killed"):
        server.accounts.create("team", ADMIN)
    again = Server(server.backend, server.clock)
    again.later(RESERVED / 1000)
    again.accounts.create("team", ADMIN)
    again.basic("admin")


def test_bootstrap_makes_the_account_once() -> None:
    """Starting again changes nothing, not even the password."""
    server = Server()
    assert server.accounts.bootstrap(LOCAL, "local", ADMIN)
    assert not server.accounts.bootstrap(LOCAL, "renamed", Owner("other", "another long phrase"))
    actor = server.basic("admin")
    assert (actor.account, server.accounts.get(actor).name) == (LOCAL, "local")
    assert server.acts(actor) == [Action.ACCOUNT_CREATED]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_bootstrap_that_is_cut_off_is_finished_by_the_next(writes: int) -> None:
    """At whatever write the first process died; and the user stays."""
    server = Server()
    server.members._entities = Dying(server, writes)  # type: ignore[assignment]  # it passes on what it does not do
    with pytest.raises(OSError, match="killed"):
        server.accounts.bootstrap(LOCAL, "local", ADMIN)
    again = Server(server.backend, server.clock)
    again.accounts.bootstrap(LOCAL, "local", ADMIN)
    assert again.basic("admin").permissions == frozenset(Permission)
    again.later(2 * RESERVED / 1000)
    assert again.basic("admin").permissions == frozenset(Permission)


def test_several_processes_bootstrap_at_once() -> None:
    """One account, one user, no error."""
    server = Server()
    processes = [Server(server.backend, server.clock) for _ in range(6)]
    failures: list[BaseException] = []

    def start(process: Server) -> None:
        try:
            process.accounts.bootstrap(LOCAL, "local", ADMIN)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=start, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    server.later(RESERVED / 1000)
    owner = server.basic("admin")
    assert [member.user.name for member in server.users.list(owner)] == ["admin"]


def test_bootstrap_with_a_name_that_is_taken() -> None:
    """The user of another account is not taken over."""
    server = Server()
    server.owner("admin")
    with pytest.raises(Conflict):
        server.accounts.bootstrap(LOCAL, "local", ADMIN)


def test_renaming_an_account() -> None:
    """Owners do, the others see it; the change is recorded."""
    server = Server()
    owner = server.owner()
    viewer = server.user(owner, "vera", Role.VIEWER)
    assert server.accounts.update(owner, "New name").name == "New name"
    assert server.accounts.get(viewer).name == "New name"
    assert server.acts(owner)[-1] == Action.ACCOUNT_CHANGED
    with pytest.raises(Forbidden):
        server.accounts.update(viewer, "x")
    with pytest.raises(InvalidInput):
        server.accounts.update(owner, "a\u202eb")


def test_deleting_shuts_the_account_at_once() -> None:
    """No password, token, session or ticket of it is let in from the moment it returns; another account is."""
    server = Server()
    other = Server(server.backend, server.clock)
    owner = server.owner()
    _, token = server.tokens.create(owner, "ci", [Permission.RUNS_READ])
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    ticket, _ = server.tickets.issue(owner)
    server.owner("omar")
    server.basic("olga")
    other.basic("olga")
    assert server.accounts.active(owner.account)
    server.accounts.delete(owner, "olga's account")
    assert not server.accounts.active(owner.account)
    calls: list[Callable[[], object]] = [
        lambda: server.basic("olga"),
        lambda: other.basic("olga"),
        lambda: other.bearer(token),
        lambda: other.sessions.identify(begun.cookie, ""),
        lambda: other.sessions.login("olga", PASSWORD, "192.0.2.1"),
        lambda: other.tickets.redeem(ticket),
        lambda: other.authenticator.recheck(owner),
    ]
    for call in calls:
        with pytest.raises(Unauthenticated):
            call()
    server.basic("omar")


def test_deleting_needs_the_name_and_an_owner() -> None:
    """A slip of the hand deletes nothing."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    with pytest.raises(InvalidInput, match="confirm"):
        server.accounts.delete(owner, "olga")
    with pytest.raises(Forbidden):
        server.accounts.delete(editor, "olga's account")
    assert server.accounts.active(owner.account)


def test_an_account_that_is_gone_is_missing() -> None:
    """An actor that outlived it gets no answer."""
    server = Server()
    owner = server.owner()
    server.entities.delete(owner.account, ACCOUNT, owner.account)
    with pytest.raises(NotFound):
        server.accounts.get(owner)
    with pytest.raises(NotFound):
        server.accounts.delete(owner, "olga's account")
    assert not server.accounts.active(owner.account)
    assert server.members.users(owner.account) == []
    with pytest.raises(Unauthenticated):
        server.basic("olga")


def test_an_account_that_is_being_removed_is_not_bootstrapped() -> None:
    """The start of a server says so instead of going on without."""
    server = Server()
    server.accounts.bootstrap(LOCAL, "local", ADMIN)
    server.members.change_account(LOCAL, lambda account: replace(account, deleting=True))
    with pytest.raises(Conflict, match="being removed"):
        server.accounts.bootstrap(LOCAL, "local", ADMIN)


def test_users_and_tokens_have_quotas() -> None:
    """One more than allowed is refused with 429."""
    server = Server()
    owner = server.owner()
    for index in range(7):
        server.user(owner, f"u{index}", Role.VIEWER)
    with pytest.raises(QuotaExceeded):
        server.user(owner, "one.more", Role.VIEWER)
    for _ in range(150):
        server.tokens.create(owner, "t", [Permission.RUNS_READ])
    with pytest.raises(QuotaExceeded):
        server.tokens.create(owner, "t", [Permission.RUNS_READ])
