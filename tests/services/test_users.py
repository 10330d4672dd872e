"""Users: roles, log-ins, passwords, and the owner that every account keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, FlowrunnerError, Forbidden, InvalidInput, NotFound, Unauthenticated
from flowrunner.ports.entities import ANY_REVISION, Entity
from flowrunner.services.audit import Action
from flowrunner.services.identity import PERMISSIONS, Actor, Permission, Role
from flowrunner.services.members import Members, User

from tests.services.people import PASSWORD, Server

NEW = "another long phrase"


def test_an_owner_makes_users() -> None:
    """A new user can log in, has the role, is listed, and the making is recorded."""
    server = Server()
    owner = server.owner()
    made = server.users.create(owner, "Vera", PASSWORD, Role.VIEWER)
    assert (made.user.name, made.role, made.disabled) == ("Vera", Role.VIEWER, False)
    assert server.basic("vera").permissions == PERMISSIONS[Role.VIEWER]
    assert [member.user.name for member in server.users.list(owner)] == ["olga", "Vera"]
    assert [member.user.name for member in server.users.list(owner, after=owner.user, limit=1)] == ["Vera"]
    assert server.acts(owner)[-1] == Action.USER_CREATED


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.EDITOR])
def test_others_manage_no_users(role: Role) -> None:
    """Only an owner lists, makes, changes or removes users; everybody sees themselves."""
    server = Server()
    owner = server.owner()
    actor = server.user(owner, "vera", role)
    calls: list[Callable[[], object]] = [
        lambda: server.users.list(actor),
        lambda: server.users.get(actor, owner.user or ""),
        lambda: server.users.create(actor, "new", PASSWORD, Role.VIEWER),
        lambda: server.users.update(actor, actor.user or "", role=Role.OWNER),
        lambda: server.users.delete(actor, owner.user or ""),
        lambda: server.users.change_password(actor, owner.user or "", NEW, PASSWORD),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call()
    assert server.users.get(actor, actor.user or "").role is role


def test_users_of_another_account_are_missing() -> None:
    """Their ids answer as ids that nobody has."""
    server = Server()
    olga, other = server.owner("olga"), server.owner("omar")
    for id in (other.user or "", "nobody"):
        calls: list[Callable[[str], object]] = [
            lambda id: server.users.get(olga, id),
            lambda id: server.users.update(olga, id, role=Role.VIEWER),
            lambda id: server.users.delete(olga, id),
            lambda id: server.users.change_password(olga, id, NEW),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call(id)
    assert server.basic("omar").account == other.account


def test_a_role_holds_at_once() -> None:
    """A changed role counts for the next request, also of tokens and sessions that exist."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    _, token = server.tokens.create(editor, "ci", [Permission.FLOWS_WRITE, Permission.FLOWS_READ])
    assert server.bearer(token).may(Permission.FLOWS_WRITE)
    changed = server.users.update(owner, editor.user or "", role=Role.VIEWER)
    assert changed.role is Role.VIEWER
    assert server.bearer(token).permissions == {Permission.FLOWS_READ}
    assert server.basic("ed").permissions == PERMISSIONS[Role.VIEWER]
    assert server.acts(owner)[-1] == Action.ROLE_CHANGED


