"""Reading step rows and values while a run executes, with what never changes kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId, StepId
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.engine.seals import Opened
from flowrunner.engine.values import Values, is_sealed
from flowrunner.ports.history import RunHistory
from flowrunner.ports.runs import RowStatus, StepRow

CACHE_BYTES = 64 * 1024 * 1024

# Keys of the cache beside the numbers of attempts, which start at 1.
_LAST = 0
_EXPANSION = -1


class StepReader:
    """Ended attempts never change, so each is read once per process as long as the cache holds it."""

    def __init__(self, history: RunHistory, values: Values, cache_bytes: int = CACHE_BYTES) -> None:
        self._history = history
        self._values = values
        self._rows: SizedCache[tuple[str, str, str, int], Attempt] = SizedCache(cache_bytes // 2)
        self._blobs: SizedCache[tuple[str, str, str], Json] = SizedCache(cache_bytes // 2)

    def remember(self, account: AccountId, run: RunId, row: StepRow) -> None:
        """Keep a row that was just committed; the next step will most likely read it."""
        self._keep(account, run, read_attempt(row), len(row.body))

    def attempt(self, account: AccountId, run: RunId, step: StepId, number: int) -> Attempt | None:
        """One attempt of a step."""
        return self._read(account, run, step, number, number)

    def last(self, account: AccountId, run: RunId, step: StepId) -> Attempt | None:
        """The last attempt of a step that has ended."""
        return self._read(account, run, step, _LAST, None)

    def expansion(self, account: AccountId, run: RunId, step: StepId) -> Attempt | None:
        """The row of a foreach under way, which has its items."""
        return self._read(account, run, step, _EXPANSION, None)

    def _read(self, account: AccountId, run: RunId, step: StepId, key: int, number: int | None) -> Attempt | None:
        found = self._rows.get((account, run, step, key))
        if found is None:
            row = self._history.step(account, run, step, number)
            if row is None:
                return None
            found = read_attempt(row)
            self._keep(account, run, found, len(row.body))
        return found

    def _keep(self, account: AccountId, run: RunId, attempt: Attempt, size: int) -> None:
        """Keep what will not change: an ended attempt; as a step's last one if no other can follow it."""
        size += 1_000
        if attempt.status.final:
            self._rows.put((account, run, attempt.step, attempt.attempt), attempt, size)
            if attempt.status is not RowStatus.FAILED:
                self._rows.put((account, run, attempt.step, _LAST), attempt, size)
        if attempt.items:
            self._rows.put((account, run, attempt.step, _EXPANSION), attempt, size)

    def items_of(self, account: AccountId, run: RunId, step: StepId) -> Sequence[Json]:
        """The stored pages of a foreach's items."""
        row = self.expansion(account, run, step)
        return row.items if row is not None else ()

    def items(self, account: AccountId, run: RunId, parent: StepId) -> list[Attempt]:
        """The last attempt of each item of a foreach, by index."""
        return [read_attempt(row) for row in self._history.item_steps(account, run, parent)]

    def open(self, account: AccountId, run: RunId, stored: Json) -> Opened:
        """The value behind a stored form, for the run itself: with the secrets that it holds, in clear.

        Not for people: they see what `value` gives. Raises `Unreadable` when it cannot be decrypted.
        """
        if is_sealed(stored):
            return self._values.open(account, run, stored)
        return Opened(self.value(account, run, stored))

    def value(self, account: AccountId, run: RunId, stored: Json) -> Json:
        """The value behind a stored form, with secrets masked."""
        if stored is None or "b" not in stored:
            return None if stored is None else stored.get("i")
        key = (account, run, stored["b"])
        found = self._blobs.get(key)
        if found is None:
            found = self._values.load(account, run, stored)
            self._blobs.put(key, found, stored["s"])
        return found
