"""`flowrunner login`, `logout` and `whoami`: a token for this machine, made with a password, kept in a profile."""

from __future__ import annotations

import base64
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

import typer

from flowrunner.cli.exits import ExitCode, RemoteError, UsageError, option
from flowrunner.cli.remote.client import ONCE, Client, at, connect
from flowrunner.cli.remote.output import print_json, say, words
from flowrunner.cli.remote.profiles import (
    DEFAULT,
    INSECURE,
    Profile,
    Profiles,
    checked_server,
    load_profiles,
    profiles_file,
    save_profiles,
)
from flowrunner.cli.remote.secret_text import read_secret
from flowrunner.core.durations import parse_duration

GONE = (401, 404)
"""Answers to the revocation of a token that does not work any more anyway."""


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """The options of the command, as given."""

    server: str | None
    profile: str | None
    username: str | None
    token_stdin: bool
    insecure_http: bool
    expires_in: str | None
    json: bool


def log_in(options: LoginOptions) -> None:
    """Get a token, or take one from standard input, and keep it. Raises `UsageError`, `RemoteError`."""
    path = profiles_file(os.environ)
    profiles = load_profiles(path)
    name = options.profile or os.environ.get("FLOWRUNNER_PROFILE") or profiles.current or DEFAULT
    before = profiles.known.get(name)
    insecure = options.insecure_http or bool(os.environ.get(INSECURE))
    server = checked_server(_server(options, before), insecure=insecure)
    save_profiles(path, profiles)  # before a token is made that could not be kept
    made = _given(server) if options.token_stdin else _made(server, options)
    if options.insecure_http:
        made = Profile(made.server, made.token, made.token_id, made.user, insecure_http=True)
    save_profiles(path, profiles.with_profile(name, made))
    if before is not None and before.token_id is not None and before.token != made.token:
        _retire(before, made)
    document = {"profile": name, "server": server, "user": made.user, "token_id": made.token_id}
    say(f"logged in to {server} as {made.user} (profile {name})", document, as_json=options.json)


def log_out(name: str | None, *, as_json: bool) -> None:
    """Revoke the token of a profile and forget it. Raises `UsageError`, `RemoteError`."""
    path = profiles_file(os.environ)
    profiles = load_profiles(path)
    wanted = _current(profiles, name)
    profile = profiles.named(wanted)
    client = Client(profile.server, f"Bearer {profile.token}")
    try:
        revoked = profile.token_id is not None and _revoked(client, profile.token_id)
    finally:
        client.close()
    save_profiles(path, profiles.without(wanted))
    if not revoked:
        print("login did not make the token, so it was not revoked; tokens revoke does that", file=sys.stderr)
    say(f"logged out of {profile.server}", {"profile": wanted, "revoked": revoked}, as_json=as_json)


def who_am_i(profile: str | None, *, as_json: bool) -> None:
    """Show who the server takes us for, and what they may do."""
    with connect(profile) as client:
        found = client.get("/v1/session")
        user = client.get(at("/v1/users/{}", found["user_id"])) if found["user_id"] else {}
        account = client.get("/v1/account") if "account:read" in found["permissions"] else {}
        server = client.server
    about = {"username": user.get("name"), "role": user.get("role"), "account_name": account.get("name")}
    if as_json:
        print_json({"server": server, **found, **about})
        return
    who = found["name"] if not user else f"{user['name']} ({user['role']})"
    with_token = f" with {found['name']}" if user and found["token_id"] else ""
    home = f"account {found['account_id']}" if not account else f"account {account['name']} ({found['account_id']})"
    say(f"{who} on {server}{with_token}, {home}", None, as_json=False)
    say(f"may: {words(found['permissions'])}", None, as_json=False)


def list_profiles(*, as_json: bool) -> None:
    """Show the profiles, never their tokens."""
    profiles = load_profiles(profiles_file(os.environ))
    rows = [
        {"name": name, "server": one.server, "user": one.user, "current": name == profiles.current}
        for name, one in sorted(profiles.known.items())
    ]
    if as_json:
        print_json({"items": rows, "more": False})
        return
    if not rows:
        print("none; flowrunner login makes one", file=sys.stderr)
    width = max((len(str(row["name"])) for row in rows), default=0)
    for row in rows:
        mark = "*" if row["current"] else " "
        say(f"{mark} {row['name']:<{width}}  {row['server']}  {row['user'] or ''}".rstrip(), None, as_json=False)


