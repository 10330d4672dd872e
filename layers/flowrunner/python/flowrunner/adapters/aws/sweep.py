"""What has to be seen to each minute: timers that are nearly due, and runs that stand still.

A run that is owed anything is in the due index, under the moment of its next look (`run_items.next_look`). A look finds
that it has moved since the last one, and puts itself off; or that nothing is due yet; or else that what is due has not
come in five minutes. Then the messages are sent again, all that the state says (`engine.owed`), and the next look comes
later each time, since most likely the step just takes its time.

Each look is one conditional write, made before anything is sent: of two sweeps at once one sends. Who dies in between
has lost five minutes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import islice

from flowrunner.adapters.aws.journal import Head, Journal, Outlet, RunKey, head_key
from flowrunner.adapters.aws.keys import joined, moment, read_moment, read_run_pk
from flowrunner.adapters.aws.outbox import Letter
from flowrunner.adapters.aws.run_items import SHARDS, RunItems
from flowrunner.adapters.aws.table import Item, Refused, Table, key_of, number, text
from flowrunner.core.ids import Millis
from flowrunner.engine.dispatch import POKE
from flowrunner.engine.heads import read_head
from flowrunner.engine.owed import STILL, owed
from flowrunner.errors import StoreError, UnreadableRun
from flowrunner.ports.queue import Message
from flowrunner.ports.sweep import Swept

AT_ONCE = 500
"""Runs looked at in one sweep, of each shard."""

SELDOM: Millis = 6 * 3_600_000
"""A run that goes on standing still is looked at this often."""

STUCK = 3
"""Looks in a row that found a run where it was, after which it is told of: the slowest step has ended by then."""


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look has led to."""

    resent: int = 0
    stuck: bool = False


class Sweeper:
    """See the module and `ports.sweep`."""

    def __init__(self, table: Table, items: RunItems, journal: Journal, outlet: Outlet) -> None:
        self._table = table
        self._items = items
        self._journal = journal
        self._outlet = outlet

    def sweep(self, now: Millis) -> Swept:
        """See `ports.sweep`. Trouble with one run keeps no other one from its look."""
        forwarded = self._outlet.forward(now)
        runs = [run for shard in range(SHARDS) for run in self._found(shard, now)]
        if not runs:
            return Swept(forwarded)
        places = {place: run for run in runs if (place := head_key(*run)) is not None}
        items = self._table.get_all(places)
        due = [item for item in items.values() if "g2s" in item and _look_of(item) <= now]
        crowded = any(_still(item) for item in due) and self._outlet.crowded()
        looks = self._table.each(lambda item: self._look(places[key_of(item)], item, now, crowded=crowded), due)
        return Swept(forwarded, sum(one.resent for one in looks), sum(one.stuck for one in looks))

    def _found(self, shard: int, now: Millis) -> list[RunKey]:
        found = self._table.query(
            "g2p = :p AND g2s < :s",
            {":p": joined("L", str(shard)), ":s": moment(now + 1)},
            index="due",
            limit=AT_ONCE,
        )
        return [read_run_pk(key_of(item).pk) for item in islice(found, AT_ONCE)]

    def _look(self, run: RunKey, item: Item, now: Millis, *, crowded: bool) -> _Look:
        looks = number(item, "sw")
        if not _still(item):
            self._put_off(item, now + STILL, 0)
            return _Look()
        again = now + min(STILL * 2**looks, SELDOM)
        try:
            head, messages, readable = self._owed(run, item, now)
        except (StoreError, ValueError) as error:  # an object is gone, or a newer program has written it
            log.warning("run %s stands still and cannot be read: %s", run[1], error)
            return _Look(stuck=self._put_off(item, again, looks + 1) and looks + 1 >= STUCK)
        due = [message for message in messages if message.due <= now]
        following = min((message.due for message in messages if message.due > now), default=now + SELDOM) + STILL
        if readable and not due:
            self._put_off(item, following, 0)
            return _Look()
        if crowded:
            self._put_off(item, now + STILL, looks)
            return _Look()
        if not self._put_off(item, min(again, following), looks + 1):
            return _Look()
        self._journal.settle_all(*run, head)
        letters = {letter.message.receipt for entry in head.entries for letter in entry.letters}
        others = [message for message in due if message.receipt not in letters]
        self._outlet.put([Letter(message) for message in others])
        waits = readable and all(message.receipt.attempt == POKE for message in due)
        return _Look(len(letters) + len(others), stuck=looks + 1 >= STUCK and not waits)

    def _owed(self, run: RunKey, item: Item, now: Millis) -> tuple[Head, list[Message], bool]:
        """The messages of a run, and whether its state could be read; what its last commits owe is known anyway."""
        self._journal.forget(*run)  # what this process has sent may be lost like anybody else's
        head = self._journal.note(*run, item)
        self._journal.forget(*run)
        found = self._items.load(self._table, [run])
        if run not in found:
            return head, [], True  # it was removed
        row = self._items.row(*run, found[run])
        try:
            return head, owed(row, read_head(row), now), True
        except UnreadableRun:
            return head, [letter.message for entry in head.entries for letter in entry.letters], False

    def _put_off(self, item: Item, look: Millis, looks: int) -> bool:
        """Say when the next look is, and what this one has found; False if somebody else has done it."""
        try:
            self._table.update(
                key_of(item),
                "SET g2s = :look, sr = :rv, sw = :looks",
                {":look": moment(look), ":rv": number(item, "rv"), ":looks": looks, ":seen": text(item, "g2s")},
                "rv = :rv AND g2s = :seen",
            )
        except Refused:
            return False
        return True


def _look_of(item: Item) -> Millis:
    """When a head is to be looked at."""
    return read_moment(text(item, "g2s"))


def _still(item: Item) -> bool:
    """Whether a run has not moved since the last look, or since it was created."""
    return number(item, "rv") == number(item, "sr")
