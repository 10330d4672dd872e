"""Passwords and their hashes."""

from __future__ import annotations

import pytest
from flowrunner.errors import InvalidInput
from flowrunner.services.passwords import _DUMMY, Passwords, acceptable, within_limits

from tests.services.people import PASSWORD, QuickHasher


def test_the_hash_is_argon2id_with_the_parameters_of_the_design() -> None:
    """19 MiB, two passes, one lane; and the hash for nobody has the same, or unknown users would show."""
    passwords = Passwords()
    stored = passwords.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert _DUMMY.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify(stored, PASSWORD)
    assert not passwords.verify(stored, PASSWORD + "!")
    assert not passwords.verify(None, PASSWORD)
    assert not passwords.verify("no hash at all", PASSWORD)
    assert not passwords.outdated(stored)
    assert passwords.outdated(stored.replace("t=2", "t=1"))


def test_a_user_that_does_not_exist_costs_a_hash() -> None:
    """Both ways verify exactly once."""
    hasher = QuickHasher()
    passwords = Passwords(hasher)
    passwords.verify(passwords.hash(PASSWORD), "wrong" * 4)
    known = hasher.verified
    passwords.verify(None, "wrong" * 4)
    assert (known, hasher.verified) == (1, 2)


@pytest.mark.parametrize("password", ["a" * 257, "ä" * 129, "a" * 1_000_000, "half \ud800 a pair"])
def test_what_is_nobodys_password_is_not_hashed(password: str) -> None:
    """More than 256 bytes, or no text: refused before a hash is spent (auth-28)."""
    hasher = QuickHasher()
    with pytest.raises(InvalidInput, match="at most 256 bytes"):
        Passwords(hasher).verify("quick:1:x", password)
    with pytest.raises(InvalidInput):
        acceptable(password)
    assert (hasher.hashed, hasher.verified) == (0, 0)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("eleven char", "at least 12"),
        ("aaaaaaaaaaaaaaaa", "repeats"),
        ("Olga@Example.Org", "differ from the user's name"),
    ],
)
def test_passwords_that_are_refused(password: str, said: str) -> None:
    """Short ones, one key held down, and the user's own name."""
    with pytest.raises(InvalidInput, match=said):
        acceptable(password, "olga@example.org")


@pytest.mark.parametrize("password", ["a" * 250 + "bcdefg"[:6], "twelve chars", "ä" * 125 + "bcd"])
def test_passwords_that_are_taken(password: str) -> None:
    """12 characters to 256 bytes, spaces and any script included."""
    assert acceptable(password) == password
    within_limits(password)


def test_a_password_is_the_same_however_it_was_typed() -> None:
    """Composed and decomposed letters are one password."""
    passwords = Passwords(QuickHasher())
    stored = passwords.hash(acceptable("gar nicht u\u0308bel"))
    assert passwords.verify(stored, "gar nicht \u00fcbel")
    assert passwords.verify(stored, "gar nicht u\u0308bel")
