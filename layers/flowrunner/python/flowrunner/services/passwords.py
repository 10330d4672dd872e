"""Passwords: argon2id with OWASP's least parameters, and the same cost for users that do not exist."""

from __future__ import annotations

import threading
import unicodedata
from typing import Protocol

from flowrunner.errors import InvalidInput

MIN_CHARACTERS = 12
MAX_BYTES = 256
AT_ONCE = 4
"""Hashes computed at the same time in a process. Each takes 19 MiB and about 35 ms of a core."""

_DUMMY = "$argon2id$v=19$m=19456,t=2,p=1$4/q2oFb9ZLv0S1h0T1vTmw$ne89y1Me6Zn73Q5YrjrcOSJdhdHhfa3TI72cxXommIw"
"""The hash of something nobody knows, for users that do not exist."""


class Hasher(Protocol):
    """The expensive part; `argon2.PasswordHasher` is one."""

    def hash(self, password: str, /) -> str: ...

    def verify(self, stored: str, password: str, /) -> bool: ...

    def check_needs_rehash(self, stored: str, /) -> bool: ...


def acceptable(password: str, username: str = "", field: str = "password") -> str:
    """A new password in the form that is hashed (NFC, RFC 8265). Raises `InvalidInput`; nothing is hashed here."""
    within_limits(password, field)
    password = unicodedata.normalize("NFC", password)
    if len(password) < MIN_CHARACTERS:
        raise InvalidInput(f"{field} must have at least {MIN_CHARACTERS} characters", field=field)
    if len(set(password)) < 4:
        raise InvalidInput(f"{field} repeats a few characters; take a longer phrase", field=field)
    if username and password.casefold() == username.casefold():
        raise InvalidInput(f"{field} must differ from the user's name", field=field)
    return password


def within_limits(password: str, field: str = "password") -> None:
    """Raises `InvalidInput` for what cannot be anybody's password, before a hash is spent on it."""
    # Every character takes at least one byte: a megabyte is refused without encoding it.
    if len(password) > MAX_BYTES or not _encodes(password):
        raise InvalidInput(f"{field} must be Unicode text of at most {MAX_BYTES} bytes", field=field)


def _encodes(password: str) -> bool:
    try:
        return len(password.encode()) <= MAX_BYTES
    except UnicodeEncodeError:  # half a surrogate pair
        return False


class Passwords:
    """Hashes and verifies. Safe for several threads, of which a few hash at the same time."""

    def __init__(self, hasher: Hasher | None = None) -> None:
        self._hasher = hasher
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """The hash of an acceptable password, with its parameters and salt in it."""
        with self._slots:
            return self._made().hash(password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one that was hashed. None, for a user that does not exist, costs the same.

        Raises `InvalidInput` for a password that is too long for anybody's.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        within_limits(password)
        with self._slots:
            try:
                right = self._made().verify(stored or _DUMMY, unicodedata.normalize("NFC", password))
            except (VerificationError, InvalidHashError):
                return False
        return right and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._made().check_needs_rehash(stored)

    def _made(self) -> Hasher:
        with self._lock:
            if self._hasher is None:
                import argon2

                self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
            return self._hasher
