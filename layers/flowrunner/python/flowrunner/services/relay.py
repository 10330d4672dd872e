"""From the events of runs to deliveries: nothing that happens in a run is lost on the way, whatever dies.

Events are derived from the rows of a run, never written twice, so what is to be told has to be found again after a
crash. For that each run that an endpoint may want to hear of has a *relay*: an entity that is written before the run
is stored (or reopened), holds how far the run's events were read, and goes when the run has ended and all was read.

    relay written → run stored → … the run moves … → events read, deliveries inserted → cursor moved → … → relay gone

Deliveries have ids made of endpoint, run and event, so reading events again inserts nothing twice. The changes that
this process makes wake the relay at once; what other processes do, and what a crash has left, is found by its due time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import orjson

from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.feed import Feed, Page
from flowrunner.engine.records import RunFacts
from flowrunner.engine.run_events import RunEvent
from flowrunner.engine.watch import Change
from flowrunner.errors import FlowrunnerError, NotFound, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.ports.runs import RunRow
from flowrunner.services.deliveries import Deliveries, Delivery
from flowrunner.services.endpoints import Endpoint, Endpoints
from flowrunner.services.webhook_messages import RunRef, event_payload, message_id

log = logging.getLogger("flowrunner.webhooks")

KIND = "relay"
SOONEST: Millis = 10_000
LATEST: Millis = 300_000
"""How long after one look at a run the next one comes by itself: twice as long each time that nothing was new."""

GRACE: Millis = 3_600_000
"""A run that was announced this long ago and is not there will not come."""

REPEATED: Millis = 86_400_000
"""What a step under way did this long before the last look was seen then; its delivery may be gone since."""

QUIET: Millis = 30_000
"""How long a flow of which nobody wants to hear is not asked for again."""

BATCH = 100
TRIES = 20
REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class _Relay:
    """How far one run's events are told. `start` is the revision that the run had when it was announced."""

    account: AccountId
    run: RunId
    about: RunRef
    announced_at: Millis
    start: int = 0
    cursor: int = 0
    read_at: Millis = 0
    pause: Millis = SOONEST
    rev: int = 0

    def entity(self, due: Millis) -> Entity:
        document = {
            "flow": self.about.flow,
            "name": self.about.flow_name,
            "revision": self.about.revision,
            "depth": self.about.depth,
            "announced": self.announced_at,
            "start": self.start,
            "cursor": self.cursor,
            "read": self.read_at,
            "pause": self.pause,
        }
        return Entity(self.account, KIND, self.run, orjson.dumps(document), due=due)

    @staticmethod
    def read(entity: Entity) -> _Relay:
        document = orjson.loads(entity.body)
        return _Relay(
            entity.account,
            RunId(entity.id),
            RunRef(FlowId(document["flow"]), document["name"], document["revision"], document["depth"]),
            document["announced"],
            document["start"],
            document["cursor"],
            document["read"],
            document["pause"],
            entity.rev,
        )


