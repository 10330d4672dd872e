"""`flowrunner runs`: runs on a server."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowrunner.cli.exits import UsageError, reported
from flowrunner.cli.remote.flows import flow_id
from flowrunner.cli.remote.options import Every, Flow, Json, Limit, Profile, Run, Yes, complete_flow, confirm

if TYPE_CHECKING:
    from flowrunner.cli.remote.client import Client

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Runs on a server.")

Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", help="@file.json, a JSON text, or key=value; may be repeated."),
]
Step = Annotated[str, typer.Argument(help="The step's id, like score, poll.3 or each[17].")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")]
Level = Annotated[str | None, typer.Option(help="debug, info, warning or error, and what is above it.")]
Node = Annotated[str | None, typer.Option(help="Only this node's.")]
Text = Annotated[str | None, typer.Option(help="Only lines that contain this.")]

ENDED = ("completed", "failed", "cancelled")


@app.command()
@reported
def start(
    flow: Flow,
    inputs: Inputs = None,
    revision: Annotated[int | None, typer.Option(min=1, help="Default: the newest.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="name=value; may be repeated.")] = None,
    wait: Annotated[str | None, typer.Option(help="Wait for the result for this time, like 20s.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Watch it live until it ends.")] = False,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="The same key starts one run.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Start a run of a flow."""
    from flowrunner.cli.inputs import read_input
    from flowrunner.cli.remote.client import connect

    if wait is not None and watch:
        raise UsageError("--wait and --watch exclude each other")
    wish: dict[str, Any] = {"input": read_input(inputs or []), "labels": _labels(label or [])}
    if revision is not None:
        wish["revision"] = revision
    with connect(profile) as client:
        run = start_run(client, flow, wish, wait=wait, key=key)
        raise typer.Exit(_show_started(client, run, watching=watch, waited=wait is not None, as_json=json))


