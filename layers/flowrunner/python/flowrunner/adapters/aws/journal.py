"""The heads of runs: the one item of a run that decides, and what its last commits still owe.

What holds at any moment: everything that a commit wrote is where it belongs, or in an entry of the head's outbox. An
entry leaves the outbox when a later commit finds that it was settled, and three things tell that:

- it was settled in this process;
- its rows were read, or are read for that purpose; or one of its messages has come, which are sent after the rows;
- its messages came back, acknowledged by the commit that they led to.

Whoever dies between the head and the rest has not acknowledged its message. That comes again, finds its step done, and
is acknowledged with nothing to do; and just then (`settle_acknowledged`) the entry that it led to is settled first.

    W1: head ✓ · rows, messages ✗ dies
    W2:        receives W1's message again · reads the head: step done · settles W1's entry · acknowledges
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.keys import HEAD, Key, key, read_moment, run_pk
from flowrunner.adapters.aws.outbox import Entry, Letter, StoredRow, decode
from flowrunner.adapters.aws.rows import Rows
from flowrunner.adapters.aws.table import Item, Table, number, octets, text
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.engine.cache import SizedCache
from flowrunner.errors import InvalidInput
from flowrunner.ports.clock import Clock
from flowrunner.ports.queue import Receipt

RunKey = tuple[AccountId, RunId]

MEMORY = 8 * 1024 * 1024
"""Bytes of heads' outboxes that a process keeps in mind, roughly."""


class Outlet(Protocol):
    """Where messages go: a queue, as the journal needs it."""

    def put(self, letters: Sequence[Letter]) -> None:
        """Send; a message that is there already stays as it is, unless it is to be sent anew."""
        ...

    def hand_off(self, letters: Sequence[Letter], owner: str, lease_until: Millis, acked: Sequence[Receipt]) -> None:
        """Keep messages for `owner` until the lease ends; `acked` are the ones that led to them."""
        ...

    def remove(self, receipts: Sequence[Receipt], before: int | None = None) -> None:
        """Remove messages; with `before` only if no commit of that revision or a later one has sent them (again)."""
        ...

    def clear(self, account: AccountId, run: RunId, keep: Iterable[Receipt], before: int) -> None:
        """Remove all messages of a run but some, and but those of commits of revision `before` or later."""
        ...

    def bearers(self, receipts: Sequence[Receipt]) -> Sequence[Receipt]:
        """The messages that come again if the owner of these dies: themselves, unless they were never sent."""
        ...

    def forward(self, now: Millis) -> int:
        """Bring messages to where they can be received that are due soon; answers how many."""
        ...

    def crowded(self) -> bool:
        """Whether so much waits that a message nobody has received yet is more likely to wait than to be lost."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A head as it was read, or as this process has written it.

    `mark` tells one from another of the same revision. `entries` is what may not be settled; `read_at` is when it was
    read, on the monotonic clock. `look` is when a sweep looks at it, and `seen` the revision that the last look found,
    at first the one it was created with.
    """

    rev: int
    status: str
    mark: str
    entries: Sequence[Entry]
    read_at: float = 0.0
    look: Millis | None = None
    seen: int = 0
    reopened: bool = False
    """Its steps may have messages of the same name from before, which tell nothing of what was sent since."""

    @property
    def still(self) -> bool:
        """Whether it has not moved since the last look, or since it was created."""
        return self.rev == self.seen

    @property
    def size(self) -> int:
        rows = sum(200 + len(row.body) for entry in self.entries for row in entry.rows)
        return 500 + rows + sum(100 * len(entry.letters) for entry in self.entries)


