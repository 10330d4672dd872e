"""Deliveries: one message to one endpoint each, with every try that was made.

    pending ──▶ delivered          an answer of 2xx
       │  ▲
       ▼  │ retry by hand
     failed                        given up: tried for a day, answered 410, or the endpoint was disabled

The schedule counts from the end of the try before, with a jitter that only shortens, so the last try is about 24 hours
after the first. What an endpoint asks for with `Retry-After` lengthens a wait, by at most an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import Conflict, NotFound, StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.endpoints import Endpoint, Endpoints
from flowrunner.services.identity import Actor, Permission, require

KIND = "delivery"

MINUTE, HOUR = 60_000, 3_600_000
SCHEDULE: tuple[Millis, ...] = (
    0, 5_000, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
)  # fmt: skip  # one line shows the growth
"""When the tries are made, after the first one (Standard Webhooks)."""

JITTER = 0.2
MAX_RETRY_AFTER: Millis = HOUR
TRIES_KEPT = 20
STORE_TRIES = 20


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Try:
    """One try: when, how long it took (ms), what was answered, or why there was no answer.

    `response` is the beginning of the body as text, escaped for HTML: receivers are strangers.
    """

    at: Millis
    duration: Millis
    status: int | None = None
    error: str | None = None
    response: str = ""

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message. Its `id` is also the `webhook-id` that the receiver gets."""

    account: AccountId
    id: str
    endpoint: str
    type: str
    payload: str
    created_at: Millis
    run: str | None = None
    depth: int = 0
    """How many runs had started each other: a receiver may be a hook of this server."""
    status: DeliveryStatus = DeliveryStatus.PENDING
    tries: tuple[Try, ...] = ()
    attempt: int = 0
    """Tries of the schedule that were made; `tries` holds the last ones only."""
    reason: str | None = None
    """Why it failed."""
    next_try: Millis | None = None
    slot: Millis | None = None
    """The moment that the rate limit of its target gave it."""
    rev: int = 0

    @property
    def key(self) -> str:
        """The id of its entity: an endpoint's deliveries are listed by time."""
        return f"{self.endpoint}.{self.created_at:013d}.{self.id.removeprefix('msg_')}"

    def tried(self, result: Try, wait: Millis, jitter: float) -> Delivery:
        """After a try. `wait` is what the receiver asked for, `jitter` a draw from [0, 1)."""
        done = replace(self, tries=(*self.tries, result)[-TRIES_KEPT:], attempt=self.attempt + 1, slot=None)
        if result.taken:
            return replace(done, status=DeliveryStatus.DELIVERED, next_try=None, reason=None)
        if done.attempt >= len(SCHEDULE):
            return done.given_up("every try has failed")
        pause = SCHEDULE[done.attempt] - SCHEDULE[done.attempt - 1]
        due = max(int(pause * (1 - JITTER * jitter)), min(wait, MAX_RETRY_AFTER))
        return replace(done, next_try=result.at + result.duration + due)

    def given_up(self, reason: str) -> Delivery:
        return replace(self, status=DeliveryStatus.FAILED, reason=reason, next_try=None, slot=None)

    def encode(self, expires_at: Millis | None) -> Entity:
        """As it is stored; it is due when it is to be tried, and expires only once it is over."""
        document = {
            "id": self.id,
            "endpoint": self.endpoint,
            "type": self.type,
            "payload": self.payload,
            "created": self.created_at,
            "run": self.run,
            "depth": self.depth,
            "status": self.status.value,
            "tries": [[one.at, one.duration, one.status, one.error, one.response] for one in self.tries],
            "attempt": self.attempt,
            "reason": self.reason,
            "next": self.next_try,
            "slot": self.slot,
        }
        over = self.status is not DeliveryStatus.PENDING
        body = orjson.dumps(document)
        due = None if over else self.next_try
        return Entity(self.account, KIND, self.key, body, 0, self.id, due, expires_at if over else None)

    @staticmethod
    def decode(entity: Entity) -> Delivery:
        document = orjson.loads(entity.body)
        return Delivery(
            account=entity.account,
            id=document["id"],
            endpoint=document["endpoint"],
            type=document["type"],
            payload=document["payload"],
            created_at=document["created"],
            run=document["run"],
            depth=document["depth"],
            status=DeliveryStatus(document["status"]),
            tries=tuple(Try(*values) for values in document["tries"]),
            attempt=document["attempt"],
            reason=document["reason"],
            next_try=document["next"],
            slot=document["slot"],
            rev=entity.rev,
        )


