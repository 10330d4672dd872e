"""Removing accounts for good, in the background, in steps that any process can take up after a crash.

A note in the system's account says what is to be removed and since when; it outlives everything of the account.

    shut the account, cancel its runs, remove what starts new ones (with all that services keep of it)
      →  remove the rest, batch by batch, once no run is live (or after a minute)
      →  look again after a while, for what a worker wrote late  →  remove the note
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import orjson

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.core.status import LIVE
from flowrunner.errors import Conflict, NotFound, UnreadableRun
from flowrunner.ports.backend import Backend
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entity
from flowrunner.ports.history import RunFilter
from flowrunner.services.accounts import ERASURE
from flowrunner.services.installation import SYSTEM
from flowrunner.services.members import Members

LEASE: Millis = 60_000
"""A note is one process's for this long; then another may take it up."""
PATIENCE: Millis = 60_000
"""How long cancelled runs may take to end before they are removed as they are."""
POLL: Millis = 2_000
LATE: Millis = 600_000
"""After this time a last look is taken: no step writes this long after its run is gone."""

NOTES = 10
BATCH = 1_000
BATCHES = 20
"""In one round; the next one goes on at once."""

log = logging.getLogger("flowrunner.erasure")

CancelRun = Callable[[AccountId, RunId], None]
"""Raises `NotFound` or `Conflict` for a run that is gone or over."""


@dataclass(frozen=True, slots=True)
class _Note:
    since: Millis
    emptied_at: Millis | None = None
    """When nothing was left for the first time."""


class Erasure:
    """Removes what `Accounts.delete` has marked."""

    def __init__(self, backend: Backend, members: Members, cancel: CancelRun, clock: Clock) -> None:
        self._backend = backend
        self._entities = backend.entities
        self._members = members
        self._cancel = cancel
        self._clock = clock

    def sweep(self) -> Millis | None:
        """One round: go on with every account whose time has come. Answers when the next one is due."""
        for row in self._entities.due(ERASURE, self._clock.now(), NOTES):
            now = self._clock.now()
            # Whoever moves the note forward has it. A crash gives it to somebody else when the lease is over.
            mine = self._entities.put(replace(row, due=now + LEASE), now, expected_rev=row.rev)
            if mine is not None:
                self._go_on(mine)
        return self._entities.next_due(ERASURE)

    def _go_on(self, row: Entity) -> None:
        account, now = AccountId(row.id), self._clock.now()
        body = orjson.loads(row.body) if row.body else {}
        note = _Note(body.get("since", now), body.get("emptied_at"))
        if note.emptied_at is None:
            self._shut(account)
            live = self._live_runs(account)
            if not _emptied(partial(self._entities.delete_account, account, BATCH)):
                self._later(row, note, now)
                return
            if live and now < note.since + PATIENCE:
                self._later(row, note, now + POLL)
                return
        if not _emptied(partial(self._backend.delete_account, account, BATCH)):
            self._later(row, note, now)
        elif note.emptied_at is None:
            self._later(row, replace(note, emptied_at=now), now + LATE)
        elif now < note.emptied_at + LATE:
            self._later(row, note, note.emptied_at + LATE)
        else:
            self._entities.delete(SYSTEM, ERASURE, row.id, expected_rev=row.rev)
            log.info("account removed", extra={"fields": {"account": account}})

    def _shut(self, account: AccountId) -> None:
        """Mark the account: the process that wrote the note may have died before it did."""
        try:
            self._members.change_account(account, lambda found: replace(found, deleting=True))
        except NotFound:
            return

    def _live_runs(self, account: AccountId) -> bool:
        """Cancel the runs that are live; whether there were any."""
        runs = self._backend.history.runs(account, RunFilter(statuses=LIVE, limit=BATCH))
        for run in runs:
            try:
                self._cancel(account, run.id)
            except (Conflict, NotFound, UnreadableRun):
                continue  # over, gone, or a newer program's: it is removed as it is
        return bool(runs)

    def _later(self, row: Entity, note: _Note, due: Millis) -> None:
        body = orjson.dumps({"since": note.since, "emptied_at": note.emptied_at})
        self._entities.put(replace(row, body=body, due=due), self._clock.now(), expected_rev=row.rev)


def _emptied(remove: Callable[[], int]) -> bool:
    """Remove what fits into a round. True when nothing is left."""
    return any(remove() == 0 for _ in range(BATCHES))
