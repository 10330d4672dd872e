"""Run concurrency by key: the stored side of `core.slots`.

A run asks for its place before it is stored, so whoever looks in between finds a place that belongs to no run:

    one:    asks, is granted ........................ is stored, runs
    other:           asks: is that run gone?  -> not before GRACE has passed

Whoever asked and died leaves such a place behind as well. So it is kept for `GRACE` and then forgotten, and a run that
is queued behind one asks again by then: it may be told by nobody else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from flowrunner.core.flow import Json, RunConcurrency
from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.core.slots import Admission, Slots, Verdict, admit, forget, release
from flowrunner.core.status import TERMINAL
from flowrunner.errors import Conflict, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.documents import Documents
from flowrunner.ports.runs import RunStore

TRIES = 50

GRACE: Millis = 60_000
"""How long a place is kept for a run that is not stored. Between the two lies no more than the check of a quota."""


def slot_key(flow: str, value: Json) -> str:
    """The document that holds the places of one key value of a flow."""
    digest = hashlib.sha256(orjson.dumps([flow, value])).hexdigest()
    return f"slots/{digest}"


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of asking: whether the run has its place, and if not, when to ask again without being told to."""

    granted: bool
    again: Millis | None = None


@dataclass(frozen=True, slots=True)
class _Book:
    """The document: places, and when those asked who did so within `GRACE`."""

    slots: Slots = field(default_factory=Slots)
    asked: Mapping[RunId, Millis] = field(default_factory=dict)


class RunSlots:
    """Asks for and gives back places, by compare-and-set."""

    def __init__(self, documents: Documents, runs: RunStore, clock: Clock) -> None:
        self._documents = documents
        self._runs = runs
        self._clock = clock

    def admit(
        self, account: AccountId, key: str, run: RunId, policy: RunConcurrency
    ) -> tuple[Admission, Millis | None]:
        """Ask for a place for `run`; answers what came of it, and when to ask again if it has to wait for a run that
        is not stored. Raises `Conflict` when the policy is to reject and there is none.
        """
        result: list[tuple[Admission, Millis | None]] = []

        def ask(book: _Book) -> _Book:
            admission, again = admit(book.slots, run, policy.max_runs, policy.on_limit), None
            if admission.verdict is not Verdict.GRANTED:
                # Before anybody is turned away: a place may be held by a run that ended without giving it back.
                gone, again = self._gone(account, book)
                admission = admit(forget(book.slots, gone), run, policy.max_runs, policy.on_limit)
            result[:] = [(admission, again if admission.verdict is Verdict.QUEUED else None)]
            return _Book(admission.slots, {run: self._clock.now(), **book.asked})

        self._change(account, key, ask)
        if result[0][0].verdict is Verdict.REJECTED:
            raise Conflict(f"{policy.max_runs} runs of this flow are live already", hint="see concurrency.on_limit")
        return result[0]

    def release(self, account: AccountId, key: str, run: RunId, max_runs: int) -> tuple[Slots, Sequence[RunId]]:
        """Give back the place of `run`; answers the slots after that, and who got a place by it."""
        granted: list[RunId] = []

        def give_back(book: _Book) -> _Book:
            after, who = release(book.slots, run, max_runs)
            granted[:] = who
            return replace(book, slots=after)

        return self._change(account, key, give_back).slots, granted

    def ask_again(self, account: AccountId, key: str, run: RunId, policy: RunConcurrency | None) -> Turn:
        """Whether a stored, queued run has its place now; it takes one that a run before it has left without a word.

        Between its wish and its being stored it may have been dropped as gone: then it asks anew.
        """
        slots = self._read(account, key)[0].slots
        if policy is None or run in slots.holders:
            return Turn(run in slots.holders)
        if run not in slots.queue:
            admission, again = self.admit(account, key, run, replace(policy, on_limit="queue"))
            return Turn(admission.verdict is Verdict.GRANTED, again)
        most, result = policy.max_runs, [Turn(granted=False)]

        def look(book: _Book) -> _Book:
            gone, again = self._gone(account, book)
            left = forget(book.slots, gone)
            # Only its own place: the others before it have to be told of theirs, and will ask or be told themselves.
            granted = run in left.queue[: max(most - len(left.holders), 0)]
            if granted:
                queue = tuple(waiting for waiting in left.queue if waiting != run)
                left = Slots((*left.holders, run), queue)
            result[:] = [Turn(granted, None if granted else again)]
            return replace(book, slots=left)

        self._change(account, key, look)
        return result[0]

    def _gone(self, account: AccountId, book: _Book) -> tuple[set[RunId], Millis | None]:
        """Runs that are over or will never be stored; and when to look again at those that may still be."""
        now = self._clock.now()
        wanted = [*book.slots.holders, *book.slots.queue]
        rows = dict(zip(wanted, self._runs.load([(account, run) for run in wanted]), strict=True))
        missing = {run: book.asked.get(run, 0) + GRACE for run, row in rows.items() if row is None}
        gone = {run for run, row in rows.items() if row is not None and row.status in TERMINAL}
        gone |= {run for run, until in missing.items() if until <= now}
        return gone, min((until for until in missing.values() if until > now), default=None)

    def _change(self, account: AccountId, key: str, change: Callable[[_Book], _Book]) -> _Book:
        for _ in range(TRIES):
            before, rev = self._read(account, key)
            after = change(before)
            if after.slots == before.slots:
                return after
            if self._documents.write(account, key, _encode(after, self._clock.now()), rev):
                return after
        raise StoreError("the run slots are changed by others all the time; try again")

    def _read(self, account: AccountId, key: str) -> tuple[_Book, int]:
        body, rev = self._documents.read(account, key)
        return _decode(body), rev


def _decode(body: bytes) -> _Book:
    if not body:
        return _Book()
    holders, queue, *asked = orjson.loads(body)
    return _Book(Slots(tuple(holders), tuple(queue)), asked[0] if asked else {})


def _encode(book: _Book, now: Millis) -> bytes:
    slots = book.slots
    if not slots.holders and not slots.queue:
        return b""
    named = {*slots.holders, *slots.queue}
    asked = {run: at for run, at in book.asked.items() if run in named and at + GRACE > now}
    return orjson.dumps([slots.holders, slots.queue, asked])