class Deliveries:
    """The deliveries of endpoints. `keep` is how long one that is over is shown."""

    def __init__(
        self, entities: Entities, endpoints: Endpoints, audit: Audit, clock: Clock, keep: Millis = 7 * 24 * HOUR
    ) -> None:
        self._entities = entities
        self._endpoints = endpoints
        self._audit = audit
        self._clock = clock
        self._keep = keep
        self.on_due: Callable[[], None] = lambda: None
        """Called when there is something to send at once."""

    # -- for people ---------------------------------------------------------------------------------------------

    def list(self, actor: Actor, endpoint: str, after: str | None = None, limit: int = 50) -> Sequence[Delivery]:
        """The deliveries to an endpoint, newest first, from behind the one with the `key` `after`."""
        require(actor, Permission.WEBHOOKS_READ)
        self._endpoint(actor, endpoint)
        now = self._clock.now()
        found = self._entities.list(
            actor.account, KIND, now, prefix=f"{endpoint}.", after=after, limit=limit, descending=True
        )
        return [Delivery.decode(entity) for entity in found]

    def get(self, actor: Actor, endpoint: str, delivery: str) -> Delivery:
        """Raises `NotFound`."""
        require(actor, Permission.WEBHOOKS_READ)
        self._endpoint(actor, endpoint)
        return self._find(actor.account, endpoint, delivery)

    def retry(self, actor: Actor, endpoint: str, delivery: str) -> Delivery:
        """Send a delivery again at once, under the same message id, whatever became of it before.

        One that had failed for good is tried once. Raises `NotFound`, `Conflict` while the endpoint is disabled.
        """
        require(actor, Permission.WEBHOOKS_WRITE)
        if not self._endpoint(actor, endpoint).enabled:
            raise Conflict("the webhook is disabled", hint="enable it, then retry")
        for _ in range(STORE_TRIES):
            found = self._find(actor.account, endpoint, delivery)
            now = self._clock.now()
            again = replace(found, status=DeliveryStatus.PENDING, next_try=now, slot=None, reason=None)
            if self.write(again, found.rev) is not None:
                self._audit.record(actor, Action.DELIVERY_RETRIED, delivery, webhook=endpoint)
                self.on_due()
                return again
        raise StoreError("the delivery changes all the time; try again")

    # -- for the sender and the relay ---------------------------------------------------------------------------

    def add(self, delivery: Delivery) -> Delivery | None:
        """Store a new delivery. None when there is one of that id already: a repeated event."""
        try:
            return self.write(delivery, 0)
        except Conflict:
            return None

    def write(self, delivery: Delivery, expected_rev: int) -> Delivery | None:
        """Store it at that revision; None when another process was faster."""
        now = self._clock.now()
        stored = self._entities.put(delivery.encode(now + self._keep), now, expected_rev)
        return replace(delivery, rev=stored.rev) if stored is not None else None

    def current(self, delivery: Delivery) -> Delivery | None:
        """It as it is now; None when it is gone."""
        entity = self._entities.get(delivery.account, KIND, delivery.key, self._clock.now())
        return Delivery.decode(entity) if entity is not None else None

    def due(self, limit: int) -> Sequence[Delivery]:
        """Those to be tried now, of all accounts."""
        return [Delivery.decode(entity) for entity in self._entities.due(KIND, self._clock.now(), limit)]

    def next_due(self) -> Millis | None:
        return self._entities.next_due(KIND)

    def drop(self, delivery: Delivery) -> None:
        """Remove one whose endpoint is gone."""
        self._entities.delete(delivery.account, KIND, delivery.key)

    def _endpoint(self, actor: Actor, endpoint: str) -> Endpoint:
        found = self._endpoints.get(actor.account, endpoint)
        if found is None:
            raise NotFound("there is no such webhook")
        return found

    def _find(self, account: AccountId, endpoint: str, delivery: str) -> Delivery:
        entity = self._entities.find(KIND, delivery, self._clock.now())
        found = Delivery.decode(entity) if entity is not None and entity.account == account else None
        if found is None or found.endpoint != endpoint:
            raise NotFound("there is no such delivery")
        return found
