"""`flowrunner profiles`: which servers are known here."""

from __future__ import annotations

from typing import Annotated

import typer

from flowrunner.cli.exits import reported
from flowrunner.cli.remote.options import Json, complete_profile

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The servers that are known on this machine.")

Name = Annotated[str, typer.Argument(help="The profile.", autocompletion=complete_profile)]


@app.command("list")
@reported
def list_all(json: Json = False) -> None:
    """List the profiles; * marks the one in use."""
    from flowrunner.cli.remote.login import list_profiles

    list_profiles(as_json=json)


@app.command()
@reported
def use(name: Name, json: Json = False) -> None:
    """Use this profile from now on."""
    from flowrunner.cli.remote.login import use_profile

    use_profile(name, as_json=json)


@app.command()
@reported
def remove(name: Name, json: Json = False) -> None:
    """Forget a profile; logout also revokes its token."""
    from flowrunner.cli.remote.login import remove_profile

    remove_profile(name, as_json=json)