def use_profile(name: str, *, as_json: bool) -> None:
    """Make a profile the current one. Raises `NotFound`."""
    path = profiles_file(os.environ)
    save_profiles(path, load_profiles(path).using(name))
    say(f"using {name}", {"current": name}, as_json=as_json)


def remove_profile(name: str, *, as_json: bool) -> None:
    """Forget a profile without telling its server. Raises `NotFound`."""
    path = profiles_file(os.environ)
    save_profiles(path, load_profiles(path).without(name))
    say(f"removed {name}; its token still works until it is revoked or expires", {"removed": name}, as_json=as_json)


def _server(options: LoginOptions, before: Profile | None) -> str:
    known = options.server or os.environ.get("FLOWRUNNER_SERVER") or (before.server if before else "")
    if known:
        return known
    if not sys.stdin.isatty():
        raise UsageError("name the server: --server https://flows.example.com")
    return _asked("server")


def _given(server: str) -> Profile:
    """A profile with the token from standard input, if the server knows it."""
    token = read_secret("token")
    if not token.isascii() or not token.isprintable():
        raise UsageError("the token holds characters that no token has")
    client = Client(server, f"Bearer {token}", ONCE)
    try:
        found = client.get("/v1/session")
    finally:
        client.close()
    # Without its id: others may use it, too, so logout is not to revoke it.
    return Profile(server, token, None, found["name"])


def _made(server: str, options: LoginOptions) -> Profile:
    """A profile with a new token, made with the password of a person."""
    expires = option(options.expires_in, "expires-in", parse_duration) if options.expires_in else None
    username = options.username or _ask_username()
    password = read_secret("password")
    basic = base64.b64encode(f"{username}:{password}".encode("utf-8", "surrogateescape")).decode()
    client = Client(server, f"Basic {basic}", ONCE)
    try:
        scopes = client.get("/v1/session")["permissions"]
        wish: dict[str, Any] = {"name": f"flowrunner on {_machine()}", "scopes": scopes}
        if expires is not None:
            wish["expires_in_ms"] = expires
        made = client.post("/v1/tokens", wish)
    except RemoteError as error:
        if error.status == 401:
            raise RemoteError("the user name or the password is wrong", ExitCode.NOT_FOUND, status=401) from None
        raise
    finally:
        client.close()
    return Profile(server, made["token"], made["id"], username)


def _ask_username() -> str:
    if not sys.stdin.isatty():
        raise UsageError("name the user: --username NAME (the password is read from standard input)")
    return _asked("username")


def _asked(what: str) -> str:
    answer: str = typer.prompt(what, err=True)  # standard output may be a file
    return answer.strip()


def _machine() -> str:
    name = "".join(char for char in socket.gethostname() if char.isprintable())
    return name[:80] or "an unnamed machine"


def _current(profiles: Profiles, name: str | None) -> str:
    wanted = name or os.environ.get("FLOWRUNNER_PROFILE") or profiles.current
    if wanted is None:
        raise UsageError("no profile is in use", hint="name one: --profile NAME; see flowrunner profiles list")
    return wanted


def _revoked(client: Client, token_id: str) -> bool:
    try:
        client.send("DELETE", at("/v1/tokens/{}", token_id))
    except RemoteError as error:
        if error.status not in GONE:
            raise
    return True


def _retire(before: Profile, made: Profile) -> None:
    """Revoke the token that a new one has replaced. If that fails nothing is lost but tidiness."""
    if before.server != made.server:
        return
    client = Client(before.server, f"Bearer {before.token}")
    try:
        client.send("DELETE", at("/v1/tokens/{}", before.token_id or ""))
    except RemoteError as error:
        if error.status not in GONE:
            print("the token of the last login could not be revoked; see flowrunner tokens list", file=sys.stderr)
    finally:
        client.close()
