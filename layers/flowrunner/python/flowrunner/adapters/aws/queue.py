"""The work queue in DynamoDB: an item for each message, which the due index sorts by when it becomes visible.

It keeps the whole contract and needs nothing but the table. On AWS it holds what is due later than SQS can wait for
(`sqs`); a worker on a server may use it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from flowrunner.adapters.aws.journal import Journal
from flowrunner.adapters.aws.keys import Key, joined, key, moment, read_moment, unescape
from flowrunner.adapters.aws.outbox import Letter
from flowrunner.adapters.aws.table import Item, Refused, Table, key_of, number, text
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.ports.queue import Delivery, Message, QueueLoad, Receipt
from flowrunner.ports.wakeups import Topic

PRIORITIES = (0, 1, 2)

SLOW = "s"
"""What follows the moment of a message for the slow lane, and does not change its place in the index."""

SWEEP_EVERY: Millis = 60_000

Sweep = Callable[[Millis], object]

ROUNDS = 20
"""Looks for messages in one call: between the look and the lease others may have taken what was there."""


class TableQueue:
    """See `ports.queue.WorkQueue` and `journal.Outlet`. A lease is nothing but a later moment of visibility."""

    def __init__(self, table: Table, tell: Callable[[Topic], None]) -> None:
        self._table = table
        self._tell = tell
        self._journal: Journal | None = None
        self._sweep: Sweep | None = None
        self._next_sweep: Millis = 0

    def attend(self, journal: Journal, sweep: Sweep) -> None:
        """From now on let `journal` settle what messages led to, before they go, and call `sweep` once a minute."""
        self._journal, self._sweep = journal, sweep

    # -- ports.queue.WorkQueue ----------------------------------------------------------------------------------

    def send(self, messages: Sequence[Message]) -> None:
        self.put([Letter(message) for message in messages])
        if messages:
            self._tell("queue")

    def receive(self, owner: str, now: Millis, lease_until: Millis, limit: int) -> Sequence[Delivery]:
        self._sweep_now_and_then(now)
        received: list[Delivery] = []
        for priority in PRIORITIES:
            lost: set[Key] = set()
            for _ in range(ROUNDS):
                wanted = limit - len(received)
                if wanted <= 0:
                    return received
                found = self._visible(priority, now, wanted + len(lost))
                fresh = [item for item in found if key_of(item) not in lost][:wanted]
                if not fresh:
                    break
                taken = self._table.each(lambda item: self._lease(item, owner, lease_until), fresh)
                received += [delivery for delivery in taken if delivery is not None]
                lost |= {key_of(item) for item, got in zip(fresh, taken, strict=True) if got is None}
        return received

    def receive_in_turn(
        self, owner: str, now: Millis, lease_until: Millis, after: AccountId, limit: int
    ) -> tuple[Sequence[Delivery], AccountId]:
        """Gives nothing: the index of what is due knows nothing of accounts."""
        return [], AccountId("")

    def renew(self, receipts: Sequence[Receipt], owner: str, lease_until: Millis) -> None:
        self._table.each(lambda one: self._show(one, lease_until, owner), list(dict.fromkeys(receipts)))

    def release(self, receipts: Sequence[Receipt], due: Millis) -> None:
        self._table.each(lambda one: self._show(one, due), list(dict.fromkeys(receipts)))
        self._tell("queue")

    def ack(self, receipts: Sequence[Receipt]) -> None:
        if self._journal is not None:
            self._journal.settle_acknowledged(receipts, receipts)
        self.remove(receipts)

    def next_visible(self) -> Millis | None:
        firsts = [next(self._all(priority, limit=1), None) for priority in PRIORITIES]
        return min((read_moment(text(item, "g2s")) for item in firsts if item is not None), default=None)

    def load(self, now: Millis) -> QueueLoad:
        visible: list[Millis] = []
        runs: set[tuple[AccountId, RunId]] = set()
        for priority in PRIORITIES:
            for item in self._all(priority):
                at = read_moment(text(item, "g2s"))
                receipt = receipt_of(key_of(item))
                runs.add((receipt.account, receipt.run))
                if at <= now:
                    visible.append(at)
        return QueueLoad(len(visible), min(visible, default=None), len(runs))

    # -- journal.Outlet -----------------------------------------------------------------------------------------

    def put(self, letters: Sequence[Letter]) -> None:
        # Of one message given twice the first counts, or the last that is to be sent anew: they are written at once.
        wanted: dict[Receipt, Letter] = {}
        for letter in letters:
            if letter.anew or letter.message.receipt not in wanted:
                wanted[letter.message.receipt] = letter
        self._table.each(self._put, list(wanted.values()))

    def hand_off(self, letters: Sequence[Letter], owner: str, lease_until: Millis, acked: Sequence[Receipt]) -> None:
        self._table.each(lambda letter: self._put(letter, owner, lease_until), letters)

    def remove(self, receipts: Sequence[Receipt], before: int | None = None) -> None:
        if before is None:
            self._table.delete_all(_key(receipt) for receipt in receipts)
        else:
            self._table.each(lambda one: self._remove(_key(one), before), list(dict.fromkeys(receipts)))

    def clear(self, account: AccountId, run: RunId, keep: Iterable[Receipt], before: int) -> None:
        kept = {_key(receipt) for receipt in keep}
        self._table.each(
            lambda place: self._remove(place, before),
            [place for place in self.of_run(account, run) if place not in kept],
        )

    def bearers(self, receipts: Sequence[Receipt]) -> Sequence[Receipt]:
        return receipts

    def forward(self, now: Millis) -> int:
        return 0

    def crowded(self) -> bool:
        return False

    # -- for others of this package -----------------------------------------------------------------------------

    def of_run(self, account: AccountId, run: RunId) -> list[Key]:
        """The messages of a run."""
        found = self._table.query(
            "pk = :pk AND begins_with(sk, :sk)", {":pk": joined("Q", account), ":sk": joined(run, "")}
        )
        return [key_of(item) for item in found]

    def due_until(self, until: Millis) -> Iterator[Message]:
        """Messages that become visible by then, read as they are taken."""
        for priority in PRIORITIES:
            found = self._table.query(
                "g2p = :p AND g2s < :s", {":p": _due_pk(priority), ":s": moment(until + 1)}, index="due"
            )
            for item in found:
                at = text(item, "g2s")
                yield Message(receipt_of(key_of(item)), read_moment(at), priority, slow=at.endswith(SLOW))

    def count(self, limit: int) -> int:
        """How many messages there are, counted up to `limit`."""
        counts = [
            self._table.count("g2p = :p", {":p": _due_pk(priority)}, index="due", keep="", limit=limit)
            for priority in PRIORITIES
        ]
        return min(sum(counts), limit)

    def delete_run(self, account: AccountId, run: RunId) -> None:
        """Remove the messages of a run."""
        self._table.delete_all(self.of_run(account, run))

    def delete_account(self, account: AccountId, limit: int) -> int:
        """Remove up to `limit` messages of an account; answers how many."""
        found = list(islice(self._table.query("pk = :pk", {":pk": joined("Q", account)}, limit=limit), limit))
        self._table.delete_all(key_of(item) for item in found)
        return len(found)

    def _sweep_now_and_then(self, now: Millis) -> None:
        if self._sweep is not None and now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY
            self._sweep(now)

    def _visible(self, priority: int, now: Millis, limit: int) -> list[Item]:
        found = self._table.query(
            "g2p = :p AND g2s < :s", {":p": _due_pk(priority), ":s": moment(now + 1)}, index="due", limit=limit
        )
        return list(islice(found, limit))

    def _all(self, priority: int, limit: int = 0) -> Iterator[Item]:
        return self._table.query("g2p = :p", {":p": _due_pk(priority)}, index="due", limit=limit)

    def _lease(self, item: Item, owner: str, lease_until: Millis) -> Delivery | None:
        """Take a message as it was seen; None if it has changed since."""
        place = key_of(item)
        try:
            taken = self._table.update(
                place,
                "SET g2s = :until, o = :o ADD c :one",
                {":until": moment(lease_until), ":o": owner, ":one": 1, ":seen": text(item, "g2s")},
                "g2s = :seen",
                "UPDATED_NEW",
            )
        except Refused:
            return None
        return Delivery(receipt_of(place), number(taken, "c"))

    def _show(self, receipt: Receipt, at: Millis, owner: str | None = None) -> None:
        """Make a message visible at a moment: for `owner`, who goes on holding it, or for anybody."""
        try:
            if owner is None:
                # Whoever gives a message back is alive, so the count begins anew: it tells of deaths.
                self._table.update(
                    _key(receipt),
                    "SET g2s = :at, o = :o, c = :none",
                    {":at": moment(at), ":o": "", ":none": 0},
                    "attribute_exists(pk)",
                )
            else:
                self._table.update(_key(receipt), "SET g2s = :at", {":at": moment(at), ":o": owner}, "o = :o")
        except Refused:
            return  # it is gone, or another's

    def _put(self, letter: Letter, owner: str = "", lease_until: Millis = 0) -> None:
        message = letter.message
        place = _key(message.receipt)
        item: Item = {
            "pk": place.pk,
            "sk": place.sk,
            "o": owner,
            "c": 1 if owner else 0,
            "r": letter.rev,
            "g2p": _due_pk(message.priority),
            "g2s": moment(max(letter.due, lease_until)) + (SLOW if message.slow else ""),
        }
        try:
            # One that an earlier commit has sent makes room: whoever removes older messages would take it away.
            if letter.anew:
                self._table.put(item)
            else:
                self._table.put(item, "attribute_not_exists(pk) OR r < :r", {":r": letter.rev})
        except Refused:
            return  # it is there already

    def _remove(self, place: Key, before: int) -> None:
        try:
            self._table.delete(place, "attribute_not_exists(pk) OR r < :r", {":r": before})
        except Refused:
            return  # it was sent again meanwhile


def receipt_of(place: Key) -> Receipt:
    """The message whose item it is."""
    run, step, attempt = (unescape(part) for part in place.sk.split("#"))
    return Receipt(AccountId(unescape(place.pk.partition("#")[2])), RunId(run), StepId(step), int(attempt))


def _key(receipt: Receipt) -> Key:
    return key(joined("Q", receipt.account), joined(receipt.run, receipt.step, str(receipt.attempt)))


def _due_pk(priority: int) -> str:
    return joined("Q", str(min(max(priority, PRIORITIES[0]), PRIORITIES[-1])))
