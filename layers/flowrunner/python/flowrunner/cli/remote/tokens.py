"""`flowrunner tokens`: API tokens, shown once."""

from __future__ import annotations

from typing import Annotated

import typer

from flowrunner.cli.exits import escape, option, reported
from flowrunner.cli.remote.options import Every, Json, Limit, Profile

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="API tokens.")


@app.command("list")
@reported
def list_tokens(limit: Limit = 50, every: Every = False, json: Json = False, profile: Profile = None) -> None:
    """List your tokens; for an owner, the account's."""
    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.lists import collect
    from flowrunner.cli.remote.output import few, moment, show_list

    with connect(profile) as client:
        found = collect(client, "/v1/tokens", limit, every=every)
    columns = (
        ("ID", "id"),
        ("NAME", "name"),
        ("SCOPES", "scopes", few),
        ("EXPIRES", "expires_at", lambda at: moment(at) or "never"),
        ("LAST USED", "last_used", moment),
    )
    show_list(found, columns, as_json=json)


@app.command()
@reported
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str], typer.Option("--scope", "-s", help="Like flows:read, of those that whoami lists; may be repeated.")
    ],
    expires_in: Annotated[str | None, typer.Option(help="Like 90d; default: it does not expire.")] = None,
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Make a token and print it, this once."""
    import sys

    from flowrunner.cli.remote.client import connect
    from flowrunner.cli.remote.output import print_json
    from flowrunner.core.durations import parse_duration

    wish = {"name": name, "scopes": scope}
    if expires_in is not None:
        wish["expires_in_ms"] = option(expires_in, "expires-in", parse_duration)
    with connect(profile) as client:
        made = client.post("/v1/tokens", wish)
    if json:
        print_json(made)
        return
    print(escape(f"token {made['name']} ({made['id']}); it is not shown again:"), file=sys.stderr)
    print(escape(made["token"]))


@app.command()
@reported
def revoke(
    token: Annotated[str, typer.Argument(help="The token's id, which is not the token.")],
    json: Json = False,
    profile: Profile = None,
) -> None:
    """Revoke a token; it is refused from now on."""
    from flowrunner.cli.remote.client import at, connect
    from flowrunner.cli.remote.output import say

    with connect(profile) as client:
        client.send("DELETE", at("/v1/tokens/{}", token))
    say(f"revoked {token}", {"id": token, "revoked": True}, as_json=json)
