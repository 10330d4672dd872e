"""`flowrunner destroy`: the way back. Data stays unless it is asked for by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from flowrunner.cli.deploy import connect
from flowrunner.cli.deploy_report import say
from flowrunner.cli.exits import ExitCode, UsageError
from flowrunner.cli.remote.options import confirm
from flowrunner.cli.remote.output import print_json
from flowrunner.cli.remote.watching import INTERRUPTED
from flowrunner.errors import NotFound
from flowrunner.ports.installer import DATA, PART_TAG, Found


@dataclass(frozen=True, slots=True)
class DestroyOptions:
    """The options of the command, as given."""

    stage: str
    name: str
    region: str | None
    profile: str | None
    role: str
    delete_data: bool
    confirm: str | None
    dry_run: bool
    yes: bool
    json: bool


def run_destroy(options: DestroyOptions, wait: Callable[[float], object] | None = None) -> int:
    """Delete the stacks of a stage. Raises `NotFound`, `UsageError`, `DeploymentFailed`."""
    installer = connect(options.region, options.profile, options.role, wait)
    everything = installer.deployed(options.name, options.stage)
    doomed = [one for one in everything if options.delete_data or one.tags.get(PART_TAG) != DATA]
    kept = [one.name for one in everything if one not in doomed]
    if not everything:
        raise NotFound(f"there is no stage {options.stage} of {options.name} in {installer.place.region}")
    _show(doomed, kept, delete_data=options.delete_data)
    if options.dry_run:
        say("a dry run: nothing was changed")
        return ExitCode.OK
    _ask(options, doomed)
    try:
        installer.destroy(doomed, with_data=options.delete_data)
    except KeyboardInterrupt:
        say("interrupted: what CloudFormation has begun goes on; the same command goes on from there")
        return INTERRUPTED
    if options.json:
        print_json({"deleted": [one.name for one in doomed], "kept": kept})
    return ExitCode.OK


def _show(doomed: list[Found], kept: list[str], *, delete_data: bool) -> None:
    for stack in doomed:
        say(f"- {stack.name}")
    for name in kept:
        say(f"  {name} stays: flows, runs, secrets and their key are in it; --delete-data takes it, too")
    if delete_data:
        say("with all flows, runs, secrets and accounts, and the key that backups of them need")


def _ask(options: DestroyOptions, doomed: list[Found]) -> None:
    """A yes for what can be deployed again; the stage's name, typed, for what cannot."""
    if not doomed:
        return
    if not options.delete_data:
        confirm(f"Delete {len(doomed)} stacks?", yes=options.yes)
        return
    typed = options.confirm
    if typed is None:
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to confirm that data is deleted", hint="--confirm STAGE does")
        typed = input(f"Type the name of the stage, {options.stage}, to delete its data for ever: ")
    if typed.strip() != options.stage:
        raise UsageError("that is not the name of the stage; nothing was done")
