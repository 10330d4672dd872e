"""Users of the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import ConfigDict, Field

from flowrunner.api.paging import Cursor, Limit, Page
from flowrunner.api.routes.accounts import NewPassword, UserName
from flowrunner.api.routing import Caller, ThePlatform, needs, router
from flowrunner.api.shapes import Moment, Shown, TheCursors, Wish, moment
from flowrunner.services.identity import Permission, Role
from flowrunner.services.members import Member
from flowrunner.services.passwords import MAX_BYTES

api = router("users")

TheUser = Annotated[str, Path(max_length=64, description="The user's id.")]
# Strict as the rest, but for what JSON cannot say: a member of an enumeration comes as a text.
GivenRole = Annotated[
    Role, Field(strict=False, description="viewer: sees. operator: also runs. editor: also changes. owner: everything.")
]


class NewUser(Wish):
    """A user to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "vera@example.org", "password": "correct horse battery staple", "role": "operator"}]
        }
    )

    name: UserName
    password: NewPassword
    role: GivenRole


class UserChange(Wish):
    """What can be changed of a user; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "editor"}, {"disabled": True}]})

    role: GivenRole | None = None
    disabled: bool | None = Field(None, description="A disabled user cannot log in, and their tokens do nothing.")


class PasswordChange(Wish):
    """A new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"password": "another long phrase", "old_password": "correct horse battery staple"}]
        }
    )

    password: NewPassword
    old_password: str | None = Field(None, max_length=MAX_BYTES, description="Needed for one's own.")


class UserAnswer(Shown):
    """A user."""

    id: str
    name: str
    role: Role
    disabled: bool
    created_at: Moment | None
    password_changed_at: Moment | None


@api.get("/v1/users", operation_id="list_users", summary="The users of the account")
@needs(Permission.USERS_READ)
def list_users(
    caller: Caller, platform: ThePlatform, cursors: TheCursors, limit: Limit = 50, cursor: Cursor = None
) -> Page[UserAnswer]:
    """By age, the oldest first."""
    after = cursors.open(caller.account, "users", cursor) if cursor else None
    found = platform.users.list(caller, after, limit + 1)
    more = cursors.seal(caller.account, "users", found[limit - 1].user.id) if len(found) > limit else None
    return Page(items=[_shown(member) for member in found[:limit]], next_cursor=more)


@api.post(
    "/v1/users",
    operation_id="create_user",
    summary="Add a user to the account",
    status_code=201,
    responses={409: {"description": "The name is taken on this server."}},
)
@needs(Permission.USERS_WRITE)
def create_user(caller: Caller, platform: ThePlatform, wish: NewUser, response: Response) -> UserAnswer:
    """Nobody can give a role that can do more than they."""
    member = platform.users.create(caller, wish.name, wish.password, wish.role)
    response.headers["Location"] = f"/v1/users/{member.user.id}"
    return _shown(member)


@api.get("/v1/users/{user_id}", operation_id="get_user", summary="A user")
@needs(None)
def get_user(caller: Caller, platform: ThePlatform, user_id: TheUser) -> UserAnswer:
    """Everybody sees themselves; others need `users:read`."""
    return _shown(platform.users.get(caller, user_id))


@api.patch(
    "/v1/users/{user_id}",
    operation_id="update_user",
    summary="Change a user's role, or shut them out",
    responses={409: {"description": "No owner who may log in would be left."}},
)
@needs(Permission.USERS_WRITE)
def update_user(caller: Caller, platform: ThePlatform, user_id: TheUser, wish: UserChange) -> UserAnswer:
    """It takes effect at once, also for the user's tokens and sessions."""
    return _shown(platform.users.update(caller, user_id, role=wish.role, disabled=wish.disabled))


@api.delete(
    "/v1/users/{user_id}",
    operation_id="delete_user",
    summary="Remove a user with their tokens and sessions",
    status_code=204,
    responses={409: {"description": "No owner who may log in would be left."}},
)
@needs(Permission.USERS_WRITE)
def delete_user(caller: Caller, platform: ThePlatform, user_id: TheUser) -> None:
    """What they made, such as flows, stays."""
    platform.users.delete(caller, user_id)


@api.post(
    "/v1/users/{user_id}/password",
    operation_id="change_password",
    summary="Change a user's password",
    status_code=204,
)
@needs(None)
def change_password(caller: Caller, platform: ThePlatform, user_id: TheUser, wish: PasswordChange) -> None:
    """One's own with the old one, somebody else's with `users:write`. All other sessions of the user end."""
    platform.users.change_password(caller, user_id, wish.password, wish.old_password)


def _shown(member: Member) -> UserAnswer:
    user = member.user
    return UserAnswer(
        id=user.id,
        name=user.name,
        role=member.role,
        disabled=member.disabled,
        created_at=moment(user.created_at),
        password_changed_at=moment(user.password_changed_at),
    )