class Relay:
    """See the module. Its `announced` belongs into `engine.services.before_start`, its `changed` to the watchers."""

    def __init__(
        self,
        entities: Entities,
        endpoints: Endpoints,
        deliveries: Deliveries,
        feed: Feed,
        clock: Clock,
        public_url: str | None = None,
    ) -> None:
        self._entities = entities
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._feed = feed
        self._clock = clock
        self._public_url = public_url
        self._lock = Lock()
        self._moved: dict[tuple[AccountId, RunId], None] = {}
        self._unheard: SizedCache[RunId, bool] = SizedCache(REMEMBERED)
        self._told: SizedCache[str, bool] = SizedCache(REMEMBERED)
        self._quiet: SizedCache[tuple[AccountId, FlowId], Millis] = SizedCache(REMEMBERED)
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is something to read at once."""
        self.on_insert: Callable[[Delivery], None] = lambda delivery: None
        """Called with each new delivery, which is due."""

    # -- what the engine tells ----------------------------------------------------------------------------------

    def announced(self, rows: Sequence[RunRow]) -> None:
        """Runs are about to be stored or reopened: write relays for those that somebody may want to hear of.

        What a run that is reopened came to is told first: its history does not have that end any more afterwards.
        Raises `StoreError`: a run whose events would be lost is not started.
        """
        for row in rows:
            if self._endpoints.of_run(row.account, row.flow):
                self._expect(row)
                self._unheard.drop(row.id)
            else:
                self._unheard.put(row.id, True, 1)

    def changed(self, change: Change) -> None:
        """A run has moved in this process. Called from the worker's thread, so it only notes that."""
        if self._unheard.get(change.run):
            return
        with self._lock:
            self._moved[change.account, change.run] = None
        self.on_change()

    def moved(self, rows: Iterable[RunRow]) -> None:
        """Read runs that have moved in other processes, if somebody may want to hear of them. Raises `StoreError`.

        Whether so is asked once in a while for each flow; what is missed meanwhile is found by its due time.
        """
        for row in {(row.account, row.id): row for row in rows}.values():
            now, scope = self._clock.now(), (row.account, row.flow)
            asked = self._quiet.get(scope)
            if asked is not None and now - asked < QUIET:
                continue
            if not self._endpoints.of_run(row.account, row.flow):
                self._quiet.put(scope, now, 1)
                continue
            entity = self._entities.get(row.account, KIND, row.id, now)
            if entity is not None:
                self._read(entity)

    # -- the round ----------------------------------------------------------------------------------------------

    def sweep(self) -> Millis | None:
        """Read the runs that have moved and those that are due. Answers when to come back."""
        with self._lock:
            moved, self._moved = self._moved, {}
        try:
            for account, run in moved:
                entity = self._entities.get(account, KIND, run, self._clock.now())
                if entity is None:
                    self._unheard.put(run, True, 1)
                else:
                    self._read(entity)
        except StoreError:
            with self._lock:
                self._moved = moved | self._moved
            raise
        while due := self._entities.due(KIND, self._clock.now(), BATCH):
            for entity in due:
                self._read(entity)
        return self._entities.next_due(KIND)

    def _expect(self, row: RunRow) -> None:
        """Write the relay of a run, or let the one that is there wait for the run's next life."""
        reopened = row.ended_at is not None
        start = row.rev if reopened else 0
        for _ in range(TRIES):
            now = self._clock.now()
            about = RunRef(row.flow, row.flow_name, row.revision, RunFacts.decode(row.body).depth)
            found = self._entities.get(row.account, KIND, row.id, now)
            if found is None:
                relay = _Relay(row.account, row.id, about, now, start, start, now)
            elif reopened:
                before = _Relay.read(found)
                cursor = self._last_words(before)
                relay = replace(before, about=about, announced_at=now, start=start, cursor=cursor, pause=SOONEST)
            else:
                return
            if self._entities.put(relay.entity(now + SOONEST), now, found.rev if found else 0) is not None:
                return
        raise StoreError("the relay of the run changes all the time; try again")

    def _last_words(self, relay: _Relay) -> int:
        """Tell what is new in a run before it is reopened; how far it is read then."""
        page = self._feed.read(relay.account, relay.run, relay.cursor)
        self._tell(relay, page)
        return max(page.cursor, relay.cursor)

    def _read(self, entity: Entity) -> None:
        """Tell what is new in one run. Trouble with one run does not keep the others waiting."""
        relay = _Relay.read(entity)
        try:
            page = self._feed.read(relay.account, relay.run, relay.cursor)
        except StoreError:
            raise
        except NotFound:
            self._absent(relay)
            return
        except FlowrunnerError as error:
            log.warning("the events of run %s cannot be read: %s", relay.run, error)
            self._later(relay, relay.cursor, fresh=False)
            return
        # An end that was there when the run was announced is the one before its redrive, which is still to come.
        past = page.ended and page.cursor <= relay.start
        fresh = not (past and relay.cursor >= relay.start) and self._tell(relay, page)
        if page.ended and (not past or self._stale(relay)):
            self._entities.delete(relay.account, KIND, relay.run, relay.rev)
        else:
            self._later(relay, page.cursor, fresh=fresh)

    def _absent(self, relay: _Relay) -> None:
        """The run is not there yet, or not any more."""
        if self._stale(relay):
            self._entities.delete(relay.account, KIND, relay.run, relay.rev)
        else:
            self._later(relay, relay.cursor, fresh=False)

    def _stale(self, relay: _Relay) -> bool:
        return self._clock.now() - relay.announced_at > GRACE

    def _later(self, relay: _Relay, cursor: int, *, fresh: bool) -> None:
        """Note how far it is read, and when to look again. If another process has done so, that counts."""
        now = self._clock.now()
        pause = SOONEST if fresh or cursor > relay.cursor else min(relay.pause * 2, LATEST)
        after = replace(relay, cursor=max(cursor, relay.cursor), read_at=now, pause=pause)
        self._entities.put(after.entity(now + pause), now, relay.rev)

    def _tell(self, relay: _Relay, page: Page) -> bool:
        """Insert a delivery for every endpoint and event that fit. True if there was a new one."""
        endpoints = self._endpoints.of_run(relay.account, relay.about.flow)
        if not endpoints:
            return False
        fresh = False
        for event in _unrepeated(page.events, relay.read_at):
            for endpoint in endpoints:
                if endpoint.hears(event.type, event.node, event.at):
                    fresh |= self._insert(relay, endpoint, event)
        if fresh:
            self._deliveries.on_due()
        return fresh

    def _insert(self, relay: _Relay, endpoint: Endpoint, event: RunEvent) -> bool:
        message = message_id(endpoint.id, relay.run, event.id)
        if self._told.get(message):
            return False
        now = self._clock.now()
        body = event_payload(event, relay.about, self._public_url)
        added = self._deliveries.add(
            Delivery(
                endpoint.account,
                message,
                endpoint.id,
                event.type,
                body,
                created_at=now,
                run=relay.run,
                depth=relay.about.depth,
                next_try=now,
            )
        )
        self._told.put(message, True, 1)
        if added is not None:
            self.on_insert(added)
        return added is not None


def _unrepeated(events: Iterable[RunEvent], read_at: Millis) -> list[RunEvent]:
    """The events without those of a step under way that were told long ago: they come again with every look."""
    listed = list(events)
    over = {(event.step_id, event.attempt) for event in listed if event.type in _ENDS}
    return [
        event
        for event in listed
        if event.step_id is None or (event.step_id, event.attempt) in over or event.at >= read_at - REPEATED
    ]


_ENDS = frozenset({"step.succeeded", "step.failed", "step.skipped", "step.retrying"})
