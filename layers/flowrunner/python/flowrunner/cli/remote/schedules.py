"""`flowrunner schedules` and `flowrunner hooks`: what starts runs by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowrunner.cli.exits import UsageError, reported
from flowrunner.cli.remote.flows import flow_id, with_flow_names
from flowrunner.cli.remote.options import Every, Flow, Json, Limit, Profile, Yes, complete_flow, confirm

if TYPE_CHECKING:
    from flowrunner.cli.remote.client import Client

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Runs at moments, once or again and again.")
hooks = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Inbound webhooks, which start runs.")

Schedule = Annotated[str, typer.Argument(help="The schedule's id.")]
OfFlow = Annotated[str | None, typer.Option("--flow", help="Only of this flow.", autocompletion=complete_flow)]
Cron = Annotated[str | None, typer.Option(help='Five fields, like "0 9 * * MON-FRI".')]
At = Annotated[str | None, typer.Option(help="One moment, like 2030-01-31T09:00:00Z.")]
Zone = Annotated[str | None, typer.Option("--timezone", "-z", help="Of --cron, like Europe/Berlin; default: UTC.")]
Inputs = Annotated[
    list[str] | None, typer.Option("--input", "-i", help="@file.json, a JSON text, or key=value; may be repeated.")
]
Missed = Annotated[str | None, typer.Option(help="skip or run_once: what becomes of moments that were missed.")]

FIELDS = ("cron", "at", "timezone", "input", "enabled", "missed")
"""What the server wants of a schedule when it is changed: all of it."""


@app.command("list")
@reported
def list_schedules(
    flow: OfFlow = None, limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None
) -> None:
    """List the schedules, with when each fires next."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import show_list

    with connect(profile) as client:
        wanted = None if flow is None else flow_id(client, flow)
        found = collect(client, "/v1/schedules", limit, every=every, flow=wanted)
        if not json:
            found = replace(found, items=with_flow_names(client, found.items))
    columns = (
        ("ID", "id"),
        ("FLOW", "flow"),
        ("CRON", "cron"),
        ("AT", "at"),
        ("ZONE", "timezone"),
        ("ENABLED", "enabled"),
        ("NEXT", "next_times", _first),
        ("SOURCE", "source"),
        ("LAST ERROR", "last_error.message"),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def create(
    flow: Flow,
    cron: Cron = None,
    at: At = None,
    timezone: Zone = None,
    inputs: Inputs = None,
    missed: Missed = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Make it, and let it rest.")] = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Make a schedule for a flow: give --cron or --at."""
    from flowrunner.cli.inputs import read_input
    from flowrunner.cli.remote.client import connect

    if (cron is None) == (at is None):
        raise UsageError("give --cron or --at")
    wish = _given(cron=cron, at=at, timezone=timezone, missed=missed)
    if inputs:
        wish["input"] = read_input(inputs)
    if disabled:
        wish["enabled"] = False
    with connect(profile) as client:
        found = client.post("/v1/schedules", {"flow_id": flow_id(client, flow), **wish})
        _show(client, found, as_json=json)


@app.command()
@reported
def get(schedule: Schedule, json: Json = False, profile: Profile = None) -> None:
    """Show a schedule, its next five times, and how it went last."""
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        found = client.get(at("/v1/schedules/{}", schedule))
        _show(client, found, as_json=json)


@app.command()
@reported
def update(
    schedule: Schedule,
    cron: Cron = None,
    at: At = None,
    timezone: Zone = None,
    inputs: Inputs = None,
    missed: Missed = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Change what is given of a schedule."""
    from flowrunner.cli.inputs import read_input

    if cron is not None and at is not None:
        raise UsageError("give --cron or --at")
    wish = _given(cron=cron, at=at, timezone=timezone, missed=missed)
    if cron is not None or at is not None:
        wish = {"cron": None, "at": None, **wish}
    if inputs:
        wish["input"] = read_input(inputs)
    if not wish:
        raise UsageError("nothing was given to change")
    _change(schedule, wish, as_json=json, profile=profile)


@app.command()
@reported
def enable(schedule: Schedule, json: Json = False, profile: Profile = None) -> None:
    """Let a schedule fire."""
    _change(schedule, {"enabled": True}, as_json=json, profile=profile)


@app.command()
@reported
def disable(schedule: Schedule, json: Json = False, profile: Profile = None) -> None:
    """Let a schedule rest."""
    _change(schedule, {"enabled": False}, as_json=json, profile=profile)


@app.command()
@reported
def delete(schedule: Schedule, yes: Yes = False, json: Json = False, profile: Profile = None) -> None:
    """Delete a schedule; runs that it started go on."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    confirm(f"Delete the schedule {schedule}?", yes=yes)
    with connect(profile) as client:
        client.send("DELETE", at("/v1/schedules/{}", schedule))
    say(f"deleted {schedule}", {"id": schedule, "deleted": True}, as_json=json)


@hooks.command("list")
@reported
def list_hooks(limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List the inbound webhooks, with the URL of each and how its requests are verified."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import show_list

    with connect(profile) as client:
        found = collect(client, "/v1/hooks", limit, every=every)
        if not json:
            named = with_flow_names(client, found.items)
            # Without `public_url` a server does not know how it is reached; we have just reached it.
            items = [{**one, "url": client.server + one["url"]} if one["url"][:1] == "/" else one for one in named]
            found = replace(found, items=items)
    columns = (
        ("METHOD", "method"),
        ("URL", "url"),
        ("VERIFIED BY", "scheme"),
        ("SECRET", "secret"),
        ("ANSWER", "respond"),
        ("FLOW", "flow"),
    )
    show_list(found, columns, as_json=json)


def _change(schedule: str, wish: dict[str, Any], *, as_json: bool, profile: str | None) -> None:
    from flowrunner.cli.remote.client import at, connect

    with connect(profile) as client:
        path = at("/v1/schedules/{}", schedule)
        before = client.get(path)
        body = {name: before[name] for name in FIELDS} | wish
        _show(client, client.send("PUT", path, body=body).json(), as_json=as_json)


def _show(client: Client, schedule: dict[str, Any], *, as_json: bool) -> None:
    from flowrunner.cli.remote.output import as_json_text, moment, show_fields

    columns = (
        ("schedule", "id"),
        ("flow", "flow"),
        ("cron", "cron"),
        ("at", "at", moment),
        ("timezone", "timezone"),
        ("enabled", "enabled"),
        ("in service", "active"),
        ("missed", "missed"),
        ("input", "input", as_json_text),
        ("next", "next_times", _all),
        ("last", "last_time", moment),
        ("last run", "last_run"),
        ("last missed", "last_missed", moment),
        ("last error", "last_error.message"),
        ("source", "source"),
    )
    show_fields(schedule if as_json else with_flow_names(client, [schedule])[0], columns, as_json=as_json)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _first(times: Any) -> str:
    from flowrunner.cli.remote.output import moment

    return moment(times[0]) if times else "never"


def _all(times: Any) -> str:
    from flowrunner.cli.remote.output import moment

    return ", ".join(moment(one) for one in times) or "never"
