"""Metering: runs, steps and compute time by account, flow and day (UTC).

Every process counts what it commits and adds that to the stored counts every few seconds, and at its end. A process
that is killed takes the counts of its last seconds with it; a store that fails in the middle of a write may count them
twice. So the figures are for reports and quotas, not for invoices to the cent. The cost is estimated from the counts
when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from threading import Lock
from typing import Literal

import orjson

from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.core.times import day_of
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.watch import Change
from flowrunner.errors import InvalidInput, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.costs import compute_of, counts, micro_dollars
from flowrunner.services.identity import Actor, Permission, require

KIND = "usage"
TOTAL_KIND = "usage.day"

DAY: Millis = 86_400_000
KEPT: Millis = 400 * DAY
"""How long counts are kept: over a year, to compare a month with the one before a year."""

INTERVAL: Millis = 5_000
SUM_KEPT: Millis = 30_000
TRIES = 100
PAGE = 500
MAX_DAYS = 366
MAX_ROWS = 10_000

Grouping = Literal["day", "flow", "both"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted."""

    runs: int = 0
    steps: int = 0
    compute_ms: Millis = 0

    @property
    def micro_dollars(self) -> int:
        """The estimated cost on AWS."""
        return micro_dollars(self.runs, self.steps, self.compute_ms)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.runs + other.runs, self.steps + other.steps, self.compute_ms + other.compute_ms)

    def __bool__(self) -> bool:
        return self != Counts()


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The counts of one day, one flow, or one flow on one day; None for what was added up."""

    day: str | None
    flow: FlowId | None
    flow_name: str | None
    counts: Counts


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by day and flow, and their sum."""

    rows: Sequence[UsageRow]
    total: Counts


_Key = tuple[AccountId, str, FlowId]


