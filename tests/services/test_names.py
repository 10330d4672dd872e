"""Names that people give."""

from __future__ import annotations

from typing import Any

import pytest
from flowrunner.errors import Conflict, InvalidInput
from flowrunner.services.identity import Role
from flowrunner.services.names import same_name, title, user_name

from tests.attacks import attacks
from tests.services.people import PASSWORD, Server

WIDE_ADMIN = "\uff41dmin@x.y"


@pytest.mark.parametrize("name", ["olga", "Olga.P-1_2", "o@example.org", "łukasz", "张伟", "a+b"])
def test_user_names_that_are_taken(name: str) -> None:
    """Letters of any script, digits, and what an e-mail address needs."""
    assert user_name(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "1 to 64"),
        ("a" * 65, "1 to 64"),
        ("a" * 1_000_000, "1 to 64"),
        ("a:b", "U+003A (colon)"),
        ("a b", "U+0020 (space)"),
        ("a\nb", "U+000A"),
        ("a\0b", "U+0000"),
        ("a\u202egpj", "U+202E (right-to-left override)"),
        ("a\u200bb", "U+200B (zero width space)"),
        ("a\ud800b", "U+D800"),
        ("<b>", "U+003C"),
    ],
)
def test_user_names_that_are_refused(name: str, said: str) -> None:
    """What moves, hides or splits text is refused, and the message names it without printing it."""
    with pytest.raises(InvalidInput) as caught:
        user_name(name)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_names_that_are_the_same() -> None:
    """Width, case and composition do not make another name."""
    assert len({same_name(name) for name in ("Zoë", "zoe\u0308", "ZOE\u0308", "\uff5aoë")}) == 1
    assert same_name("admin") != same_name("аdmin")  # noqa: RUF001 - the second one is Cyrillic


@pytest.mark.parametrize("name", ["Team Øst & Søn", "x", "日本 (prod)"])
def test_titles_that_are_taken(name: str) -> None:
    """One line of visible text."""
    assert title(f"  {name} ") == name


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "a\nb", "a\u2028b", "a\u202eb", "a\x1b[31m", "a\0", "\ud800"])
def test_titles_that_are_refused(name: str) -> None:
    """A line break, an escape or an override would reach logs and consoles."""
    with pytest.raises(InvalidInput):
        title(name)


def test_names_are_taken_on_the_whole_server() -> None:
    """Two users cannot have the same name, in one account or in two (corpus auth-30)."""
    server = Server()
    owner, other = server.owner("olga"), server.owner("omar")
    server.user(owner, "admin@x.y", Role.VIEWER)
    for account in (owner, other):
        with pytest.raises(Conflict, match="already"):
            server.users.create(account, WIDE_ADMIN, PASSWORD, Role.VIEWER)
    assert server.basic(WIDE_ADMIN).name == "admin@x.y"


@pytest.mark.parametrize("entry", [e for e in attacks("webhooks_and_auth.json", "auth") if e["id"] == "auth-29"])
@pytest.mark.parametrize("bad", ["\0", "\n", "\u202e"])
def test_names_of_the_corpus(entry: dict[str, Any], bad: str) -> None:
    """NUL, newline and RTL override in names of users, accounts and tokens are refused with 400."""
    assert "400" in entry["expect"]
    server = Server()
    owner = server.owner()
    with pytest.raises(InvalidInput):
        server.users.create(owner, f"a{bad}b", PASSWORD, Role.VIEWER)
    with pytest.raises(InvalidInput):
        server.tokens.create(owner, f"a{bad}b", owner.permissions)
    with pytest.raises(InvalidInput):
        server.accounts.update(owner, f"a{bad}b")
