"""`flowrunner flows`: documents on a server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowrunner.cli.exits import ExitCode, RemoteError, UsageError, escape, read_flow_file, reported
from flowrunner.cli.remote.options import Every, Flow, Json, Limit, Profile, Yes, confirm

if TYPE_CHECKING:
    from flowrunner.cli.remote.client import Client

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Flows on a server.")

File = Annotated[Path, typer.Argument(help="A flow in YAML or JSON; - for standard input.")]
Named = Annotated[str, typer.Argument(help="The flow's name, as in its document.")]
NamedFile = Annotated[Path, typer.Option("--file", "-f", help="A flow in YAML or JSON; - for standard input.")]
Draft = Annotated[bool, typer.Option("--draft", help="Store it without putting its triggers into service.")]
Search = Annotated[str | None, typer.Option("--search", "-q", help="Looked for in names, descriptions and labels.")]
Label = Annotated[list[str] | None, typer.Option("--label", help="name=value or name; may be repeated.")]
Status = Annotated[str | None, typer.Option("--status", help="draft, active or archived.")]

COLUMNS = (
    ("NAME", "name"),
    ("STATUS", "status"),
    ("REV", "revision"),
    ("TRIGGERS", "triggers"),
    ("LABELS", "labels"),
    ("UPDATED", "updated_at"),
    ("ID", "id"),
)
FEW_FLOWS = 5
"""Flows whose names are asked for one by one; for more, all names are."""
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def flow_id(client: Client, text: str) -> str:
    """The id of a flow that was given by its id or its name. Raises `RemoteError`."""
    if _ID.fullmatch(text):
        return text
    items = client.get("/v1/flows", name=text)["items"]
    if not items:
        raise RemoteError(f"there is no flow {text!r} on {client.server}", ExitCode.NOT_FOUND)
    found: str = items[0]["id"]
    return found


@app.command()
@reported
def create(file: File, draft: Draft = False, json: Json = False, profile: Profile = None) -> None:
    """Store a new flow; its document names it."""
    create_flow(None, file, draft=draft, as_json=json, profile=profile)


@app.command("list")
@reported
def list_flows(
    search: Search = None,
    label: Label = None,
    status: Status = None,
    limit: Limit = 50,
    every: Every = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Find flows."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, show_list

    with connect(profile) as client:
        found = collect(client, "/v1/flows", limit, every=every, q=search, label=label, status=status)
    columns = [(*column, moment) if column[0] == "UPDATED" else column for column in COLUMNS]
    show_list(found, columns, as_json=json)


@app.command()
@reported
def get(
    flow: Flow,
    revision: Annotated[int | None, typer.Option(min=1, help="Default: the newest.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the document to this file.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Print a flow's document as its author wrote it; with --json the flow and all that is known of it."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import print_json

    with connect(profile) as client:
        path = at("/v1/flows/{}", flow_id(client, flow))
        found = client.get(path if revision is None else f"{path}/revisions/{revision}")
    if output is not None:
        _write(output, found["document"])
    elif json:
        print_json(found)
    elif sys.stdout.isatty():
        print(escape(found["document"]), end="")
    else:
        sys.stdout.buffer.write(found["document"].encode())
        sys.stdout.flush()


@app.command()
@reported
def update(
    flow: Flow,
    file: NamedFile,
    revision: Annotated[
        int | None, typer.Option(min=1, help="The revision that you have seen; refused if there is a newer one.")
    ] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Store a new revision of a flow. Runs that are under way stay on theirs."""
    from flowrunner.cli.remote.client import at, connect

    text = read_flow_file(file)
    headers = {} if revision is None else {"If-Match": f'"{revision}"'}
    with connect(profile) as client:
        path = at("/v1/flows/{}", flow_id(client, flow))
        answer = client.send("PUT", path, content=text, headers={"Content-Type": _kind(text), **headers})
    _saved(answer.json(), as_json=json)