def test_a_disabled_user_is_out_at_once() -> None:
    """Password, token and session are refused, and work again when the user is let in again."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    _, token = server.tokens.create(editor, "ci", [Permission.FLOWS_READ])
    begun = server.sessions.login("ed", PASSWORD, "192.0.2.1")
    server.basic("ed")
    server.users.update(owner, editor.user or "", disabled=True)
    calls: list[Callable[[], object]] = [
        lambda: server.basic("ed"),
        lambda: server.bearer(token),
        lambda: server.sessions.identify(begun.cookie, ""),
        lambda: server.sessions.login("ed", PASSWORD, "192.0.2.1"),
    ]
    for call in calls:
        with pytest.raises(Unauthenticated):
            call()
    server.users.update(owner, editor.user or "", disabled=False)
    for call in calls:
        call()
    acts = [act for act in server.acts(owner) if act.startswith("user.")]
    assert acts[-2:] == [Action.USER_DISABLED, Action.USER_ENABLED]


def test_the_last_owner_stays() -> None:
    """They cannot be demoted, disabled or deleted, and nothing has changed after the refusal."""
    server = Server()
    owner = server.owner()
    me = owner.user or ""
    calls: list[Callable[[], object]] = [
        lambda: server.users.update(owner, me, role=Role.EDITOR),
        lambda: server.users.update(owner, me, disabled=True),
        lambda: server.users.delete(owner, me),
    ]
    for call in calls:
        with pytest.raises(Conflict, match="needs an owner"):
            call()
    assert server.member(owner).role is Role.OWNER
    assert server.basic("olga").permissions == frozenset(Permission)


def test_an_owner_who_cannot_log_in_does_not_count() -> None:
    """With the other owner disabled, one is the last."""
    server = Server()
    owner = server.owner()
    second = server.user(owner, "otto", Role.OWNER)
    disabled = server.users.update(owner, second.user or "", disabled=True)
    assert (disabled.role, disabled.disabled) == (Role.OWNER, True)
    with pytest.raises(Conflict):
        server.users.update(owner, owner.user or "", role=Role.VIEWER)
    with pytest.raises(Unauthenticated):
        server.basic("otto")
    server.users.update(owner, second.user or "", disabled=False)
    assert server.users.update(second, owner.user or "", role=Role.VIEWER, disabled=True).disabled
    assert server.basic("otto").permissions == frozenset(Permission)


@pytest.mark.parametrize("attempt", range(5))
def test_two_owners_cannot_demote_each_other(attempt: int) -> None:
    """At the same moment from two processes: one of them wins, and an owner is left."""
    server = Server()
    other = Server(server.backend, server.clock)
    olga = server.owner()
    otto = server.user(olga, "otto", Role.OWNER)
    barrier = threading.Barrier(2)

    def demote(process: Server, actor: Actor, user: str | None) -> None:
        barrier.wait()
        try:
            process.users.update(actor, user or "", role=Role.VIEWER)
        except FlowrunnerError:
            return

    threads = [
        threading.Thread(target=demote, args=(server, olga, otto.user)),
        threading.Thread(target=demote, args=(other, otto, olga.user)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    roles = {server.member(actor).role for actor in (olga, otto)}
    assert roles == {Role.OWNER, Role.VIEWER}


def test_a_cut_off_demotion_leaves_an_owner() -> None:
    """The user's own record is written first, and means nothing while the account lists them as an owner."""
    server = Server()
    olga = server.owner()
    server.members.change_user(
        olga.account, olga.user or "", lambda user: replace(user, role=Role.VIEWER, disabled=True)
    )
    assert server.basic("olga").permissions == frozenset(Permission)


