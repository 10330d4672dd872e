"""Metering from a table's stream: what a batch tells is added to the counts of each flow's day, once.

A batch may come again, whole or in parts, because the function that had it was stopped. So the counts of a flow's day
hold, beside the sums, which commits were counted last (`marks`), and both change in one conditional write: a commit
that is among them is passed over. A batch comes again within moments of that write, for its shard waits for it, so
commits need not be remembered for long, and the row stays below two write units. The figures are wrong only if a
function was stopped just after the write and its batch came again five minutes later, or after 400 other commits of the
flow.

One write for each flow and batch: the total of a day is added up by whoever asks for it. Whoever counts something else
of commits is told of the same ones (`Told`).
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.core.times import day_of, parse_time
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.records import Attempt, read_attempt
from flowrunner.errors import StoreError
from flowrunner.ports.changes import RunMoved
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.costs import compute_of, counts
from flowrunner.services.usage import KEPT, KIND, TRIES, Counts, read_counts

MINUTE: Millis = 60_000
SEEN_MINUTES = 5
SEEN = 400
MARK = 4
"""Bytes: of ten million commits one is taken for one of 400 others, and not counted."""
REMEMBERED = 1_000

Name = Callable[[RunMoved], str]
"""The name of the flow that a run executes."""

Told = Callable[[Sequence[RunMoved]], None]
"""Is given commits when they have been counted, and each of them once."""

_Key = tuple[AccountId, str, FlowId]


@dataclass(frozen=True, slots=True)
class _Day:
    """The counts of a flow on a day. `marks`: minute by minute, what was counted."""

    name: str = ""
    counts: Counts = field(default_factory=Counts)
    marks: tuple[tuple[int, bytes], ...] = ()

    @property
    def seen(self) -> set[bytes]:
        return {group[at : at + MARK] for _, group in self.marks for at in range(0, len(group), MARK)}

    def with_marks(self, fresh: Iterable[bytes], minute: int) -> _Day:
        """Remember these, and forget what is old or too much."""
        groups = [group for group in self.marks if group[0] > minute - SEEN_MINUTES]
        last = groups.pop()[1] if groups and groups[-1][0] == minute else b""
        room = SEEN * MARK
        kept: list[tuple[int, bytes]] = []
        for at, group in reversed([*groups, (minute, last + b"".join(fresh))]):
            if room:
                kept.append((at, group[-room:]))
                room -= len(kept[-1][1])
        return replace(self, marks=tuple(reversed(kept)))

    def encode(self) -> bytes:
        found = self.counts
        marks = [(at, b64encode(group).decode()) for at, group in self.marks]
        document = {"name": self.name, "runs": found.runs, "steps": found.steps, "ms": found.compute_ms}
        return orjson.dumps({**document, "marks": marks})

    @staticmethod
    def decode(entity: Entity) -> _Day:
        name, found = read_counts(entity)
        marks = orjson.loads(entity.body).get("marks", ())
        return _Day(name, found, tuple((at, b64decode(group)) for at, group in marks))


class StreamUsage:
    """See the module."""

    def __init__(self, entities: Entities, clock: Clock, name: Name, told: Told = lambda commits: None) -> None:
        self._entities = entities
        self._clock = clock
        self._name = name
        self._told = told
        self._stored: SizedCache[_Key, Entity] = SizedCache(REMEMBERED)

    def count(self, changes: Iterable[RunMoved]) -> None:
        """Count the commits of a batch. Raises `StoreError`; to be repeated then, which counts nothing twice."""
        days: dict[_Key, list[RunMoved]] = {}
        for change in changes:
            row = change.row
            days.setdefault((row.account, day_of(change.at), row.flow), []).append(change)
        for key, commits in days.items():
            self._count(key, commits)

    def _count(self, key: _Key, commits: Sequence[RunMoved]) -> None:
        account, day, flow = key
        for _ in range(TRIES):
            now = self._clock.now()
            stored = self._stored.get(key) or self._entities.get(account, KIND, f"{day}/{flow}", now)
            before = _Day.decode(stored) if stored is not None else _Day()
            fresh = _fresh(before, commits)
            if not fresh:
                return
            after = self._after(before, fresh, now // MINUTE)
            # The same moment for all writes of a day: an index that has it is written once.
            expires_at = parse_time(f"{day}T00:00:00Z") + KEPT
            entity = Entity(account, KIND, f"{day}/{flow}", after.encode(), expires_at=expires_at)
            written = self._entities.put(entity, now, stored.rev if stored is not None else 0)
            if written is not None:
                self._stored.put(key, written, 1)
                self._told(list(fresh.values()))
                return
            self._stored.drop(key)
        raise StoreError("the usage of this day is written by others all the time; try again")

    def _after(self, before: _Day, fresh: Mapping[bytes, RunMoved], minute: int) -> _Day:
        """The day with these commits."""
        commits = list(fresh.values())
        name = before.name or self._name(commits[-1])
        found = sum(map(counts_of, commits), before.counts)
        return replace(before, name=name, counts=found).with_marks(fresh, minute)


def _fresh(day: _Day, commits: Iterable[RunMoved]) -> dict[bytes, RunMoved]:
    """By their marks, the commits that are about something and were not counted."""
    seen = day.seen
    marked = {_mark(one): one for one in commits if one.ended or counts_of(one)}
    return {mark: one for mark, one in marked.items() if mark not in seen}


def counts_of(change: RunMoved) -> Counts:
    """What a commit is about, as `Usage` counts it."""
    steps = compute = 0
    for row in change.steps:
        if row.rev:
            attempt = read_attempt(row)
            steps += counts(attempt)
            compute += compute_of(attempt) if counts(attempt) else _before_wait(attempt, change.at)
    return Counts(int(change.created), steps, compute)


def _before_wait(attempt: Attempt, at: Millis) -> Millis:
    """The work before a wait, or before the items of a foreach."""
    if attempt.status.final:
        return 0
    waits_from = attempt.wait.at if attempt.wait is not None and attempt.wait.at else at
    return max(0, waits_from - attempt.started_at)


def _mark(change: RunMoved) -> bytes:
    return hashlib.sha256(f"{change.row.id} {change.row.rev}".encode()).digest()[:MARK]
