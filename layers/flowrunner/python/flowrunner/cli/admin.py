"""`flowrunner admin`: what needs no account, but the store itself."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowrunner.bootstrap import make_platform
from flowrunner.cli.engines import settings_for
from flowrunner.cli.exits import UsageError
from flowrunner.services.accounts import Owner
from flowrunner.services.platform import Platform

MAX_PASSWORD = 1024


def create_account(name: str, owner: str, store: str | None, config_file: Path | None) -> None:
    """Make an account with its owner. Raises `Conflict` when the user name is taken, `InvalidInput`."""
    with _platform(store, config_file) as platform:
        member = platform.accounts.create(name, Owner(owner, new_password(f"Password of {owner}: ")))
        print(f"account {member.account.name} ({member.account.id}), owner {member.user.name}")


def reset_password(username: str, store: str | None, config_file: Path | None) -> None:
    """Set a user's password. Raises `NotFound`, `InvalidInput`."""
    with _platform(store, config_file) as platform:
        platform.users.reset_password(username, new_password(f"New password of {username}: "))
        print(f"the password of {username} is set, and all sessions have ended")


def new_password(prompt: str) -> str:
    """A password from a prompt, typed twice, or the first line of standard input. Raises `UsageError`."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(MAX_PASSWORD).rstrip("\r\n")
    first = getpass.getpass(prompt)
    if getpass.getpass("Again: ") != first:
        raise UsageError("the two passwords are not the same")
    return first


@contextmanager
def _platform(store: str | None, config_file: Path | None) -> Iterator[Platform]:
    loaded = settings_for(config_file, store=store)
    if loaded.settings.store.url == "memory:":
        raise UsageError("an account in memory: would be gone at once; name the store that the server uses")
    platform = make_platform(loaded.settings, os.environ)
    try:
        yield platform
    finally:
        platform.close()
