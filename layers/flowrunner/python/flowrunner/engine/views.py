"""Runs as this worker knows them: decoded once, kept while it works on them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.heads import read_run
from flowrunner.engine.outcome import RunView
from flowrunner.engine.programs import Programs
from flowrunner.errors import FlowrunnerError, InvalidInput, NotFound, UnreadableRun
from flowrunner.ports.queue import Receipt
from flowrunner.ports.runs import RunRow, RunStore

_log = logging.getLogger(__name__)

CACHE_BYTES = 32 * 1024 * 1024
DECODED_FACTOR = 8
"""How much larger a decoded head is than its text, roughly; for the cache's bound only."""

BROKEN_RETRY: Millis = 60_000
"""When to look again at a run that this process cannot read, or whose flow it cannot load (a plugin that it lacks)."""


class Views:
    """Views by run. A kept one may be old; whoever commits finds out, drops it and gets it anew."""

    def __init__(self, runs: RunStore, programs: Programs) -> None:
        self._runs = runs
        self._programs = programs
        self._cache: SizedCache[tuple[str, str], RunView] = SizedCache(CACHE_BYTES)

    def get(self, receipts: Iterable[Receipt]) -> dict[tuple[AccountId, RunId], RunView | FlowrunnerError | None]:
        """The views of the runs that `receipts` name, those not kept in one read.

        None stands for a run that is gone, an error for one that this process cannot read or whose flow it cannot load.
        """
        found: dict[tuple[AccountId, RunId], RunView | FlowrunnerError | None] = {}
        missing: dict[tuple[AccountId, RunId], None] = {}
        for receipt in receipts:
            key = (receipt.account, receipt.run)
            if key in found or key in missing:
                continue
            view = self._cache.get(key)
            if view is None:
                missing[key] = None
            else:
                found[key] = view
        if missing:
            for key, row in zip(missing, self._runs.load(list(missing)), strict=True):
                found[key] = self._read(row) if row is not None else None
        return found

    def keep(self, view: RunView) -> None:
        """Keep a run that goes on; of one that is over at most late results come."""
        key = (view.row.account, view.row.id)
        if view.state.status.over and not view.state.frontier:
            self._cache.drop(key)
            return
        self._cache.put(key, view, len(view.row.head) * DECODED_FACTOR + 2_000)

    def drop(self, receipt: Receipt) -> None:
        self._cache.drop((receipt.account, receipt.run))

    def clear(self) -> None:
        self._cache = SizedCache(CACHE_BYTES)

    def _read(self, row: RunRow) -> RunView | FlowrunnerError:
        try:
            view = read_view(row, self._programs)
        except (NotFound, InvalidInput) as error:
            return error
        except UnreadableRun as error:
            _log.warning("%s", error, extra={"account": row.account, "run": row.id})
            return error
        self.keep(view)
        return view


def read_view(row: RunRow, programs: Programs) -> RunView:
    """A stored run, decoded. Raises `UnreadableRun`, and `NotFound` or `InvalidFlow` when its flow cannot be had."""
    program = programs.get(row.account, row.flow, row.revision)
    return RunView(row, *read_run(row), program)
