"""The account: made, seen, renamed, deleted."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from pydantic import ConfigDict, Field

from flowrunner.api.body_limits import takes_at_most
from flowrunner.api.errors import correlation_of
from flowrunner.api.routing import Caller, ThePlatform, address_of, needs, public, router
from flowrunner.api.shapes import Moment, Shown, Wish, moment
from flowrunner.services.accounts import Owner
from flowrunner.services.identity import Permission
from flowrunner.services.members import Account
from flowrunner.services.names import TITLE_LENGTH, USER_NAME_LENGTH
from flowrunner.services.passwords import MAX_BYTES, MIN_CHARACTERS

api = router("account")

MAX_SIGN_UP = 16 * 1024
"""Bytes; whoever sends them is not known yet."""

UserName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=USER_NAME_LENGTH,
        description="Letters, digits and `. _ - @ +`; unique on the server, whatever the case.",
        examples=["olga@example.org"],
    ),
]
NewPassword = Annotated[
    str,
    Field(
        min_length=MIN_CHARACTERS,
        max_length=MAX_BYTES,
        description=f"At least {MIN_CHARACTERS} characters, at most {MAX_BYTES} bytes.",
        examples=["correct horse battery staple"],
    ),
]
Title = Annotated[
    str, Field(min_length=1, max_length=TITLE_LENGTH, description="One line of text.", examples=["Data team"])
]


class SignUp(Wish):
    """A new account and its first owner."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "Data team", "username": "olga@example.org", "password": "correct horse battery staple"}
            ]
        }
    )

    name: Title
    username: UserName
    password: NewPassword


class AccountChange(Wish):
    """What can be changed of an account."""

    name: Title


class AccountAnswer(Shown):
    """An account."""

    id: str
    name: str
    created_at: Moment | None


class SignUpAnswer(Shown):
    """Who may make an account here."""

    open: bool = Field(description="Whether anybody may (`accounts.signup`).")


class SignedUp(AccountAnswer):
    """A new account."""

    user_id: str = Field(description="Its first owner.")
    username: str


@api.post(
    "/v1/accounts",
    operation_id="create_account",
    summary="Sign up: a new account and its owner",
    status_code=201,
    responses={
        403: {"description": "Sign-up is closed on this server (`accounts.signup`)."},
        409: {"description": "The user name is taken."},
    },
)
@public
@takes_at_most(lambda settings: MAX_SIGN_UP)
def create_account(request: Request, platform: ThePlatform, wish: SignUp) -> SignedUp:
    """Log in with the user name and password that you give here."""
    owner = Owner(wish.username, wish.password)
    member = platform.accounts.sign_up(wish.name, owner, address_of(request), correlation_of(request))
    shown = _shown(member.account)
    return SignedUp(
        id=shown.id,
        name=shown.name,
        created_at=shown.created_at,
        user_id=member.user.id,
        username=member.user.name,
    )


@api.get("/v1/accounts", operation_id="get_signup", summary="Whether one can sign up")
@public
def get_signup(platform: ThePlatform) -> SignUpAnswer:
    """What a page asks that would offer it."""
    return SignUpAnswer(open=platform.accounts.open_to_all)


@api.get("/v1/account", operation_id="get_account", summary="The caller's account")
@needs(Permission.ACCOUNT_READ)
def get_account(caller: Caller, platform: ThePlatform) -> AccountAnswer:
    """There is no route to any other account."""
    return _shown(platform.accounts.get(caller))


@api.patch("/v1/account", operation_id="update_account", summary="Rename the account")
@needs(Permission.ACCOUNT_WRITE)
def update_account(caller: Caller, platform: ThePlatform, wish: AccountChange) -> AccountAnswer:
    """Only the name that people see: the id stays."""
    return _shown(platform.accounts.update(caller, wish.name))


@api.delete(
    "/v1/account",
    operation_id="delete_account",
    summary="Delete the account with everything in it",
    status_code=204,
)
@needs(Permission.ACCOUNT_WRITE)
def delete_account(
    caller: Caller,
    platform: ThePlatform,
    confirm: Annotated[str, Query(max_length=TITLE_LENGTH, description="The account's name, to be sure.")],
) -> None:
    """From now on nobody of it is let in. Its runs are cancelled, and everything is removed in the background."""
    platform.accounts.delete(caller, confirm)
    platform.background.wake("erasure")


def _shown(account: Account) -> AccountAnswer:
    return AccountAnswer(id=account.id, name=account.name, created_at=moment(account.created_at))
