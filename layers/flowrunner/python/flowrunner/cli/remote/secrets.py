"""`flowrunner secrets`: values go in and never come out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowrunner.cli.exits import UsageError, escape, read_flow_file, reported
from flowrunner.cli.remote.options import Every, Json, Limit, Profile, Yes, confirm

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Secrets on a server; values never come out.")

Key = Annotated[str, typer.Argument(help="The secret's name, as in ${secrets.NAME}.")]


@app.command("set")
@reported
def set_secret(key: Key, json: Json = False, profile: Profile = None) -> None:
    """Set a secret. Its value is asked for, or read from standard input; it is never an argument."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say
    from flowrunner.cli.remote.secret_text import read_secret

    with connect(profile) as client:
        value = read_secret("value", ask=f"value of {escape(key)}", whole=True)
        found = client.send("PUT", at("/v1/secrets/{}", key), body={"value": value}).json()
    say(f"set {found['key']} (version {found['version']})", found, as_json=json)


@app.command("list")
@reported
def list_secrets(limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List the secrets: names and times, no values."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, show_list

    with connect(profile) as client:
        found = collect(client, "/v1/secrets", limit, every=every)
    columns = (
        ("KEY", "key"),
        ("VERSION", "version"),
        ("UPDATED", "updated_at", moment),
        ("LAST USED", "used_at", moment),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def delete(key: Key, yes: Yes = False, json: Json = False, profile: Profile = None) -> None:
    """Delete a secret; steps that need it fail from now on."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    confirm(f"Delete the secret {key}?", yes=yes)
    with connect(profile) as client:
        client.send("DELETE", at("/v1/secrets/{}", key))
    say(f"deleted {key}", {"key": key, "deleted": True}, as_json=json)


@app.command("import")
@reported
def import_secrets(
    file: Annotated[Path, typer.Argument(help="A dotenv or JSON file; - for standard input.")],
    kind: Annotated[str | None, typer.Option("--format", help="dotenv or json; default: json for *.json.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Set all secrets of a file, or none if anything is wrong with it."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import say, words

    wanted = kind or ("json" if file.suffix == ".json" else "dotenv")
    if wanted not in ("dotenv", "json"):
        raise UsageError(f"--format {wanted[:20]}: choose dotenv or json")
    try:
        text = read_flow_file(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text (byte {error.start})") from None
    with connect(profile) as client:
        found = client.post("/v1/secrets/import", {"text": text, "format": wanted})
    say(
        f"created: {words(found['created']) or 'none'}; updated: {words(found['updated']) or 'none'}",
        found,
        as_json=json,
    )


@app.command("export-names")
@reported
def export_names(json: Json = False, profile: Profile = None) -> None:
    """Print the names of all secrets as an empty dotenv file, for another server."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import print_json

    with connect(profile) as client:
        names = [one["key"] for one in collect(client, "/v1/secrets", 1, every=True).items]
    if json:
        print_json({"names": names})
        return
    for name in names:
        print(f"{escape(name)}=")


@app.command()
@reported
def rotate(json: Json = False, profile: Profile = None) -> None:
    """Encrypt all secrets under a new key; it may be cut off and done again."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        found = client.post("/v1/secrets/rotate")
    failed = f"; {found['failed']} cannot be decrypted" if found["failed"] else ""
    key = f"made the key {found['key']}" if found["added"] else f"the key {found['key']} is young, and stays in use"
    say(f"{key}; encrypted anew: {found['resealed']}{failed}", found, as_json=json)
