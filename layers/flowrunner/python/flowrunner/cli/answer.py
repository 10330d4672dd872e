"""`flowrunner answer`: what a person says to a step that waits."""

from __future__ import annotations

import getpass
from pathlib import Path

from flowrunner.bootstrap import LOCAL_ACCOUNT
from flowrunner.cli.engines import engine_for, settings_for
from flowrunner.cli.inputs import read_payload
from flowrunner.core.ids import AccountId, RunId


def answer_step(
    run: str, step: str, payload: str, comment: str | None, store: str | None, config_file: Path | None
) -> None:
    """Put the answer into the store; whoever works on the run takes it up. Raises `NotFound` or `Conflict`."""
    with engine_for(settings_for(config_file, store=store)) as engine:
        engine.control.signal(
            AccountId(LOCAL_ACCOUNT), RunId(run), step, read_payload(payload, comment, getpass.getuser())
        )
    print(f"answered {step}")