@app.command()
@reported
def delete(
    flow: Flow,
    force: Annotated[bool, typer.Option(help="Cancel its live runs.")] = False,
    yes: Yes = False,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Delete a flow with its revisions and runs."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = flow_id(client, flow)
        confirm(f"Delete the flow {flow} with its revisions and runs?", yes=yes)
        client.send("DELETE", at("/v1/flows/{}", found), query={"force": True if force else None})
    say(f"deleted {flow}", {"id": found, "deleted": True}, as_json=json)


@app.command()
@reported
def diff(
    flow: Flow,
    old: Annotated[int | None, typer.Option("--from", min=1, help="Default: the one before --to.")] = None,
    new: Annotated[int | None, typer.Option("--to", min=1, help="Default: the newest.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Show what is different between two revisions."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import print_json

    with connect(profile) as client:
        path = at("/v1/flows/{}", flow_id(client, flow))
        newer = new or client.get(path)["revision"]
        older = old or newer - 1
        if older < 1:
            raise UsageError("the flow has one revision, which there is nothing to compare with")
        found = client.get(f"{path}/diff", **{"from": older, "to": newer})
    if json:
        print_json(found)
    elif found["text"]:
        print(escape(found["text"].rstrip("\n")))
    else:
        print("no difference", file=sys.stderr)


@app.command()
@reported
def archive(flow: Flow, json: Json = False, profile: Profile = None) -> None:
    """Take a flow out of service: nothing starts it any more, and all is kept."""
    _turn(flow, "archive", as_json=json, profile=profile)


@app.command()
@reported
def activate(flow: Flow, json: Json = False, profile: Profile = None) -> None:
    """Put a draft or archived flow into service."""
    _turn(flow, "activate", as_json=json, profile=profile)


@app.command()
@reported
def revisions(flow: Flow, limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List the revisions of a flow, newest first."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, show_list

    with connect(profile) as client:
        path = at("/v1/flows/{}/revisions", flow_id(client, flow))
        found = collect(client, path, limit, every=every)
    columns = (("REV", "revision"), ("CREATED", "created_at", moment), ("HASH", "hash"))
    show_list(found, columns, as_json=json)


@app.command()
@reported
def validate(file: File, json: Json = False, profile: Profile = None) -> None:
    """Let the server check a flow: against its plugins and secrets, too."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import print_json
    from flowrunner.cli.remote.refusals import problem_lines

    text = read_flow_file(file)
    with connect(profile) as client:
        verdict = client.send("POST", "/v1/flows/validate", content=text, headers={"Content-Type": _kind(text)}).json()
    if json:
        print_json(verdict)
    else:
        for severity in ("error", "warning"):
            for line in problem_lines(verdict[f"{severity}s"]):
                print(f"{file}: {severity}: {escape(line)}", file=sys.stderr)
        if verdict["valid"]:
            print(f"{file}: valid")
    raise typer.Exit(ExitCode.OK if verdict["valid"] else ExitCode.INVALID)


def create_flow(name: str | None, file: Path, *, draft: bool, as_json: bool, profile: str | None) -> None:
    """Store a new flow; with `name` only if the document has that name. Raises `UsageError`, `RemoteError`."""
    from flowrunner.cli.remote.client import connect

    text = read_flow_file(file)
    if name is not None:
        _check_name(text, name)
    query = {"status": "draft" if draft else None}
    with connect(profile) as client:
        answer = client.send("POST", "/v1/flows", query=query, content=text, headers={"Content-Type": _kind(text)})
    _saved(answer.json(), as_json=as_json)


def with_flow_names(client: Client, things: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Things with the names of their flows as `flow`; their ids, if names may not be read."""
    from flowrunner.cli.remote.client import at
    from flowrunner.cli.remote.lists import collect

    ids = sorted({one["flow_id"] for one in things if one.get("flow_id")})
    try:
        if len(ids) <= FEW_FLOWS:
            found = [client.get(at("/v1/flows/{}", id)) for id in ids]
        else:
            found = collect(client, "/v1/flows", 1, every=True).items
    except RemoteError as error:
        if error.status not in (403, 404):
            raise
        found = []
    names = {one["id"]: one["name"] for one in found}
    return [{**one, "flow": names.get(one.get("flow_id"), one.get("flow_id"))} for one in things]


def _check_name(text: bytes, name: str) -> None:
    """Raises `UsageError` when the document has another name; what is no document is the server's to explain."""
    import yaml

    try:
        document = yaml.safe_load(text)
        written = document["metadata"]["name"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        return
    if written != name:
        raise UsageError(
            f"the document is called {str(written)[:100]!r}, not {name!r}",
            hint="a flow's name stands in its document, under metadata.name",
        )


def _turn(flow: str, action: str, *, as_json: bool, profile: str | None) -> None:
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = client.post(at(f"/v1/flows/{{}}/{action}", flow_id(client, flow)))
    say(f"{found['name']} is {found['status']}", found, as_json=as_json)


def _saved(flow: dict[str, Any], *, as_json: bool) -> None:
    from flowrunner.cli.remote.output import say
    from flowrunner.cli.remote.refusals import problem_lines

    if not as_json:
        for line in problem_lines(flow["warnings"]):
            print(f"warning: {escape(line)}", file=sys.stderr)
    text = f"{flow['name']} has revision {flow['revision']} and is {flow['status']} ({flow['id']})"
    say(text, flow, as_json=as_json)


def _kind(text: bytes) -> str:
    """The content type. YAML unless it is JSON, of which the server knows the rules better than a YAML reader."""
    if text.lstrip()[:1] != b"{":
        return "application/yaml"
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "application/yaml"
    return "application/json"


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
    print(f"wrote {file}", file=sys.stderr)
