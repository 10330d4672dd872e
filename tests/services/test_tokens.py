"""API tokens."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flowrunner.adapters.local.clock import SystemDraws
from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from flowrunner.ports.entities import Entity
from flowrunner.services.audit import Action
from flowrunner.services.identity import PERMISSIONS, Actor, Permission, Role, trigger_actor
from flowrunner.services.tokens import SHOWN_EXPIRED, digest, new_token, well_formed

from tests.services.people import PASSWORD, Server

READ = [Permission.RUNS_READ]
DAY: Millis = 86_400_000


def test_a_token_has_the_shape_that_scanners_know() -> None:
    """Prefix, 43 base62 digits, and a checksum that no typing error passes."""
    texts = {new_token(SystemDraws()) for _ in range(50)}
    assert len(texts) == 50
    for text in texts:
        assert re.fullmatch(r"fr_live_[0-9A-Za-z]{49}", text)
        assert well_formed(text)
        assert not well_formed(text.replace(text[20], "-"))
        assert not well_formed(text[:-1] + ("0" if text[-1] != "0" else "1"))
        assert not well_formed(text[:20] + ("0" if text[20] != "0" else "1") + text[21:])
        assert not well_formed(text + "0")
        assert not well_formed(text.upper())


def test_a_token_acts_for_its_user() -> None:
    """With its scopes, under its own name; the store has no more than the hash."""
    server = Server()
    owner = server.owner()
    token, text = server.tokens.create(owner, "ci", READ)
    actor = server.bearer(text)
    assert (actor.account, actor.user, actor.token) == (owner.account, owner.user, token.id)
    assert (actor.name, actor.permissions, actor.address) == ("token:ci", frozenset(READ), "192.0.2.1")
    rows = server.entities.list(owner.account, "token", server.clock.now())
    assert [row.lookup for row in rows] == [digest(text)]
    assert all(text not in row.body.decode() for row in rows)
    assert server.acts(owner)[-1] == Action.TOKEN_CREATED


def test_scopes_are_a_part_of_what_the_creator_may() -> None:
    """Nobody makes a token that can do more than they, nor one that can do nothing."""
    server = Server()
    owner = server.owner()
    viewer = server.user(owner, "vera", Role.VIEWER)
    with pytest.raises(Forbidden, match="flows:write"):
        server.tokens.create(viewer, "x", [Permission.FLOWS_READ, Permission.FLOWS_WRITE])
    with pytest.raises(InvalidInput, match="at least one"):
        server.tokens.create(viewer, "x", [])
    _, text = server.tokens.create(owner, "maker", [Permission.TOKENS_WRITE, Permission.RUNS_READ])
    maker = server.bearer(text)
    with pytest.raises(Forbidden, match="secrets:write"):
        server.tokens.create(maker, "x", [Permission.SECRETS_WRITE])
    server.tokens.create(maker, "smaller", READ)
    _, plain = server.tokens.create(owner, "plain", READ)
    with pytest.raises(Forbidden, match="tokens:write"):
        server.tokens.create(server.bearer(plain), "x", READ)


def test_what_acts_by_itself_has_no_tokens() -> None:
    """A schedule cannot make one."""
    server = Server()
    actor = trigger_actor(server.owner().account, "schedule:x")
    with pytest.raises(Forbidden):
        server.tokens.create(actor, "x", [Permission.RUNS_WRITE])
    with_permission = Actor(actor.account, actor.name, frozenset(Permission))
    with pytest.raises(Forbidden, match="only a user"):
        server.tokens.create(with_permission, "x", [Permission.RUNS_WRITE])


def test_a_token_expires() -> None:
    """To the millisecond; it stays in the list for a while, then it is gone."""
    server = Server()
    owner = server.owner()
    token, text = server.tokens.create(owner, "ci", READ, expires_in=DAY)
    assert token.expires_at == server.clock.now() + DAY
    server.clock.turn_to(token.expires_at - 1)
    actor = server.bearer(text)
    server.clock.turn_to(token.expires_at)
    with pytest.raises(Unauthenticated, match="expired"):
        server.bearer(text)
    with pytest.raises(Unauthenticated, match="expired"):
        server.tokens.recheck(actor)
    assert len(server.tokens.list(owner)) == 1
    server.clock.turn_to(token.expires_at + SHOWN_EXPIRED)
    assert server.tokens.list(owner) == []
    assert server.entities.purge(server.clock.now()) >= 1


@pytest.mark.parametrize("expires_in", [0, -1, 59_999, 11 * 365 * DAY])
def test_expiries_that_are_refused(expires_in: Millis) -> None:
    """A minute at least, ten years at most."""
    server = Server()
    with pytest.raises(InvalidInput, match="minute"):
        server.tokens.create(server.owner(), "ci", READ, expires_in=expires_in)


def test_a_token_made_by_a_token_does_not_outlive_it() -> None:
    """Else an expiry would be none: the holder could make themselves another."""
    server = Server()
    owner = server.owner()
    parent, text = server.tokens.create(owner, "maker", [Permission.TOKENS_WRITE, *READ], expires_in=DAY)
    maker = server.bearer(text)
    assert server.tokens.create(maker, "child", READ)[0].expires_at == parent.expires_at
    assert server.tokens.create(maker, "child", READ, expires_in=2 * DAY)[0].expires_at == parent.expires_at
    assert (
        server.tokens.create(maker, "child", READ, expires_in=DAY // 2)[0].expires_at == server.clock.now() + DAY // 2
    )


def test_a_revoked_token_is_refused_at_once() -> None:
    """Also by another process, and also where it is in use."""
    server = Server()
    other = Server(server.backend, server.clock)
    owner = server.owner()
    token, text = server.tokens.create(owner, "ci", READ)
    actor = other.bearer(text)
    server.tokens.revoke(owner, token.id)
    calls: list[Callable[[], object]] = [
        lambda: other.bearer(text),
        lambda: server.bearer(text),
        lambda: other.authenticator.recheck(actor),
    ]
    for call in calls:
        with pytest.raises(Unauthenticated):
            call()
    with pytest.raises(NotFound):
        server.tokens.revoke(owner, token.id)
    assert server.acts(owner).count(Action.TOKEN_REVOKED) == 1


def test_a_use_that_overlaps_the_revocation_does_not_bring_it_back() -> None:
    """`last_used` is written on the revision that was read, or not at all."""
    server = Server()
    owner = server.owner()
    token, _ = server.tokens.create(owner, "ci", READ)
    stored = server.tokens.get(owner, token.id)
    server.tokens.revoke(owner, token.id)
    server.tokens._touch(stored)
    assert server.tokens.list(owner) == []


def test_the_last_use_is_written_once_a_minute() -> None:
    """Reading with a token does not write to the store each time."""
    server = Server()
    owner = server.owner()
    token, text = server.tokens.create(owner, "ci", READ)
    assert server.tokens.get(owner, token.id).last_used is None
    begin = server.clock.now()
    revs = []
    for _ in range(4):
        server.bearer(text)
        revs.append(server.tokens.get(owner, token.id).rev)
        server.later(30)
    assert revs == [2, 2, 3, 3]
    assert server.tokens.get(owner, token.id).last_used == begin + 60_000


def test_everybody_manages_their_own_and_an_owner_all() -> None:
    """Somebody else's token answers like a missing one."""
    server = Server()
    owner = server.owner()
    vera, ed = server.user(owner, "vera", Role.VIEWER), server.user(owner, "ed", Role.EDITOR)
    tokens = {actor.name: server.tokens.create(actor, actor.name, READ)[0] for actor in (owner, vera, ed)}
    assert [token.name for token in server.tokens.list(vera)] == ["vera"]
    assert [token.name for token in server.tokens.list(owner)] == ["olga", "vera", "ed"]
    assert [token.name for token in server.tokens.list(owner, after=tokens["olga"].id, limit=1)] == ["vera"]
    for id in (tokens["ed"].id, "missing"):
        with pytest.raises(NotFound):
            server.tokens.get(vera, id)
        with pytest.raises(NotFound):
            server.tokens.revoke(vera, id)
    server.tokens.revoke(vera, tokens["vera"].id)
    server.tokens.revoke(owner, tokens["ed"].id)
    stranger = server.owner("omar")
    with pytest.raises(NotFound):
        server.tokens.revoke(stranger, tokens["olga"].id)


