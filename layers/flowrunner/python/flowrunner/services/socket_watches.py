"""What WebSocket connections watch, where no process holds them: each subscription is an entity with its position.

Whoever learns that a run has moved (the table's stream, the scheduler, the one who subscribes) tells a watch what is
new behind its position. Two must not do so at once, or events would come out of order: before it sends, one leases the
watch by a conditional write; another one only rings (`again`), and the first looks once more before it lets go.

    read position → page of events → lease → send … → position moved, lease gone
                                       ↑ refused by a ring: read on ↲

A process that dies sends nothing more; the lease's end is the watch's due time, at which a sweep goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import orjson

from flowrunner.core.ids import AccountId, Millis, RunId
from flowrunner.engine.feed import START, Feed, Pages, Position
from flowrunner.errors import NotFound, StoreError, Unauthenticated
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.ports.push import Push
from flowrunner.services.live_frames import frame
from flowrunner.services.socket_messages import ACCOUNT, encoded, error_message, sized_event, unsubscribed

log = logging.getLogger("flowrunner.live")

KIND = "watch"
LEASE: Millis = 60_000
"""Longer than a function goes on."""
AGAIN: Millis = 30_000
"""How long after the gateway did not answer a watch is told again."""
PAGE = 200
AT_ONCE = 200
"""Watches of an account that are read to find those of some runs; above that each run's are asked for."""
TRIES = 20
BATCH = 100


@dataclass(frozen=True, slots=True)
class Watch:
    """One subscription of a connection. `user`, `token` and `session` say whose it is."""

    account: AccountId
    name: str
    """The run, or `account` for all of them."""
    connection: str
    user: str | None
    token: str | None
    session: str | None
    position: Position = START
    steps: bool = False
    busy_until: Millis = 0
    again: bool = False
    due: Millis | None = None
    expires_at: Millis = 0
    rev: int = 0

    @property
    def id(self) -> str:
        return f"{self.name}/{self.connection}"

    def encode(self) -> Entity:
        document = {
            "who": [self.user, self.token, self.session],
            "at": str(self.position),
            "steps": self.steps,
            "busy": self.busy_until,
            "again": self.again,
        }
        body = orjson.dumps(document)
        return Entity(self.account, KIND, self.id, body, due=self.due, expires_at=self.expires_at)

    @staticmethod
    def decode(entity: Entity) -> Watch:
        document = orjson.loads(entity.body)
        name, _, connection = entity.id.partition("/")
        user, token, session = document["who"]
        return Watch(
            entity.account,
            name,
            connection,
            user,
            token,
            session,
            Position.parse(document["at"]),
            document["steps"],
            document["busy"],
            document["again"],
            entity.due,
            entity.expires_at or 0,
            entity.rev,
        )


