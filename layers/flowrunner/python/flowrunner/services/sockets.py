"""WebSocket connections that a gateway holds: what clients say, and what they are told, with no process of their own.

The protocol is that of `api.websocket`. A connection is an entity that says whose it is; what it watches are entities
of their own (`socket_watches`). Connections end after two hours at the latest (a limit of API Gateway), and so do they.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.engine.cache import SizedCache
from flowrunner.engine.feed import START, Feed, Position
from flowrunner.errors import (
    Conflict,
    FlowrunnerError,
    Forbidden,
    InvalidInput,
    NotFound,
    StoreError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
)
from flowrunner.ports.changes import RunMoved, StepSpoke
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.ports.push import Push
from flowrunner.services.authentication import Authenticator, Credentials
from flowrunner.services.identity import Actor, Permission, require
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.socket_frames import account_messages
from flowrunner.services.socket_messages import (
    ACCOUNT,
    MOST_MESSAGE,
    MOST_SUBSCRIPTIONS,
    Auth,
    Ping,
    Said,
    Subscribe,
    Unsubscribe,
    encoded,
    error_message,
    name_of,
    parse_message,
    unsubscribed,
)
from flowrunner.services.socket_watches import Watch, Watches
from flowrunner.services.tickets import Tickets

log = logging.getLogger("flowrunner.live")

KIND = "connection"
LONGEST: Millis = (2 * 60 + 10) * 60_000
RECHECK: Millis = 10_000
"""How soon one hears nothing more whose token was revoked, or whose session has ended."""
SENDERS = 8
TRIES = 20
SWEPT: Millis = 20_000


@dataclass(frozen=True, slots=True)
class Hail:
    """What comes with a request for a connection."""

    connection: str
    origin: str | None = None
    host: str = ""
    ticket: str | None = None
    address: str = ""
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class _Connection:
    """An open connection whose owner is known. `greeted`: it was told that it is."""

    account: AccountId
    id: str
    user: str | None
    token: str | None
    session: str | None
    greeted: bool
    watches: tuple[str, ...]
    expires_at: Millis
    rev: int = 0

    def encode(self) -> Entity:
        who = [self.user, self.token, self.session]
        body = orjson.dumps({"who": who, "greeted": self.greeted, "watches": self.watches})
        return Entity(self.account, KIND, self.id, body, lookup=self.id, expires_at=self.expires_at)

    @staticmethod
    def decode(entity: Entity) -> _Connection:
        body = orjson.loads(entity.body)
        user, token, session = body["who"]
        watches, ends = tuple(body["watches"]), entity.expires_at or 0
        return _Connection(entity.account, entity.id, user, token, session, body["greeted"], watches, ends, entity.rev)


class Sockets:
    """See the module. Safe for several processes."""

    def __init__(
        self,
        entities: Entities,
        feed: Feed,
        push: Push,
        authenticator: Authenticator,
        tickets: Tickets,
        clock: Clock,
        limits: LiveLimits,
    ) -> None:
        self._entities = entities
        self._push = push
        self._authenticator = authenticator
        self._tickets = tickets
        self._clock = clock
        self._limits = limits
        self._checked: SizedCache[tuple[object, ...], Millis] = SizedCache(10_000)
        self._watches = Watches(entities, feed, push, clock, self._allowed, self._forget)

    # -- what the gateway tells ---------------------------------------------------------------------------------

    def open(self, hail: Hail) -> None:
        """A client wants a connection. It may prove who it is with a ticket, or later with its first message.

        Nothing can be sent before this is answered. Raises `Forbidden` for a page of another origin, `Unauthenticated`
        for a ticket that is not valid, and `TooManyRequests`.
        """
        if hail.origin is not None and not self._authenticator.own_origin(hail.origin, hail.host):
            raise Forbidden("a page of another origin may not connect")
        if hail.ticket is not None:
            actor = self._tickets.redeem(hail.ticket, hail.address, hail.correlation)
            self._keep(hail.connection, actor, greeted=False)

    def hear(self, hail: Hail, text: str, until: Millis) -> None:
        """A client says something. What is wrong with that it is told."""
        known = self._find(hail.connection)
        message: Said | None = None
        try:
            if len(text) > MOST_MESSAGE:
                raise TooLarge(f"a message may have {MOST_MESSAGE // 1024} KiB")
            message = parse_message(text)
            if known is None:
                self._identify(hail, message)
            else:
                self._greet(known)
                self._answer(known, message, until)
        except FlowrunnerError as error:
            name = message.run if isinstance(message, Subscribe | Unsubscribe) else None
            self._refuse(hail.connection, error, name, known=known is not None)

    def closed(self, connection: str) -> None:
        """A connection is gone."""
        found = self._find(connection)
        if found is not None:
            self._forget(found.account, connection)

    # -- what happens to runs -----------------------------------------------------------------------------------

    def tell(self, changes: Sequence[RunMoved | StepSpoke], until: Millis) -> None:
        """Tell those who watch what is new. Raises `StoreError`; to be repeated then: who watches a run hears nothing
        twice, who watches an account drops by id what it has heard.
        """
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="sockets") as pool:
            works = list(self._works(changes, until))
            for done in [pool.submit(_safely, work) for work in works]:
                done.result()

    def sweep(self) -> None:
        """Go on with what a process has left undone."""
        self._watches.sweep(self._clock.now() + SWEPT)

    def _works(self, changes: Sequence[RunMoved | StepSpoke], until: Millis) -> Iterable[Callable[[], None]]:
        """What there is to do, a call for each watch."""

        def account_of(change: RunMoved | StepSpoke) -> AccountId:
            return change.row.account if isinstance(change, RunMoved) else change.account

        for account, some in groupby(sorted(changes, key=account_of), key=account_of):
            mine = list(some)
            runs = {one.row.id if isinstance(one, RunMoved) else one.run for one in mine}
            moved = [one for one in mine if isinstance(one, RunMoved)]
            for watch in self._watches.of(account, runs):
                yield self._work(watch, moved, until)

    def _work(self, watch: Watch, moved: Sequence[RunMoved], until: Millis) -> Callable[[], None]:
        if watch.name != ACCOUNT:
            return lambda: self._watches.catch_up(watch, until)
        return lambda: self._watches.send(watch, account_messages(moved, steps=watch.steps))

    # -- who it is ----------------------------------------------------------------------------------------------

    def _identify(self, hail: Hail, message: Said) -> None:
        if not isinstance(message, Auth):
            raise Unauthenticated('the first message has to be {"type": "auth", "token": "…"}')
        given = Credentials(authorization=f"Bearer {message.token}", address=hail.address, correlation=hail.correlation)
        self._keep(hail.connection, self._authenticator.authenticate(given), greeted=True)
        self._push.send(hail.connection, encoded({"type": "ready"}))

    def _keep(self, connection: str, actor: Actor, *, greeted: bool) -> None:
        require(actor, Permission.RUNS_READ)
        now = self._clock.now()
        most = self._limits.per_account
        if len(self._entities.list(actor.account, KIND, now, limit=most)) >= most:
            raise TooManyRequests(f"the account has {most:,} connections already", retry_after=5)
        who = actor.user, actor.token, actor.session
        found = _Connection(actor.account, connection, *who, greeted, (), now + LONGEST)
        self._entities.put(found.encode(), now)

    def _greet(self, known: _Connection) -> None:
        """Tell one that came with a ticket that it is known: nothing could be sent before it said something."""
        if not known.greeted and self._change(known, lambda one: replace(one, greeted=True)):
            self._push.send(known.id, encoded({"type": "ready"}))

    def _allowed(self, watch: Watch) -> bool:
        """Whether the owner of a watch may still read runs; asked of the store every few seconds."""
        key = (watch.account, watch.user, watch.token, watch.session)
        now = self._clock.now()
        checked = self._checked.get(key)
        if checked is not None and now - checked < RECHECK:
            return True
        try:
            self._actor(watch)
        except (Unauthenticated, Forbidden):
            return False
        self._checked.put(key, now, 1)
        return True

    def _actor(self, of: Watch | _Connection) -> Actor:
        """Who it is, with what they may do now. Raises `Unauthenticated` or `Forbidden`."""
        known = Actor(of.account, "", frozenset(), user=of.user, token=of.token, session=of.session)
        actor = self._authenticator.recheck(known)
        require(actor, Permission.RUNS_READ)
        return actor

    # -- what it says -------------------------------------------------------------------------------------------

    def _answer(self, known: _Connection, message: Said, until: Millis) -> None:
        match message:
            case Ping():
                self._push.send(known.id, encoded({"type": "pong"}))
            case Subscribe():
                self._subscribe(known, message, until)
            case Unsubscribe():
                name = name_of(message)
                if not self._watches.remove(known.account, name, known.id):
                    raise NotFound("there is no such subscription")
                self._change(known, lambda one: replace(one, watches=tuple(w for w in one.watches if w != name)))
                self._push.send(known.id, unsubscribed(name, "asked"))
            case Auth():
                raise InvalidInput("you are known already")

    def _subscribe(self, known: _Connection, message: Subscribe, until: Millis) -> None:
        self._actor(known)
        name = name_of(message)
        position = Position.parse(message.last_event_id) if message.last_event_id else START
        if name != ACCOUNT:
            self._watches.require_run(known.account, name)
        if self._watches.find(known.account, name, known.id) is not None:
            raise Conflict("you have this subscription already")
        most = self._limits.per_account
        if self._watches.count(known.account, most) >= most:
            raise TooManyRequests(f"the account has {most:,} live readers already", retry_after=5)
        self._remember(known, name)
        who = known.user, known.token, known.session
        watch = Watch(known.account, name, known.id, *who, position, message.steps, expires_at=known.expires_at)
        self._watches.begin(watch, until)

    def _remember(self, known: _Connection, name: str) -> None:
        """Note what a connection watches, before it does, so that all of it goes with the connection."""

        def add(one: _Connection) -> _Connection:
            there = tuple(w for w in one.watches if self._watches.find(one.account, w, one.id) is not None)
            if len(there) >= MOST_SUBSCRIPTIONS:
                raise TooManyRequests(f"a connection may have {MOST_SUBSCRIPTIONS} subscriptions")
            return replace(one, watches=(*there, name))

        def append(one: _Connection) -> _Connection:
            return replace(one, watches=(*one.watches, name)) if len(one.watches) < MOST_SUBSCRIPTIONS else add(one)

        if not self._change(known, append):
            raise NotFound("the connection is closed")

    def _change(self, known: _Connection, change: Callable[[_Connection], _Connection]) -> bool:
        """Change what is kept of a connection; False if it is gone."""
        for _ in range(TRIES):
            now = self._clock.now()
            entity = self._entities.get(known.account, KIND, known.id, now)
            if entity is None:
                return False
            if self._entities.put(change(_Connection.decode(entity)).encode(), now, entity.rev) is not None:
                return True
        raise StoreError("the connection changes all the time; try again")

    def _refuse(self, connection: str, error: FlowrunnerError, name: str | None, *, known: bool) -> None:
        """Say what is wrong; one of whom nobody knows who it is, and one that says too much, is let go."""
        try:
            self._push.send(connection, encoded(error_message(error, name)))
            if not known or isinstance(error, TooLarge | Unauthenticated):
                self._push.close(connection)
        except StoreError as trouble:
            log.warning("a connection could not be told what is wrong: %s", trouble)

    def _find(self, connection: str) -> _Connection | None:
        entity = self._entities.find(KIND, connection, self._clock.now())
        return _Connection.decode(entity) if entity is not None else None

    def _forget(self, account: AccountId, connection: str) -> None:
        """Remove a connection with all that it watches."""
        entity = self._entities.get(account, KIND, connection, self._clock.now())
        for name in _Connection.decode(entity).watches if entity is not None else ():
            self._watches.remove(account, name, connection)
        self._entities.delete(account, KIND, connection)


def _safely(work: Callable[[], None]) -> None:
    """One watch that cannot be told harms no other. Raises `StoreError`."""
    try:
        work()
    except StoreError:
        raise
    except Exception:  # one connection's trouble, whatever it is, is logged and harms no other
        log.exception("a watch could not be told what is new")