def test_long_lists_come_in_pages() -> None:
    """Others' tokens in between do not end a page early."""
    server = Server()
    owner = server.owner()
    vera = server.user(owner, "vera", Role.VIEWER)
    for index in range(120):
        server.tokens.create(owner if index % 2 else vera, f"t{index}", READ)
    first = server.tokens.list(vera, limit=40)
    rest = server.tokens.list(vera, after=first[-1].id, limit=40)
    assert [token.name for token in [*first, *rest]] == [f"t{index}" for index in range(0, 120, 2)]


class NoReads:
    """Entities that fail when anybody looks."""

    def find(self, kind: str, lookup: str, now: Millis) -> Entity | None:
        raise AssertionError("the store was asked")


@pytest.mark.parametrize(
    "text", ["fr_live_" + "a" * 49, "fr_live_short", "nothing", "", "eyJhbGciOiJub25lIn0.e30.", "\ud800"]
)
def test_a_wrong_checksum_is_refused_without_asking_the_store(text: str) -> None:
    """Guesses and typing errors cost nothing (corpus auth-13)."""
    server = Server()
    server.tokens._entities = NoReads()  # type: ignore[assignment]  # it is not to be used at all
    with pytest.raises(Unauthenticated):
        server.tokens.identify(text, "")


def test_a_hash_is_no_credential() -> None:
    """Who reads the store cannot use what is in it (corpus auth-16)."""
    server = Server()
    _, text = server.tokens.create(server.owner(), "ci", READ)
    with pytest.raises(Unauthenticated):
        server.bearer(digest(text))


def test_a_token_without_its_user_is_refused() -> None:
    """Whatever is left in the store."""
    server = Server()
    owner = server.owner()
    vera = server.user(owner, "vera", Role.VIEWER)
    _, text = server.tokens.create(vera, "ci", READ)
    assert server.members.remove_user(AccountId(owner.account), vera.user or "")
    with pytest.raises(Unauthenticated):
        server.bearer(text)


@pytest.mark.parametrize("role", list(Role))
def test_a_token_can_never_do_more_than_its_user(role: Role) -> None:
    """Scopes and role are both needed."""
    server = Server()
    owner = server.owner()
    user = server.users.create(owner, "u", PASSWORD, Role.OWNER).actor()
    _, text = server.tokens.create(user, "all", list(Permission))
    server.users.update(owner, user.user or "", role=role)
    assert server.bearer(text).permissions == PERMISSIONS[role]