def test_nobody_gives_more_than_they_have() -> None:
    """A token that manages users and no more makes no owner, and takes over nobody who can do more (API5, API1)."""
    server = Server()
    owner = server.owner()
    viewer = server.user(owner, "vera", Role.VIEWER)
    _, text = server.tokens.create(
        owner, "hr", [*PERMISSIONS[Role.VIEWER], Permission.USERS_READ, Permission.USERS_WRITE]
    )
    token = server.bearer(text)
    server.users.create(token, "walt", PASSWORD, Role.VIEWER)
    server.users.change_password(token, viewer.user or "", NEW)
    calls: list[Callable[[], object]] = [
        lambda: server.users.create(token, "evil", PASSWORD, Role.OWNER),
        lambda: server.users.update(token, viewer.user or "", role=Role.EDITOR),
        lambda: server.users.update(token, owner.user or "", disabled=True),
        lambda: server.users.delete(token, owner.user or ""),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call()
    other = server.user(owner, "otto", Role.OWNER)
    with pytest.raises(Forbidden, match="can do more"):
        server.users.change_password(token, other.user or "", NEW)


def test_a_deleted_user_leaves_nothing() -> None:
    """Tokens and sessions are gone, others' stay, and the name is free again."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    _, token = server.tokens.create(editor, "ci", [Permission.FLOWS_READ])
    _, kept = server.tokens.create(owner, "mine", [Permission.FLOWS_READ])
    server.sessions.login("ed", PASSWORD, "192.0.2.1")
    server.users.delete(owner, editor.user or "")
    with pytest.raises(Unauthenticated):
        server.bearer(token)
    server.bearer(kept)
    assert [one.name for one in server.tokens.list(owner)] == ["mine"]
    assert not server.sessions.list(editor)
    with pytest.raises(NotFound):
        server.users.get(owner, editor.user or "")
    again = server.user(owner, "ed", Role.VIEWER)
    assert again.user != editor.user


def test_an_owner_can_leave_when_another_stays() -> None:
    """Deleting an owner takes them off the account's list."""
    server = Server()
    owner = server.owner()
    second = server.user(owner, "otto", Role.OWNER)
    server.users.delete(second, owner.user or "")
    home = server.members.account(owner.account)
    assert home is not None
    assert dict(home.owners) == {second.user: True}


class Interrupting(Members):
    """Runs something between the check and the write of a change of owners, as another process may."""

    between: Callable[[], object] | None = None

    def set_owner(self, account: AccountId, user: str, active: bool | None) -> object:  # type: ignore[override]  # the tests do not look at it
        if self.between is not None:
            between, self.between = self.between, None
            between()
        return super().set_owner(account, user, active)


def test_whoever_is_promoted_while_being_deleted_is_no_owner() -> None:
    """The account does not list a user who is gone."""
    server = Server()
    owner = server.owner()
    viewer = server.user(owner, "vera", Role.VIEWER)
    members = Interrupting(server.entities, server.clock)
    members.between = lambda: server.users.delete(owner, viewer.user or "")
    server.users._members = members
    with pytest.raises(NotFound):
        server.users.update(owner, viewer.user or "", role=Role.OWNER)
    home = server.members.account(owner.account)
    assert home is not None
    assert list(home.owners) == [owner.user]


def test_changing_ones_own_password() -> None:
    """It needs the old one, ends the other sessions and what is remembered of the old password, and keeps this one."""
    server = Server()
    server.owner()
    here = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    there = server.sessions.login("olga", PASSWORD, "192.0.2.9")
    server.basic("olga")
    with pytest.raises(InvalidInput, match="old one"):
        server.users.change_password(here.actor, here.actor.user or "", NEW)
    with pytest.raises(Forbidden, match="wrong"):
        server.users.change_password(here.actor, here.actor.user or "", NEW, "not the old one")
    with pytest.raises(InvalidInput, match="at least 12"):
        server.users.change_password(here.actor, here.actor.user or "", "short", PASSWORD)
    server.users.change_password(here.actor, here.actor.user or "", NEW, PASSWORD)
    server.sessions.identify(here.cookie, "")
    with pytest.raises(Unauthenticated):
        server.sessions.identify(there.cookie, "")
    with pytest.raises(Unauthenticated):
        server.basic("olga")
    assert server.basic("olga", NEW).user == here.actor.user
    assert [session.id for session in server.sessions.list(here.actor)] == [here.actor.session]
    assert Action.PASSWORD_CHANGED in server.acts(here.actor)


def test_an_owner_sets_somebodys_password() -> None:
    """Without the old one; all sessions of the user end."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    begun = server.sessions.login("ed", PASSWORD, "192.0.2.1")
    server.users.change_password(owner, editor.user or "", NEW)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun.cookie, "")
    server.basic("ed", NEW)


def test_whoever_has_the_store_resets_a_password() -> None:
    """For when the last owner has forgotten theirs; the record says that the operator did."""
    server = Server()
    owner = server.owner()
    begun = server.sessions.login("olga", PASSWORD, "192.0.2.1")
    server.users.reset_password("OLGA", NEW)
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun.cookie, "")
    server.basic("olga", NEW)
    record = server.audit.list(owner).records[0]
    assert (record.action, record.who) == (Action.PASSWORD_CHANGED, "operator")
    with pytest.raises(NotFound):
        server.users.reset_password("nobody", NEW)


def test_a_log_in_that_overlaps_a_change_of_password_does_not_outlive_it() -> None:
    """A session begun with the old password, stored after the others were ended, is refused all the same."""
    server = Server()
    owner = server.owner()
    editor = server.user(owner, "ed", Role.EDITOR)
    begun = server.sessions.login("ed", PASSWORD, "192.0.2.1")
    row = server.entities.get(owner.account, "session", begun.actor.session or "", server.clock.now())
    assert row is not None
    server.users.change_password(owner, editor.user or "", NEW)
    server.entities.put(row, server.clock.now())
    with pytest.raises(Unauthenticated):
        server.sessions.identify(begun.cookie, "")


def test_changes_of_one_record_at_once_all_count() -> None:
    """Writes are repeated on the record that somebody else wrote meanwhile."""
    server = Server()
    owner = server.owner()
    calls = 0

    def rename(user: User) -> User:
        nonlocal calls
        calls += 1
        if calls == 1:
            server.members.change_user(owner.account, owner.user or "", lambda now: replace(now, disabled=True))
        return replace(user, role=Role.EDITOR)

    changed = server.members.change_user(owner.account, owner.user or "", rename)
    assert (changed.role, changed.disabled, calls) == (Role.EDITOR, True, 2)


def test_a_hash_does_not_show_in_a_repr() -> None:
    """What ends in a log by accident holds no hash."""
    server = Server()
    assert "quick" not in repr(server.member(server.owner()))


class Busy:
    """A store in which somebody else always writes first."""

    def __init__(self, server: Server) -> None:
        self._entities = server.entities

    def __getattr__(self, name: str) -> object:
        return getattr(self._entities, name)

    def put(self, entity: Entity, now: Millis, expected_rev: int = ANY_REVISION) -> None:
        return None


def test_a_record_that_changes_all_the_time_is_an_error() -> None:
    """Instead of trying for ever, the store is blamed."""
    server = Server()
    owner = server.owner()
    members = Members(Busy(server), server.clock)  # type: ignore[arg-type]  # it passes on all that it does not do
    with pytest.raises(FlowrunnerError, match="all the time"):
        members.set_owner(owner.account, "somebody", active=True)
    with pytest.raises(FlowrunnerError, match="all the time"):
        members.change_user(owner.account, owner.user or "", lambda user: replace(user, disabled=True))
    with pytest.raises(NotFound):
        members.change_user(owner.account, "nobody", lambda user: user)
