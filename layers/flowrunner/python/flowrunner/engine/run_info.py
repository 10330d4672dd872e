"""What steps are told of the run that they belong to."""

from __future__ import annotations

import base64
import hashlib

from flowrunner.core.state import State
from flowrunner.engine.records import RunFacts
from flowrunner.nodes.base import RunInfo
from flowrunner.ports.runs import RunRow


def run_info(row: RunRow, facts: RunFacts, state: State, step: str) -> RunInfo:
    """What `step` is told."""
    return RunInfo(
        id=row.id,
        account=row.account,
        flow=row.flow,
        revision=row.revision,
        attempt=state.attempt,
        started_at=state.started_at,
        idempotency_key=idempotency_key(row.id, step),
        depth=facts.depth,
    )


def idempotency_key(run: str, step: str) -> str:
    """The key that what a step does to the outside carries: the same on every re-execution, unlike any other step's.

    Base32 of SHA-256, lower case: 52 characters that every header, file name and database takes.
    """
    digest = hashlib.sha256(f"{run}|{step}".encode()).digest()
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()
