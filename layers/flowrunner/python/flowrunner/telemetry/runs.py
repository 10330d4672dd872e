"""What the log says about runs: what an operator looks for when somebody quotes a run or a correlation id."""

from __future__ import annotations

import logging
from typing import Any

from flowrunner.core.status import RunStatus
from flowrunner.engine.records import Attempt
from flowrunner.engine.watch import Change
from flowrunner.ports.runs import RowStatus

CORRELATION_LABEL = "correlation_id"
"""The label of a run that names the request which started it."""

log = logging.getLogger("flowrunner.runs")

LEVELS = {RunStatus.COMPLETED: logging.INFO, RunStatus.CANCELLED: logging.INFO, RunStatus.FAILED: logging.WARNING}


def log_run(change: Change) -> None:
    """Write down what a commit is about. For `Watchers.watch_all`."""
    if change.started is not None or not log.isEnabledFor(logging.WARNING):
        return
    if change.created:
        _say(change, logging.INFO, "run started", started_by=change.view.facts.started_by)
    for attempt in change.attempts:
        _log_attempt(change, attempt)
    if change.ended:
        facts = _error(change.state.error or {})
        if change.attempts:
            facts["took_ms"] = max(one.ended_at for one in change.attempts) - change.view.row.created_at
        _say(change, LEVELS.get(change.state.status, logging.INFO), f"run {change.state.status}", **facts)


def retried(change: Change, attempt: Attempt) -> bool:
    """Whether the policy tries again after this attempt."""
    entry = change.state.frontier.get(attempt.step)
    return entry is not None and entry.attempt > attempt.attempt


def _log_attempt(change: Change, attempt: Attempt) -> None:
    facts = {"node": attempt.node, "attempt": attempt.attempt, "took_ms": attempt.ended_at - attempt.started_at}
    match attempt.status:
        case RowStatus.FAILED:
            again = retried(change, attempt)
            words = "step failed, retrying" if again else "step failed"
            _say(change, logging.WARNING, words, attempt, **facts, **_error(attempt.error or {}))
        case RowStatus.SUCCEEDED:
            _say(change, logging.DEBUG, "step succeeded", attempt, **facts)
        case RowStatus.WAITING:
            _say(change, logging.DEBUG, "step waits", attempt, node=attempt.node)
        case _:
            return


def _say(change: Change, level: int, words: str, attempt: Attempt | None = None, /, **data: Any) -> None:
    if not log.isEnabledFor(level):
        return
    view = change.view
    extra: dict[str, Any] = {
        "account": view.row.account,
        "flow": view.row.flow,
        "run": view.row.id,
        "correlation": view.facts.labels.get(CORRELATION_LABEL, ""),
        "data": {"flow_name": view.row.flow_name, **data},
    }
    if attempt is not None:
        extra["step"] = attempt.label
    log.log(level, words, extra=extra)


def _error(error: Any) -> dict[str, Any]:
    """Code and message; the engine has masked secrets in both."""
    return {"code": error.get("code"), "error": error.get("message")} if error else {}