class Watches:
    """See the module. `allowed` says whether a watch's owner may still read; `lost` ends a connection that is gone."""

    def __init__(
        self,
        entities: Entities,
        feed: Feed,
        push: Push,
        clock: Clock,
        allowed: Callable[[Watch], bool],
        lost: Callable[[AccountId, str], None],
    ) -> None:
        self._entities = entities
        self._feed = feed
        self._push = push
        self._clock = clock
        self._allowed = allowed
        self._lost = lost

    def require_run(self, account: AccountId, run: str) -> None:
        """Raises `NotFound`."""
        self._feed.page(account, RunId(run), limit=1)

    def begin(self, watch: Watch, until: Millis) -> None:
        """Store a new watch, confirm it, and tell it what there is.

        It is there before the history is read: what is committed later is told by whoever learns of it.
        """
        now, whole = self._clock.now(), watch.name == ACCOUNT
        leased = watch if whole else replace(watch, busy_until=now + LEASE, due=now + LEASE)
        stored = self._write(leased, 0)
        if stored is None:
            return  # its message has come twice
        self._push.send(watch.connection, encoded({"type": "subscribed"}, watch.name))
        page = self._page(stored) if not whole else None
        if page is not None:
            self._tell(stored, page, until)

    def find(self, account: AccountId, name: str, connection: str) -> Watch | None:
        entity = self._entities.get(account, KIND, f"{name}/{connection}", self._clock.now())
        return Watch.decode(entity) if entity is not None else None

    def count(self, account: AccountId, most: int) -> int:
        """How many there are of an account, counted up to `most`."""
        return len(self._entities.list(account, KIND, self._clock.now(), limit=most))

    def remove(self, account: AccountId, name: str, connection: str) -> bool:
        return self._entities.delete(account, KIND, f"{name}/{connection}")

    def of(self, account: AccountId, runs: Collection[RunId]) -> list[Watch]:
        """Those of some runs of an account, and of all of them."""
        now = self._clock.now()
        found = list(self._entities.list(account, KIND, now, limit=AT_ONCE))
        if len(found) == AT_ONCE:
            found = []
            for name in (ACCOUNT, *runs):
                found += self._of(account, name, now)
        watches = [Watch.decode(one) for one in found]
        return [one for one in watches if one.name == ACCOUNT or one.name in runs]

    def _of(self, account: AccountId, name: str, now: Millis) -> list[Entity]:
        found: list[Entity] = []
        while True:
            after = found[-1].id if found else None
            page = self._entities.list(account, KIND, now, prefix=f"{name}/", after=after, limit=AT_ONCE)
            found += page
            if len(page) < AT_ONCE:
                return found

    # -- telling ------------------------------------------------------------------------------------------------

    def catch_up(self, watch: Watch, until: Millis) -> None:
        """Tell the watch of a run what is new, or whoever does so already to look again. Raises `StoreError`.

        When there is no time left, it is only noted that there is something to tell.
        """
        for _ in range(TRIES):
            now = self._clock.now()
            if watch.busy_until > now:
                if watch.again or self._write(replace(watch, again=True)) is not None:
                    return
            elif now >= until:
                if watch.due is not None or self._write(replace(watch, due=now)) is not None:
                    return
            else:
                page = self._news(watch)
                if page is None:
                    return
                leased = replace(watch, busy_until=now + LEASE, again=False, due=now + LEASE)
                stored = self._write(leased)
                if stored is not None:
                    self._tell(stored, page, until)
                    return
            found = self.find(watch.account, watch.name, watch.connection)
            if found is None:
                return
            watch = found
        log.warning("a watch of run %s changes all the time; it is told later", watch.name)

    def send(self, watch: Watch, messages: Sequence[bytes]) -> None:
        """Tell something to the watch of an account: it has no position."""
        try:
            if self._may_hear(watch):
                self._post(watch, messages)
        except StoreError as error:
            log.warning("messages to a connection are lost: %s", error)

    def sweep(self, until: Millis) -> None:
        """Go on with watches that a process has left, or to which something could not be sent."""
        while due := self._entities.due(KIND, self._clock.now(), BATCH):
            for entity in due:
                if self._clock.now() >= until:
                    return
                watch = Watch.decode(entity)
                try:
                    self.catch_up(watch, until)
                except StoreError:
                    raise
                except Exception:  # a watch that nobody can serve keeps no other from its turn
                    log.exception("a watch of run %s could not be told what is new", watch.name)
                    self._write(replace(watch, due=self._clock.now() + AGAIN))

    def _news(self, watch: Watch) -> Pages | None:
        """What there is to tell; None for nothing, which is noted if the watch is due."""
        page = self._page(watch)
        if page is None or page.events or page.ended:
            return page
        if watch.due is not None:
            self._write(replace(watch, busy_until=0, again=False, due=None))
        return None

    def _page(self, watch: Watch) -> Pages | None:
        """What comes next; None, and the end of the watch, when the run is there no more."""
        try:
            return self._feed.page(watch.account, RunId(watch.name), watch.position, PAGE, once=True)
        except NotFound:
            self._over(watch, "failed")
            return None

    def _tell(self, watch: Watch, page: Pages, until: Millis) -> None:
        """Send page after page under our lease, then let go."""
        while True:
            try:
                if not self._may_hear(watch) or not self._post(
                    watch, [sized_event(watch.name, frame(one)) for one in page.events]
                ):
                    return
            except StoreError as error:
                log.warning("events of run %s could not be sent; they are sent later: %s", watch.name, error)
                self._write(replace(watch, busy_until=0, again=False, due=self._clock.now() + AGAIN))
                return
            watch = replace(watch, position=page.cursor)
            if page.ended:
                self._over(watch, "ended")
                return
            if not page.more or self._clock.now() >= until:
                due = self._clock.now() if page.more else None
                if self._write(replace(watch, busy_until=0, again=False, due=due)) is not None:
                    return
                found = self.find(watch.account, watch.name, watch.connection)
                if found is None or found.busy_until != watch.busy_until:
                    return  # it was given up, or our lease had ended
                watch = replace(found, position=watch.position, again=False)
            further = self._page(watch)
            if further is None:
                return
            page = further

    def _post(self, watch: Watch, messages: Sequence[bytes]) -> bool:
        """Send messages; False, and the end of the connection, when its client is gone."""
        for message in messages:
            if not self._push.send(watch.connection, message):
                self.remove(watch.account, watch.name, watch.connection)
                self._lost(watch.account, watch.connection)
                return False
        return True

    def _may_hear(self, watch: Watch) -> bool:
        if self._allowed(watch):
            return True
        refused = Unauthenticated("the token or the session is not valid any more")
        self._push.send(watch.connection, encoded(error_message(refused)))
        self._push.close(watch.connection)
        self._lost(watch.account, watch.connection)
        return False

    def _over(self, watch: Watch, reason: str) -> None:
        self.remove(watch.account, watch.name, watch.connection)
        try:
            self._push.send(watch.connection, unsubscribed(watch.name, reason))
        except StoreError as error:
            log.warning("the end of a watch could not be sent: %s", error)

    def _write(self, watch: Watch, rev: int | None = None) -> Watch | None:
        stored = self._entities.put(watch.encode(), self._clock.now(), watch.rev if rev is None else rev)
        return replace(watch, rev=stored.rev) if stored is not None else None