class Usage:
    """See the module. `observe` is for `Watchers.watch_all`, `flush` for the background; both for several threads."""

    def __init__(self, entities: Entities, clock: Clock, *, streamed: bool = False) -> None:
        """`streamed`: a table's stream tells what is to be counted (`stream_usage`), not `observe`."""
        self._entities = entities
        self._clock = clock
        self._streamed = streamed
        self._lock = Lock()
        self._sums: SizedCache[AccountId, tuple[Millis, str, int]] = SizedCache(1_000)
        self._pending: dict[_Key, tuple[str, Counts]] = {}

    # -- counting -----------------------------------------------------------------------------------------------

    def observe(self, change: Change) -> None:
        """Count what a commit is about."""
        found = self._counts(change)
        if found:
            row = change.view.row
            self._add((row.account, day_of(self._clock.now()), row.flow), row.flow_name, found)

    def flush(self) -> Millis:
        """Add what was counted to what is stored; answers when to come back. Raises `StoreError`; nothing is lost."""
        with self._lock:
            pending, self._pending = self._pending, {}
        while pending:
            key, (name, found) = pending.popitem()
            try:
                self._store(key, name, found)
            except StoreError:
                self._add(key, name, found)
                for other, (its_name, its_counts) in pending.items():
                    self._add(other, its_name, its_counts)
                raise
        return self._clock.now() + INTERVAL

    def forget(self, account: AccountId) -> None:
        """Drop what was counted for an account that is deleted. For internal callers."""
        with self._lock:
            self._pending = {key: found for key, found in self._pending.items() if key[0] != account}

    # -- asking -------------------------------------------------------------------------------------------------

    def steps_today(self, account: AccountId) -> int:
        """Steps of the day, those of this process included that are not stored yet. For internal callers."""
        day = day_of(self._clock.now())
        if self._streamed:
            return self._sum_of(account, day)
        stored = self._entities.get(account, TOTAL_KIND, day, self._clock.now())
        with self._lock:
            fresh = sum(
                found.steps
                for (owner, its_day, _), (_, found) in self._pending.items()
                if (owner, its_day) == (account, day)
            )
        return fresh + (read_counts(stored)[1].steps if stored is not None else 0)

    def report(
        self, actor: Actor, from_day: str, to_day: str, flow: FlowId | None = None, by: Grouping = "both"
    ) -> Report:
        """The usage of the actor's account from one day to another, both included (`2026-11-21`, UTC).

        `by` adds rows up to one a day, or one a flow. Raises `Forbidden`, and `InvalidInput` for days that are none,
        the wrong way round or too far apart, and for more than 10,000 rows.
        """
        require(actor, Permission.USAGE_READ)
        _check_days(from_day, to_day)
        grouped: dict[tuple[str | None, FlowId | None], tuple[str | None, Counts]] = {}
        total = Counts()
        for day, its_flow, name, found in self._stored(actor.account, from_day, to_day):
            if flow is not None and its_flow != flow:
                continue
            key = (None if by == "flow" else day, None if by == "day" else its_flow)
            before = grouped.get(key, (None, Counts()))[1]
            # Days come in order: a flow is shown by the name that it had last.
            grouped[key] = (None if by == "day" else name, before + found)
            total += found
            if len(grouped) > MAX_ROWS:
                raise InvalidInput(f"that is more than {MAX_ROWS:,} rows", hint="ask for fewer days, or by day or flow")
        return Report([UsageRow(*key, *row) for key, row in grouped.items()], total)

    # -- how ----------------------------------------------------------------------------------------------------

    def _sum_of(self, account: AccountId, day: str) -> int:
        """The steps of all flows on a day, as of half a minute ago: a quota may be passed by what one has meanwhile."""
        now = self._clock.now()
        found = self._sums.get(account)
        if found is None or found[1] != day or now - found[0] > SUM_KEPT:
            found = now, day, sum(one.steps for _, _, _, one in self._stored(account, day, day))
            self._sums.put(account, found, 1)
        return found[2]

    def _counts(self, change: Change) -> Counts:
        steps = compute = 0
        for attempt in change.attempts:
            if not attempt.rev:
                continue  # too late for its run; counted if a redrive takes it
            if counts(attempt):
                steps += 1
                compute += compute_of(attempt)
            elif not attempt.status.final:
                # The work before a wait, or before the items of a foreach.
                compute += max(0, self._clock.now() - attempt.started_at)
        return Counts(int(change.created), steps, compute)

    def _add(self, key: _Key, name: str, found: Counts) -> None:
        with self._lock:
            _, before = self._pending.get(key, (name, Counts()))
            self._pending[key] = (name, before + found)

    def _store(self, key: _Key, name: str, found: Counts) -> None:
        account, day, flow = key
        self._increase(account, KIND, f"{day}/{flow}", name, found)
        self._increase(account, TOTAL_KIND, day, "", found)

    def _increase(self, account: AccountId, kind: str, id: str, name: str, found: Counts) -> None:
        now = self._clock.now()
        for _ in range(TRIES):
            stored = self._entities.get(account, kind, id, now)
            sum_ = found + (read_counts(stored)[1] if stored is not None else Counts())
            body = {"name": name, "runs": sum_.runs, "steps": sum_.steps, "ms": sum_.compute_ms}
            entity = Entity(account, kind, id, orjson.dumps(body), expires_at=now + KEPT)
            if self._entities.put(entity, now, stored.rev if stored is not None else 0) is not None:
                return
        raise StoreError("the usage of this day is written by others all the time; try again")

    def _stored(self, account: AccountId, from_day: str, to_day: str) -> Iterator[tuple[str, FlowId, str, Counts]]:
        after, now = from_day, self._clock.now()
        while True:
            page = self._entities.list(account, KIND, now, after=after, limit=PAGE)
            for entity in page:
                day, _, flow = entity.id.partition("/")
                if day > to_day:
                    return
                name, found = read_counts(entity)
                yield day, FlowId(flow), name, found
            if len(page) < PAGE:
                return
            after = page[-1].id


def read_counts(entity: Entity) -> tuple[str, Counts]:
    """The flow's name and the counts of a stored day."""
    body = orjson.loads(entity.body)
    return body["name"], Counts(body["runs"], body["steps"], body["ms"])


def _check_days(from_day: str, to_day: str) -> None:
    days = []
    for field, text in (("from", from_day), ("to", to_day)):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            day = None
        if day is None or day.isoformat() != text:
            raise InvalidInput(f"{field}: {text!r} is no day", hint="write it like 2026-01-31", field=field)
        days.append(day)
    if days[0] > days[1]:
        raise InvalidInput("from: is later than `to`", field="from")
    if (days[1] - days[0]).days >= MAX_DAYS:
        raise InvalidInput(f"from: `from` and `to` may be {MAX_DAYS} days apart", field="from")
