"""`flowrunner account` and `flowrunner users`: the account and its people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowrunner.cli.exits import ExitCode, RemoteError, UsageError, reported
from flowrunner.cli.remote.options import Every, Json, Limit, Profile, Yes, confirm

if TYPE_CHECKING:
    from flowrunner.cli.remote.client import Client

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The account that you are in.")
users = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The people of the account.")

User = Annotated[str, typer.Argument(help="The user's name or id.")]
Role = Annotated[str, typer.Argument(help="viewer, operator, editor or owner.")]

USER_COLUMNS = (("NAME", "name"), ("ROLE", "role"), ("DISABLED", "disabled"), ("ID", "id"))


@app.command()
@reported
def show(json: Json = False, profile: Profile = None) -> None:
    """Show the account."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import moment, show_fields

    with connect(profile) as client:
        found = client.get("/v1/account")
    show_fields(found, (("account", "name"), ("id", "id"), ("created", "created_at", moment)), as_json=json)


@app.command()
@reported
def rename(
    name: Annotated[str, typer.Argument(help="The new name.")], json: Json = False, profile: Profile = None
) -> None:
    """Rename the account."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = client.send("PATCH", "/v1/account", body={"name": name}).json()
    say(f"the account is called {found['name']}", found, as_json=json)


@app.command("delete")
@reported
def delete_account(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account's name, to be sure.")],
    yes: Yes = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Delete the account with all its flows, runs, secrets and users."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import say

    confirm(f"Delete the account {name} with everything in it, for ever?", yes=yes)
    with connect(profile) as client:
        client.send("DELETE", "/v1/account", query={"confirm": name})
    say(f"deleted the account {name}", {"name": name, "deleted": True}, as_json=json)


@users.command("list")
@reported
def list_users(limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List the users."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import show_list

    with connect(profile) as client:
        found = collect(client, "/v1/users", limit, every=every)
    show_list(found, USER_COLUMNS, as_json=json)


@users.command("create")
@reported
def create_user(
    name: Annotated[str, typer.Argument(help="What they log in with.")],
    role: Role,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Add a user; their password is asked for, or read from standard input."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        body = {"name": name, "role": role, "password": _new_password(name)}
        found = client.post("/v1/users", body)
    say(f"{found['name']} is {found['role']} ({found['id']})", found, as_json=json)


@users.command("set-role")
@reported
def set_role(user: User, role: Role, json: Json = False, profile: Profile = None) -> None:
    """Give a user another role, at once."""
    _change(user, {"role": role}, json, profile)


@users.command("disable")
@reported
def disable_user(user: User, json: Json = False, profile: Profile = None) -> None:
    """Disable a user: they are shut out, with their tokens and sessions."""
    _change(user, {"disabled": True}, json, profile)


@users.command("enable")
@reported
def enable_user(user: User, json: Json = False, profile: Profile = None) -> None:
    """Let a user in again."""
    _change(user, {"disabled": False}, json, profile)


@users.command("set-password")
@reported
def set_password(user: User, json: Json = False, profile: Profile = None) -> None:
    """Set a user's password; for your own the old one is asked for first."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say
    from flowrunner.cli.remote.secret_text import read_secret

    with connect(profile) as client:
        me = client.get("/v1/session")["user_id"]
        found = _user_id(client, user)
        body = {"old_password": read_secret("old password")} if found == me else {}
        client.post(at("/v1/users/{}/password", found), {**body, "password": _new_password(user)})
    say(f"the password of {user} is set", {"id": found, "changed": True}, as_json=json)


@users.command("delete")
@reported
def delete_user(user: User, yes: Yes = False, json: Json = False, profile: Profile = None) -> None:
    """Delete a user with their tokens; what they made stays."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = _user_id(client, user)
        confirm(f"Delete the user {user}?", yes=yes)
        client.send("DELETE", at("/v1/users/{}", found))
    say(f"deleted {user}", {"id": found, "deleted": True}, as_json=json)


def _change(user: str, wish: dict[str, Any], as_json: bool, profile: str | None) -> None:
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = client.send("PATCH", at("/v1/users/{}", _user_id(client, user)), body=wish).json()
    state = found["role"] if "role" in wish else "disabled" if found["disabled"] else "enabled"
    say(f"{found['name']} is {state}", found, as_json=as_json)


def _user_id(client: Client, text: str) -> str:
    """The id of a user given by name or id, whatever the case. Raises `RemoteError`."""
    from flowrunner.cli.remote.lists import collect

    wanted = text.casefold()
    for user in collect(client, "/v1/users", 1, every=True).items:
        if text == user["id"] or wanted == user["name"].casefold():
            found: str = user["id"]
            return found
    raise RemoteError(f"there is no user {text!r} in the account", ExitCode.NOT_FOUND)


def _new_password(name: str) -> str:
    import sys

    from flowrunner.cli.remote.secret_text import read_secret

    first = read_secret("password", ask=f"new password of {name}")
    if sys.stdin.isatty() and read_secret("password", ask="again") != first:
        raise UsageError("the two passwords are not the same")
    return first
