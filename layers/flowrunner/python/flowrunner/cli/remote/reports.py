"""`flowrunner usage`, `flowrunner audit` and `flowrunner plugins`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowrunner.cli.exits import ExitCode, UsageError, escape, reported
from flowrunner.cli.remote.flows import flow_id
from flowrunner.cli.remote.options import Every, Json, Limit, Profile

if TYPE_CHECKING:
    from flowrunner.cli.remote.output import Column

audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who did what in the account.")
plugins = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Node types and helpers from outside.")

Plugin = Annotated[str, typer.Argument(help="The plugin's name.")]

HEAD = re.compile(r"[0-9]{1,18}:[0-9a-f]{64}")


def show_usage(
    first: str | None, last: str | None, flow: str | None, by: str | None, *, as_json: bool, profile: str | None
) -> None:
    """Print what the account has used."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import Found
    from flowrunner.cli.remote.output import count, dollars, duration, print_json, show_list

    with connect(profile) as client:
        wanted = None if flow is None else flow_id(client, flow)
        found = client.get("/v1/usage", **{"from": first, "to": last, "flow": wanted, "by": by})
    if as_json:
        print_json(found)
        return
    days: tuple[Column, ...] = (("DAY", "day"),) if by != "flow" else ()
    flows: tuple[Column, ...] = (("FLOW", "flow_name"),) if by != "day" else ()
    columns: tuple[Column, ...] = (
        *days,
        *flows,
        ("RUNS", "runs", count),
        ("STEPS", "steps", count),
        ("COMPUTE", "compute_ms", duration),
        ("EST. COST", "estimated_cost_usd", dollars),
    )
    total = {"flow_name" if by == "flow" else "day": "total", **found["total"]}
    print(escape(f"{found['from_day']} to {found['to_day']}"), file=sys.stderr)
    show_list(Found([*found["items"], total]), columns, as_json=False)


@audit.command("list")
@reported
def list_audit(
    action: Annotated[str | None, typer.Option(help="Like token.created, or token for all of a kind.")] = None,
    who: Annotated[str | None, typer.Option(help="Only by this user or token.")] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    limit: Limit = 50,
    every: Every = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """List the records, newest first."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, short, show_list

    order = "oldest" if oldest else None
    with connect(profile) as client:
        found = collect(client, "/v1/audit", limit, every=every, action=action, who=who, order=order)
    columns = (
        ("SEQ", "seq"),
        ("AT", "at", moment),
        ("WHO", "who"),
        ("ACTION", "action"),
        ("TARGET", "target"),
        ("FROM", "address"),
        ("DETAILS", "details", short),
    )
    show_list(found, columns, as_json=json)


@audit.command()
@reported
def verify(
    head: Annotated[str | None, typer.Option(help="COUNT:HASH, as an earlier verify has printed it.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Check that no record was changed or removed; note the head elsewhere for the next time."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import print_json

    count, _, digest = (head or "").partition(":")
    if head is not None and not HEAD.fullmatch(head):
        raise UsageError(f"--head {head[:80]}: write it as verify has printed it, COUNT:HASH")
    with connect(profile) as client:
        verdict = client.get("/v1/audit/verify", count=count or None, hash=digest or None)
    if json:
        print_json(verdict)
    elif verdict["ok"]:
        print(f"whole: {verdict['records']} records")
        print(escape(f"head {verdict['head']['count']}:{verdict['head']['hash']}"))
    else:
        bad = f"record {verdict['first_bad']}: {verdict['reason']} ({verdict['records']} before it are good)"
        print(escape(bad), file=sys.stderr)
    raise typer.Exit(ExitCode.OK if verdict["ok"] else ExitCode.FAILED)


@plugins.command("new")
@reported
def new(
    name: Annotated[str, typer.Argument(help="What it is called, like acme-crm.")],
    folder: Annotated[Path | None, typer.Option(help="Where to; default: a new folder of that name.")] = None,
    json: Json = False,
) -> None:
    """Make a package with a node type, a helper for scripts, and a test, to start from. Asks no server."""
    from flowrunner.cli.plugin_new import new_plugin

    new_plugin(name, folder, as_json=json)


@plugins.command("list")
@reported
def list_plugins(json: Json = False, profile: Profile = None) -> None:
    """List the plugins of the server, with those that cannot be loaded."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import Found
    from flowrunner.cli.remote.output import show_list

    with connect(profile) as client:
        found = Found(client.get("/v1/plugins")["items"])
    columns: tuple[Column, ...] = (
        ("NAME", "name"),
        ("VERSION", "version"),
        ("NODE TYPES", "node_types", lambda types: ", ".join(one["name"] for one in types)),
        ("HELPERS", "helpers", ", ".join),
        ("ENABLED", "enabled"),
        ("ERROR", "error"),
    )
    show_list(found, columns, as_json=json)


@plugins.command()
@reported
def enable(plugin: Plugin, json: Json = False, profile: Profile = None) -> None:
    """Let the account's flows use a plugin."""
    _turn(plugin, json, profile, enabled=True)


@plugins.command()
@reported
def disable(plugin: Plugin, json: Json = False, profile: Profile = None) -> None:
    """Keep the account's flows from using a plugin."""
    _turn(plugin, json, profile, enabled=False)


def _turn(plugin: str, as_json: bool, profile: str | None, *, enabled: bool) -> None:
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = client.send("PATCH", at("/v1/plugins/{}", plugin), body={"enabled": enabled}).json()
    say(f"{found['name']} is {'enabled' if found['enabled'] else 'disabled'}", found, as_json=as_json)
