"""Runs and steps as JSON documents."""

from __future__ import annotations

from datetime import UTC, datetime

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.engine import Engine, RunResult
from flowrunner.engine.records import Attempt


def run_document(result: RunResult) -> dict[str, Json]:
    """`{run_id, status, output, error}`."""
    return {"run_id": result.id, "status": result.status, "output": result.output, "error": result.error}


def step_documents(engine: Engine, account: AccountId, run: RunId) -> list[dict[str, Json]]:
    """Each step of a run once, in the order scheduled, with its last attempt's result."""
    steps: dict[str, list[Attempt]] = {}
    for attempt in engine.steps(account, run):
        steps.setdefault(attempt.step, []).append(attempt)
    return [_step(engine, account, run, attempts) for attempts in steps.values()]


def _step(engine: Engine, account: AccountId, run: RunId, attempts: list[Attempt]) -> dict[str, Json]:
    last = attempts[-1]
    return {
        "step_id": last.label,
        "node": last.node,
        "status": last.status.value,
        "action": last.action,
        "attempts": len(attempts),
        "output": engine.value(account, run, last.output),
        "error": last.error,
        "started_at": moment(attempts[0].started_at),
        "finished_at": moment(last.ended_at),
    }


def moment(millis: int) -> str | None:
    """A time as RFC 3339 in UTC; None for none."""
    if not millis:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
