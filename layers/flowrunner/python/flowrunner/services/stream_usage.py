"""Metering from a table's stream: what a batch tells is added to the counts of each flow's day, once.

A batch may come again, whole or in parts, because the function that had it was stopped. So the counts of a flow's day
hold, beside the sums, how far each run was counted (`seen`), and both change in one conditional write: a commit whose
revision is not above that is passed over. A batch comes again within moments of that write, for its shard waits for it,
so runs need not be remembered for long, and the row stays small. The figures are wrong only if a function was stopped
just after the write and its batch came again five minutes later, or after 500 other runs of the flow had moved.

One write for each flow and batch: the total of a day is added up by whoever asks for it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import orjson

from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
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
SEEN_RUNS = 500
REMEMBERED = 1_000

Name = Callable[[RunMoved], str]
"""The name of the flow that a run executes."""

_Key = tuple[AccountId, str, FlowId]


@dataclass(frozen=True, slots=True)
class _Day:
    """The counts of a flow on a day. `seen`: minute by minute, how far which runs were counted."""

    name: str = ""
    counts: Counts = field(default_factory=Counts)
    seen: tuple[tuple[int, dict[str, int]], ...] = ()

    def counted(self, run: str) -> int:
        return max((revs.get(run, 0) for _, revs in self.seen), default=0)

    def with_seen(self, revs: dict[str, int], minute: int) -> _Day:
        """Remember how far these runs are counted now, and forget what is old or too much."""
        groups = [(at, {run: rev for run, rev in one.items() if run not in revs}) for at, one in self.seen]
        if groups and groups[-1][0] == minute:
            revs = {**groups.pop()[1], **revs}
        room = SEEN_RUNS
        result: list[tuple[int, dict[str, int]]] = []
        for at, one in reversed([*groups, (minute, revs)]):
            if at <= minute - SEEN_MINUTES or not room:
                break
            last = list(one.items())[-room:]
            room -= len(last)
            if last:
                result.append((at, dict(last)))
        return replace(self, seen=tuple(reversed(result)))

    def encode(self) -> bytes:
        found = self.counts
        document = {"name": self.name, "runs": found.runs, "steps": found.steps, "ms": found.compute_ms}
        return orjson.dumps({**document, "seen": self.seen})

    @staticmethod
    def decode(entity: Entity) -> _Day:
        name, found = read_counts(entity)
        seen = orjson.loads(entity.body).get("seen", ())
        return _Day(name, found, tuple((at, revs) for at, revs in seen))


class StreamUsage:
    """See the module."""

    def __init__(self, entities: Entities, clock: Clock, name: Name) -> None:
        self._entities = entities
        self._clock = clock
        self._name = name
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
            after = self._after(before, commits, now // MINUTE)
            if after is None:
                return
            # The same moment for all writes of a day: an index that has it is written once.
            expires_at = parse_time(f"{day}T00:00:00Z") + KEPT
            entity = Entity(account, KIND, f"{day}/{flow}", after.encode(), expires_at=expires_at)
            written = self._entities.put(entity, now, stored.rev if stored is not None else 0)
            if written is not None:
                self._stored.put(key, written, 1)
                return
            self._stored.drop(key)
        raise StoreError("the usage of this day is written by others all the time; try again")

    def _after(self, before: _Day, commits: Sequence[RunMoved], minute: int) -> _Day | None:
        """The day with what is new in the commits; None if nothing is."""
        found, revs = Counts(), dict[str, int]()
        for change in commits:
            run = _short(change.row.id)
            if change.row.rev > max(revs.get(run, 0), before.counted(run)):
                revs[run] = change.row.rev
                found += counts_of(change)
        if not found:
            return None
        name = before.name or self._name(commits[-1])
        return replace(before, name=name, counts=before.counts + found).with_seen(revs, minute)


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


def _short(run: RunId) -> str:
    """A run's id, shorter: two of the same would have to be seen within moments of each other."""
    return urlsafe_b64encode(hashlib.sha256(run.encode()).digest()[:6]).decode()
