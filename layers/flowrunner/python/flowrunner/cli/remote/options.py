"""Options that many commands have."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flowrunner.cli.exits import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="Entries at most.")]
Every = Annotated[bool, typer.Option("--all", help="All entries, however many.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def complete_profile(incomplete: str) -> list[str]:
    """Names of profiles, for the shell."""
    from flowrunner.cli.remote.profiles import load_profiles, profiles_file
    from flowrunner.errors import FlowrunnerError

    try:
        known = load_profiles(profiles_file(os.environ)).known
    except FlowrunnerError:
        return []
    return [name for name in sorted(known) if name.startswith(incomplete)]


def complete_flow(incomplete: str) -> list[str]:
    """Names of flows on the server, for the shell: the first hundred, and none if it does not answer at once."""
    from flowrunner.cli.remote.client import COMPLETION, connect
    from flowrunner.errors import FlowrunnerError

    try:
        with connect(None, COMPLETION) as client:
            page = client.get("/v1/flows", limit=100, q=incomplete)
    except FlowrunnerError:
        return []
    return [name for name in (one["name"] for one in page["items"]) if name.startswith(incomplete)]


Profile = Annotated[
    str | None,
    typer.Option("--profile", help="The profile of the server; see login.", autocompletion=complete_profile),
]
Flow = Annotated[str, typer.Argument(help="The flow's name or id.", autocompletion=complete_flow)]
Run = Annotated[str, typer.Argument(help="The run's id.")]


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. Raises `UsageError` without a yes, or without anybody to ask."""
    import sys

    from flowrunner.cli.exits import escape

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} nobody is here to say yes", hint="--yes says it")
    if not typer.confirm(escape(question), err=True):
        raise UsageError("nothing was done")
