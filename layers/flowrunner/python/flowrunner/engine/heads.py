"""What is stored of a run, decoded: the one place that knows what to make of a run that cannot be read."""

from __future__ import annotations

import orjson

from flowrunner.core.codec import decode
from flowrunner.core.state import State
from flowrunner.engine.records import RunFacts
from flowrunner.errors import UnreadableRun
from flowrunner.ports.runs import RunRow

BROKEN = (ValueError, LookupError, TypeError, AttributeError)
"""What decoding raises for a format of a newer program, or for something that is damaged."""


def read_head(row: RunRow) -> State:
    """The state of a run. Raises `UnreadableRun`: one run, no reason to stop working on all others."""
    try:
        return decode(orjson.loads(row.head))
    except BROKEN as error:
        raise _unreadable(row, error) from error


def read_run(row: RunRow) -> tuple[RunFacts, State]:
    """What does not change about a run, and its state. Raises `UnreadableRun`."""
    try:
        facts = RunFacts.decode(row.body)
    except BROKEN as error:
        raise _unreadable(row, error) from error
    return facts, read_head(row)


def _unreadable(row: RunRow, error: Exception) -> UnreadableRun:
    return UnreadableRun(f"run {row.id} cannot be read: {error}")
