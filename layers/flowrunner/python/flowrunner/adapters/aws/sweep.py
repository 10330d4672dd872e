"""What has to be seen to each minute: timers that are nearly due, and runs that stand still.

A run that is owed anything is in the due index, under the moment of its next look (`run_items.next_look`). A look finds
that it has moved since the last one, and puts itself off; or that nothing is due yet; or else that what is due has not
come in five minutes. Then the messages are sent again, all that the state says (`engine.owed`), and the next look comes
later each time, since most likely the step just takes its time.

Each look is one conditional write, made before anything is sent: of two sweeps at once one sends. Who dies in between
has lost five minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from flowrunner.adapters.aws.journal import Head, Journal, Outlet, RunKey, head_key
from flowrunner.adapters.aws.keys import joined, moment, read_run_pk
from flowrunner.adapters.aws.outbox import Letter
from flowrunner.adapters.aws.run_items import SHARDS, RunItems
from flowrunner.adapters.aws.table import Refused, Table, key_of
from flowrunner.core.ids import Millis
from flowrunner.engine.dispatch import POKE
from flowrunner.engine.heads import read_head
from flowrunner.engine.owed import STILL, owed
from flowrunner.errors import UnreadableRun
from flowrunner.ports.queue import Message
from flowrunner.ports.sweep import Swept

AT_ONCE = 500
"""Runs looked at in one sweep, of each shard."""

SELDOM: Millis = 6 * 3_600_000
"""A run that goes on standing still is looked at this often."""

STUCK = 3
"""Looks in a row that found a run where it was, after which it is told of: the slowest step has ended by then."""


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
        forwarded = self._outlet.forward(now)
        runs = [run for shard in range(SHARDS) for run in self._found(shard, now)]
        if not runs:
            return Swept(forwarded)
        places = {run: place for run in runs if (place := head_key(*run)) is not None}
        for run in runs:
            self._journal.forget(*run)  # what this process has sent may be lost like anybody else's
        items = self._table.get_all(places.values())
        heads = {run: self._journal.note(*run, items[place]) for run, place in places.items() if place in items}
        due = {run: head for run, head in heads.items() if head.look is not None and head.look <= now}
        crowded = any(head.still for head in due.values()) and self._outlet.crowded()
        looks = self._table.each(lambda run: self._look(run, due[run], now, crowded=crowded), [*due])
        return Swept(forwarded, sum(one.resent for one in looks), sum(one.stuck for one in looks))

    def _found(self, shard: int, now: Millis) -> list[RunKey]:
        found = self._table.query(
            "g2p = :p AND g2s < :s",
            {":p": joined("L", str(shard)), ":s": moment(now + 1)},
            index="due",
            limit=AT_ONCE,
        )
        return [read_run_pk(key_of(item).pk) for item in islice(found, AT_ONCE)]

    def _look(self, run: RunKey, head: Head, now: Millis, *, crowded: bool) -> _Look:
        if not head.still:
            self._put_off(run, head, now + STILL, 0)
            return _Look()
        messages, readable = self._owed(run, head, now)
        due = [message for message in messages if message.due <= now]
        following = min((message.due for message in messages if message.due > now), default=now + SELDOM) + STILL
        if readable and not due:
            self._put_off(run, head, following, 0)
            return _Look()
        if crowded:
            self._put_off(run, head, now + STILL, head.looks)
            return _Look()
        looks = head.looks + 1
        if not self._put_off(run, head, min(now + min(STILL * 2**head.looks, SELDOM), following), looks):
            return _Look()
        self._journal.settle_all(*run, head)
        letters = {letter.message.receipt for entry in head.entries for letter in entry.letters}
        again = [message for message in due if message.receipt not in letters]
        self._outlet.put([Letter(message) for message in again])
        waits = readable and all(message.receipt.attempt == POKE for message in due)
        return _Look(len(letters) + len(again), stuck=looks >= STUCK and not waits)

    def _owed(self, run: RunKey, head: Head, now: Millis) -> tuple[list[Message], bool]:
        """The messages of a run, and whether its state could be read; what its last commits owe is known anyway."""
        found = self._items.load(self._table, [run])
        if run not in found:
            return [], True  # it was removed
        row = self._items.row(*run, found[run])
        try:
            return owed(row, read_head(row), now), True
        except UnreadableRun:
            return [letter.message for entry in head.entries for letter in entry.letters], False

    def _put_off(self, run: RunKey, head: Head, look: Millis, looks: int) -> bool:
        """Say when the next look is, and what this one has found; False if somebody else has done it."""
        place = head_key(*run)
        assert place is not None, "it was found by its key"
        assert head.look is not None, "and by this"
        try:
            self._table.update(
                place,
                "SET g2s = :look, sr = :rv, sw = :looks",
                {":look": moment(look), ":rv": head.rev, ":looks": looks, ":seen": moment(head.look)},
                "rv = :rv AND g2s = :seen",
            )
        except Refused:
            return False
        finally:
            self._journal.forget(*run)
        return True
