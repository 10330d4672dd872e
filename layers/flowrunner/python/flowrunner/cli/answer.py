"""`flowrunner answer`: what a person says to a step that waits."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

from flowrunner.bootstrap import LOCAL_ACCOUNT
from flowrunner.cli.engines import engine_for, settings_for
from flowrunner.cli.exits import UsageError
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId


def answer_step(
    run: str, step: str, payload: str, comment: str | None, store: str | None, config_file: Path | None
) -> None:
    """Put the answer into the store; whoever works on the run takes it up. Raises `NotFound` or `Conflict`."""
    with engine_for(settings_for(config_file, store=store)) as engine:
        engine.control.signal(AccountId(LOCAL_ACCOUNT), RunId(run), step, _payload(payload, comment))
    print(f"answered {step}")


def _payload(text: str, comment: str | None) -> Json:
    if text in ("approve", "reject"):
        return {"approved": text == "approve", "by": getpass.getuser(), "comment": comment}
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"the answer is approve, reject, or a JSON text: {error.msg} (column {error.colno})") from None
