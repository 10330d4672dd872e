"""The commands that talk to a server, put into the program: groups, short forms, and those that stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowrunner.cli.exits import UsageError, reported
from flowrunner.cli.remote import (
    accounts,
    flows,
    modules,
    profile_commands,
    reports,
    runs,
    schedules,
    secrets,
    tokens,
    webhooks,
)
from flowrunner.cli.remote.options import Json, Profile, complete_flow, complete_profile

GROUPS = {
    "flows": flows.app,
    "runs": runs.app,
    "secrets": secrets.app,
    "modules": modules.app,
    "schedules": schedules.app,
    "hooks": schedules.hooks,
    "webhooks": webhooks.app,
    "tokens": tokens.app,
    "users": accounts.users,
    "account": accounts.app,
    "plugins": reports.plugins,
    "audit": reports.audit,
    "profiles": profile_commands.app,
}


def add_commands(app: typer.Typer) -> None:
    """Add them all."""
    for command in (login, logout, whoami, usage):
        app.command()(command)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    # Short forms: the same commands under names that are quick to type.
    app.command("create")(create)
    app.command("list", help="List the flows: flows list.")(flows.list_flows)
    app.command("status", help="Show a run: runs get.")(runs.get)
    app.command("logs", help="Print what the steps of a run said: runs logs.")(runs.logs)
    app.add_typer(secrets.app, name="secret", help="The same as secrets.", hidden=True)


@reported
def login(
    server: Annotated[str | None, typer.Option(help="The address, like https://flows.example.com.")] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="The name to keep it under.", autocompletion=complete_profile),
    ] = None,
    username: Annotated[str | None, typer.Option("--username", "-u", help="Asked for if it is not given.")] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Take a token from standard input instead of a password.")
    ] = False,
    expires_in: Annotated[str | None, typer.Option(help="Of the token, like 90d; default: it does not expire.")] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Allow http:// to another machine: everybody on the way can read.")
    ] = False,
    json: Json = False,
) -> None:
    """Log in to a server: your password makes a token for this machine, which is kept in a profile."""
    from flowrunner.cli.remote.login import LoginOptions, log_in

    log_in(LoginOptions(server, profile, username, token_stdin, insecure_http, expires_in, json))


@reported
def logout(json: Json = False, profile: Profile = None) -> None:
    """Revoke the token of a profile and forget it."""
    from flowrunner.cli.remote.login import log_out

    log_out(profile, as_json=json)


@reported
def whoami(json: Json = False, profile: Profile = None) -> None:
    """Show who the server takes you for, and what you may do."""
    from flowrunner.cli.remote.login import who_am_i

    who_am_i(profile, as_json=json)


@reported
def usage(
    first: Annotated[str | None, typer.Option("--from", help="The first day, UTC; default: 30 days back.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day; default: today.")] = None,
    flow: Annotated[
        str | None, typer.Option(help="Only of this flow, by name or id.", autocompletion=complete_flow)
    ] = None,
    by: Annotated[str | None, typer.Option(help="day, flow or both.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Show runs, steps, compute time and estimated cost, by day and flow."""
    from flowrunner.cli.remote.reports import show_usage

    show_usage(first, last, flow, by, as_json=json, profile=profile)


@reported
def create(
    name: Annotated[str, typer.Argument(help="The flow's name, as in its document.")],
    file: Annotated[Path, typer.Option("--file", "-f", help="A flow in YAML or JSON; - for standard input.")],
    draft: flows.Draft = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Store a new flow: flows create."""
    from flowrunner.cli.remote.flows import create_flow

    create_flow(name, file, draft=draft, as_json=json, profile=profile)


def refuse_local(**given: object) -> None:
    """Raises `UsageError` for an option that only a run on this machine can have."""
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name.replace('_', '-')} is for runs on this machine; the server has its own settings")