@app.command("list")
@reported
def list_runs(
    flow: Annotated[
        str | None, typer.Option(help="Only of this flow, by name or id.", autocompletion=complete_flow)
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(help="queued, running, waiting, completed, failed or cancelled; may be repeated."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Started at or after, like 2026-11-21T08:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Started before.")] = None,
    limit: Limit = 50,
    every: Every = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Find runs, newest first."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import duration, moment, percent, show_list

    with connect(profile) as client:
        wanted = None if flow is None else flow_id(client, flow)
        found = collect(client, "/v1/runs", limit, every=every, flow=wanted, status=status, since=since, until=until)
    columns = (
        ("ID", "id"),
        ("FLOW", "flow.name"),
        ("REV", "flow.revision"),
        ("STATUS", "status"),
        ("PROGRESS", "progress", percent),
        ("STARTED", "started_at", moment),
        ("TOOK", "duration_ms", duration),
        ("BY", "started_by"),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def get(run: Run, json: Json = False, profile: Profile = None) -> None:
    """Show a run: how it stands, its input, its output."""
    show_run(run, as_json=json, profile=profile)


@app.command()
@reported
def steps(run: Run, limit: Limit = 100, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List the attempts of a run's steps, in order."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import duration, moment, show_list

    with connect(profile) as client:
        found = collect(client, at("/v1/runs/{}/steps", run), limit, every=every)
    columns = (
        ("STEP", "id"),
        ("STATUS", "status"),
        ("ATTEMPT", "attempt"),
        ("ACTION", "action"),
        ("STARTED", "started_at", moment),
        ("TOOK", "duration_ms", duration),
        ("ERROR", "error.message"),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def step(
    run: Run,
    step: Step,
    attempt: Annotated[int | None, typer.Option(min=1, help="Default: the last.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Show a step with its input and output."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import as_json_text, duration, moment, show_fields

    with connect(profile) as client:
        found = client.get(at("/v1/runs/{}/steps/{}", run, step), attempt=attempt)
    columns = (
        ("step", "id"),
        ("node", "node"),
        ("status", "status"),
        ("attempt", "attempt"),
        ("action", "action"),
        ("started", "started_at", moment),
        ("took", "duration_ms", duration),
        ("error", "error.message"),
        ("code", "error.code"),
        ("waits until", "wait.until", moment),
        ("waits for run", "wait.run"),
        ("asks", "wait.data.message"),
        ("input", "input", as_json_text),
        ("output", "output", as_json_text),
        ("vars", "vars", lambda found: as_json_text(found or None)),
        ("lost", "lost"),
    )
    show_fields(found, columns, as_json=json)


@app.command()
@reported
def logs(
    run: Run,
    follow: Follow = False,
    node: Node = None,
    level: Level = None,
    text: Text = None,
    limit: Limit = 1000,
    every: Every = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Print what the steps of a run said; with -f until it ends, whose outcome is the exit code."""
    from flowrunner.cli.remote.run_logs import LogOptions, show_logs

    wanted = LogOptions(node, level, text, limit, every)
    raise typer.Exit(show_logs(run, wanted, following=follow, as_json=json, profile=profile))


@app.command("watch")
@reported
def watch_run(run: Run, json: Json = False, profile: Profile = None) -> None:
    """Watch a run live until it ends; its outcome is the exit code."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.watching import watch

    with connect(profile) as client:
        raise typer.Exit(watch(client, client.get(at("/v1/runs/{}", run)), as_json=json))


@app.command()
@reported
def events(
    run: Run,
    follow: Follow = False,
    limit: Limit = 1000,
    every: Every = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Print what happened to a run; with -f until it ends, whose outcome is the exit code."""
    from flowrunner.cli.remote.run_logs import show_events

    raise typer.Exit(show_events(run, limit, every=every, following=follow, as_json=json, profile=profile))


@app.command()
@reported
def cancel(
    run: Run,
    reason: Annotated[str | None, typer.Option(help="Shown with the run.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Stop a run: no further step starts."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = client.post(at("/v1/runs/{}/cancel", run), {"reason": reason} if reason else None)
    say(f"run {run} is {found['status']}", found, as_json=json)


@app.command()
@reported
def redrive(
    run: Run,
    node: Annotated[str | None, typer.Option("--from", help="Go on from this node.")] = None,
    revision: Annotated[int | None, typer.Option(min=1, help="Go on with this revision of the flow.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Watch it live until it ends.")] = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Go on with a run that has failed or was cancelled; steps that succeeded are kept."""
    from flowrunner.cli.remote.client import at, connect

    wish = {name: value for name, value in (("node", node), ("revision", revision)) if value is not None}
    with connect(profile) as client:
        found = client.post(at("/v1/runs/{}/redrive", run), wish or None)
        raise typer.Exit(_show_started(client, found, watching=watch, waited=False, as_json=json))


@app.command()
@reported
def delete(run: Run, yes: Yes = False, json: Json = False, profile: Profile = None) -> None:
    """Delete a run that has ended, with its steps and events."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    confirm(f"Delete the run {run} with its history?", yes=yes)
    with connect(profile) as client:
        client.send("DELETE", at("/v1/runs/{}", run))
    say(f"deleted {run}", {"id": run, "deleted": True}, as_json=json)


@app.command()
@reported
def signal(
    run: Run,
    step: Step,
    payload: Annotated[str, typer.Argument(help="approve, reject, or a JSON text.")],
    comment: Annotated[str | None, typer.Option(help="With approve and reject.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Answer a step that waits for an approval or a callback."""
    from flowrunner.cli.inputs import read_payload
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    read_payload(payload, comment)  # a mistake is told before anything is asked of the server
    with connect(profile) as client:
        answer = read_payload(payload, comment, client.user)
        client.send("POST", at("/v1/runs/{}/steps/{}/signal", run, step), body={"payload": answer})
    say(f"answered {step}", {"id": run, "step": step, "answered": True}, as_json=json)


def start_run(
    client: Client, flow: str, wish: dict[str, Any], *, wait: str | None = None, key: str | None = None
) -> dict[str, Any]:
    """Start a run once, even if answers get lost on the way. Raises `RemoteError`."""
    from flowrunner.cli.remote.client import at

    path = at("/v1/flows/{}/runs", flow_id(client, flow))
    headers = {"Idempotency-Key": key or secrets.token_hex(16)}
    run: dict[str, Any] = client.send("POST", path, query={"wait": wait}, body=wish, headers=headers).json()
    return run


def show_run(run: str, *, as_json: bool, profile: str | None) -> None:
    """Show one run."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import as_json_text, dollars, duration, moment, percent, show_fields

    with connect(profile) as client:
        found = client.get(at("/v1/runs/{}", run))
    columns = (
        ("run", "id"),
        ("flow", "flow.name"),
        ("revision", "flow.revision"),
        ("status", "status"),
        ("progress", "progress", percent),
        ("current", "current_nodes"),
        ("attempt", "attempt"),
        ("started by", "started_by"),
        ("started", "started_at", moment),
        ("ended", "ended_at", moment),
        ("took", "duration_ms", duration),
        ("cost", "estimated_cost_usd", dollars),
        ("labels", "labels"),
        ("error", "error.message"),
        ("code", "error.code"),
        ("at node", "error.node"),
        ("input", "input", as_json_text),
        ("output", "output", as_json_text),
        ("lost", "lost"),
    )
    show_fields(found, columns, as_json=as_json)


def _show_started(client: Client, run: dict[str, Any], *, watching: bool, waited: bool, as_json: bool) -> int:
    from flowrunner.cli.lines import reason
    from flowrunner.cli.remote.output import print_json
    from flowrunner.cli.remote.watching import exit_of, print_result, watch

    if watching:
        return watch(client, run, as_json=as_json)
    if waited and run["status"] in ENDED:
        if run["error"] and not as_json:
            print(f"{run['status']}: {reason(run['error'])}", file=sys.stderr)
        print_result(run, as_json=as_json)
        return exit_of(run["status"])
    if as_json:
        print_json(run)
    else:
        hint = "look at it: flowrunner runs get" if run["status"] in ENDED else "watch it: flowrunner runs watch"
        print(f"run {run['id']} is {run['status']}; {hint} {run['id']}", file=sys.stderr)
        print(run["id"])
    return 0


def _labels(texts: list[str]) -> dict[str, str]:
    labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--label {text[:60]}: write it as name=value")
        labels[name] = value
    return labels
