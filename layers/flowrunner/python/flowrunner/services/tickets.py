"""Tickets: for what cannot send a header, such as a browser's WebSocket. Good once, for 30 seconds."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import orjson

from flowrunner.core.ids import Millis
from flowrunner.errors import Forbidden, Unauthenticated
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.authentication import Authenticator
from flowrunner.services.identity import Actor

KIND = "ticket"
LIFE: Millis = 30_000


class Tickets:
    """Issues and redeems tickets."""

    def __init__(self, entities: Entities, authenticator: Authenticator, clock: Clock, draws: Draws) -> None:
        self._entities = entities
        self._authenticator = authenticator
        self._clock = clock
        self._draws = draws

    def issue(self, actor: Actor) -> tuple[str, Millis]:
        """A ticket for the actor, and when it expires. Raises `Forbidden` for who is no user."""
        if actor.user is None:
            raise Forbidden("only a user can have a ticket")
        now = self._clock.now()
        ticket = self._draws.token()
        id = _hash(ticket)
        body = orjson.dumps({"user": actor.user, "token": actor.token, "session": actor.session})
        self._entities.put(Entity(actor.account, KIND, id, body, lookup=id, expires_at=now + LIFE), now, 0)
        return ticket, now + LIFE

    def redeem(self, ticket: str, address: str = "", correlation: str = "") -> Actor:
        """Who the ticket was issued to, with what they may do now. The second time it is refused.

        Raises `Unauthenticated`.
        """
        row = self._entities.find(KIND, _hash(ticket), self._clock.now())
        # Of several who redeem it at once, one deletes it.
        if row is None or not self._entities.delete(row.account, KIND, row.id):
            raise Unauthenticated("the ticket is not valid any more; get a new one")
        body = orjson.loads(row.body)
        issued = Actor(row.account, "", frozenset(), user=body["user"], token=body["token"], session=body["session"])
        return self._authenticator.recheck(replace(issued, address=address, correlation=correlation))


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
