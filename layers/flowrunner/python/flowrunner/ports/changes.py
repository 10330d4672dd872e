"""What a store tells of runs afterwards, in the order of each run and at least once: the stream of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.ports.runs import RunRow, StepRow


@dataclass(frozen=True, slots=True)
class RunMoved:
    """One commit of a run.

    `row` is the run as the commit left it, without what never changes (`body`, `flow_name`) and its result; `steps` are
    the attempts that the commit wrote, with its revision if it took their outcome.
    """

    row: RunRow
    at: Millis
    """When it was written, to the second."""
    steps: Sequence[StepRow] = ()
    created: bool = False
    ended: bool = False
    reopened: bool = False
    """By a redrive."""


@dataclass(frozen=True, slots=True)
class StepSpoke:
    """A step under way has said something; nothing was committed."""

    account: AccountId
    run: RunId


class Changes(Protocol):
    """Reads a store's own records of changes."""

    def read(self, record: Mapping[str, Any]) -> RunMoved | StepSpoke | None:
        """What a record is about; None for nothing that concerns runs.

        Raises `StoreError` when a part of it has to be read and cannot be now, and `ValueError` for what is no record.
        """
        ...
