"""`flowrunner modules`: WebAssembly modules on a server, which the node `wasm` runs by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowrunner.cli.exits import read_flow_file, reported
from flowrunner.cli.remote.options import Every, Json, Limit, Profile, Yes, confirm

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="WebAssembly modules on a server.")

Name = Annotated[str, typer.Argument(help="The module's name, as in `module: NAME`.")]


@app.command("put")
@reported
def put(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The .wasm file; - for standard input.")],
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Upload a module, new or in the place of the one of that name."""
    import base64

    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    content = base64.b64encode(read_flow_file(file)).decode("ascii")
    with connect(profile) as client:
        found = client.send("PUT", at("/v1/modules/{}", name), body={"content": content}).json()
    say(f"put {found['name']} ({found['size']:,} bytes, digest {found['digest']})", found, as_json=json)


@app.command("list")
@reported
def list_modules(limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List the modules."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import moment, show_list

    with connect(profile) as client:
        found = collect(client, "/v1/modules", limit, every=every)
    columns = (
        ("NAME", "name"),
        ("BYTES", "size"),
        ("DIGEST", "digest"),
        ("CHANGED", "changed_at", moment),
        ("BY", "changed_by"),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def delete(name: Name, yes: Yes = False, json: Json = False, profile: Profile = None) -> None:
    """Delete a module; steps that name it fail from now on."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    confirm(f"Delete the module {name}?", yes=yes)
    with connect(profile) as client:
        client.send("DELETE", at("/v1/modules/{}", name))
    say(f"deleted {name}", {"name": name, "deleted": True}, as_json=json)
