"""The first account of a deployment: made once, by whoever deploys, with a password that is shown once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flowrunner.bootstrap import make_platform
from flowrunner.core.ids import AccountId
from flowrunner.ports.entities import Entity
from flowrunner.services.accounts import Owner, first_user
from flowrunner.services.identity import Permission, trigger_actor
from flowrunner.services.installation import SYSTEM
from flowrunner.services.platform import Platform
from flowrunner.settings import Settings

FIRST = AccountId("first")
NOTE = ("installation", "first-account")
"""The note that says that it was made: without it, an account that its owner has deleted would be made again."""


@dataclass(frozen=True, slots=True)
class Made:
    """What its owner needs to know, once."""

    account: str
    owner: str
    password: str = field(repr=False)


def make_first_account(outputs: Mapping[str, str], name: str, owner: str) -> Made | None:
    """Make it in the store that a deployment's outputs name; None when that was done before.

    Raises `Conflict` when somebody else has the user name, `StoreError` when the operator may not use table and key.
    """
    settings = Settings.model_validate({"store": {"url": outputs["StoreUrl"]}, "vault": {"kms_key": outputs["KeyArn"]}})
    platform = make_platform(settings, os.environ)
    try:
        return found(platform, name, owner)
    finally:
        platform.close()


def found(platform: Platform, name: str, owner: str) -> Made | None:
    """The same on a platform. One that died before it could show the password is made up for by a new one."""
    parts = platform.engine.parts
    now = parts.clock.now()
    if parts.backend.entities.get(SYSTEM, *NOTE, now) is not None:
        return None
    password = parts.draws.token()[:20]
    if not platform.accounts.bootstrap(FIRST, name, Owner(owner, password)):
        operator = replace(trigger_actor(FIRST, "deploy"), permissions=frozenset(Permission))
        owner = platform.users.get(operator, first_user(FIRST)).user.name
        platform.users.reset_password(owner, password)
    parts.backend.entities.put(Entity(SYSTEM, *NOTE, b""), now)
    return Made(name, owner, password)