class Journal:
    """Reads heads, remembers them, and sees to it that what commits owe is done."""

    def __init__(self, table: Table, contents: Contents, rows: Rows, outlet: Outlet, clock: Clock) -> None:
        self._table = table
        self._contents = contents
        self._rows = rows
        self._outlet = outlet
        self._clock = clock
        self._heads: SizedCache[RunKey, Head] = SizedCache(MEMORY)

    def read(self, account: AccountId, run: RunId) -> Head | None:
        """The head as it is now."""
        place = head_key(account, run)
        item = self._table.get(place) if place is not None else None
        return self.note(account, run, item) if item is not None else None

    def note(self, account: AccountId, run: RunId, item: Item) -> Head:
        """A head's item that was read."""
        stored = octets(item, "ob")
        entries = decode(self._contents.read(stored, account, run), account, run) if stored else []
        head = Head(
            rev=number(item, "rv"),
            status=text(item, "st"),
            mark=text(item, "mk"),
            entries=entries,
            read_at=self._clock.monotonic(),
            look=read_moment(text(item, "g2s")) if "g2s" in item else None,
            seen=number(item, "sr"),
            reopened="ro" in item,
        )
        known = self._heads.get((account, run))
        if known is not None and (known.rev, known.mark) == (head.rev, head.mark):
            head = replace(head, entries=known.entries)  # what was settled since stays so
        self.keep(account, run, head)
        return head

    def keep(self, account: AccountId, run: RunId, head: Head) -> None:
        self._heads.put((account, run), head, head.size)

    def forget(self, account: AccountId, run: RunId) -> None:
        self._heads.drop((account, run))

    def known(self, account: AccountId, run: RunId, within: float | None = None) -> Head | None:
        """The head as this process saw it last, or within so many seconds."""
        head = self._heads.get((account, run))
        if head is None or within is None:
            return head
        return head if self._clock.monotonic() - head.read_at < within else None

    # -- what is owed -------------------------------------------------------------------------------------------

    def carried(
        self, account: AccountId, run: RunId, head: Head, acks: Sequence[Receipt], bearers: Sequence[Receipt]
    ) -> list[Entry]:
        """What the next commit, which acknowledges `acks`, takes over: messages that may not have been sent.

        Rows are not taken over: they are written first, if they are not there.
        """
        entries: list[Entry] = []
        for one in head.entries:
            entry = one.without_letters(acks)
            if set(bearers) & set(entry.acks):
                self._settle(account, run, entry)  # its own message has come again
                continue
            if head.reopened or not one.led_to(acks):
                self._rows.make_sure(account, run, entry.rows)
            if entry.ended:
                self._clear(account, run, entry)
            left = replace(entry, rows=(), ended=False)
            if not left.empty:
                entries.append(left)
        return entries

    def settled(self, account: AccountId, run: RunId, head: Head, entry: Entry) -> None:
        """An entry of this process is done."""
        known = self._heads.get((account, run))
        if known is not None and (known.rev, known.mark) == (head.rev, head.mark):
            self.keep(account, run, replace(known, entries=[one for one in known.entries if one is not entry]))

    def saw_row(self, account: AccountId, run: RunId, step: StepId, attempt: int) -> None:
        """A final row with its revision was read: nobody needs to ask for it again."""
        head = self._heads.get((account, run))
        if head is None or not any(row.at == (step, attempt) for entry in head.entries for row in entry.rows):
            return
        entries = [
            replace(entry, rows=[row for row in entry.rows if row.at != (step, attempt)]) for entry in head.entries
        ]
        self.keep(account, run, replace(head, entries=[entry for entry in entries if not entry.empty]))

    def settle_rows(self, account: AccountId, run: RunId, head: Head, at: tuple[StepId, int]) -> None:
        """Write the row of an attempt if it is owed."""
        owed = [row for entry in head.entries for row in entry.rows if row.at == at]
        if owed:
            self._rows.make_sure(account, run, owed)

    def settle_acknowledged(self, receipts: Sequence[Receipt], bearers: Sequence[Receipt]) -> None:
        """Before messages are removed that have nothing (more) to do: settle what they led to, see the module."""
        for (account, run), some in groupby(sorted(bearers), key=lambda one: (one.account, one.run)):
            acks = set(some)
            head = self.known(account, run) or self.read(account, run)
            if head is None:
                continue
            for entry in head.entries:
                if acks & set(entry.acks):
                    self._settle(account, run, entry.without_letters(receipts, anew=False))
                    self.settled(account, run, head, entry)

    def settle_all(self, account: AccountId, run: RunId, head: Head) -> None:
        """Settle whatever a head has, whoever's it is."""
        for entry in head.entries:
            self._settle(account, run, entry)
            self.settled(account, run, head, entry)

    def settle_created(self, account: AccountId, run: RunId) -> None:
        """A run was to be created that exists: send its first messages, if whoever created it has died before that."""
        head = self.read(account, run)
        if head is not None and head.still:
            self.settle_all(account, run, head)

    def _settle(self, account: AccountId, run: RunId, entry: Entry) -> None:
        self._rows.make_sure(account, run, entry.rows)
        self._outlet.put(entry.letters)
        if entry.ended:
            self._clear(account, run, entry)

    def _clear(self, account: AccountId, run: RunId, entry: Entry) -> None:
        self._outlet.clear(account, run, [letter.message.receipt for letter in entry.letters], entry.rev)

    # -- what readers see ---------------------------------------------------------------------------------------

    def remembered_row(self, account: AccountId, run: RunId, at: tuple[StepId, int]) -> StoredRow | None:
        """The result of an attempt, if the head that this process saw last has it. It was committed: it stays."""
        head = self._heads.get((account, run))
        rows = (row for entry in head.entries for row in entry.rows) if head is not None else ()
        return next((row for row in rows if row.at == at and row.status.final and row.rev), None)

    def owed_rows(self, account: AccountId, run: RunId) -> list[StoredRow] | None:
        """Rows that commits have taken and that may not be in their places yet; None if there is no run."""
        head = self.read(account, run)
        return [row for entry in head.entries for row in entry.rows] if head is not None else None


def head_key(account: AccountId, run: RunId) -> Key | None:
    """Where a run's head is; None for what cannot be a run's id."""
    try:
        return key(run_pk(account, run), HEAD)
    except InvalidInput:
        return None
