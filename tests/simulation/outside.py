"""The world outside: receivers of webhooks, which check what they are sent, refuse it, and are away for a while."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

import orjson
from flowrunner.errors import Unauthenticated
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.services.deliveries import KIND, Delivery, DeliveryStatus
from flowrunner.services.endpoints import Endpoint
from flowrunner.services.signatures import Received, verify
from flowrunner.services.webhook_messages import message_id
from flowrunner.services.webhooks import NewWebhook

from tests.simulation.people import owner
from tests.simulation.scenes import Hearing

if TYPE_CHECKING:
    from flowrunner.services.platform import Platform

    from tests.simulation.world import World

REFUSALS = (0, 0, 0, 0, 0, 0, 1, 1, 2)
"""How often a message is refused before it is taken, by its luck."""
ANSWERS = (500, 503, 429, 404)
MOST = 1_000


@dataclass
class Outside:
    """See the module."""

    world: World
    endpoints: list[tuple[Endpoint, str]] = field(default_factory=list)
    """Each with its key; the last part of its URL is its place here."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    taken: dict[str, int] = field(default_factory=dict)
    """Messages that were answered well, and by which endpoint."""

    def listen(self, platform: Platform, hearing: Hearing) -> None:
        """Have an endpoint made."""
        wish = NewWebhook(f"https://out.example.com/{len(self.endpoints)}", hearing.events, flow=hearing.flow)
        made = platform.webhooks.create(owner(hearing.account), wish)
        self.endpoints.append((made.endpoint, made.key))

    def post(self, request: HttpRequest) -> HttpResponse:
        """What a receiver answers."""
        place = int(request.url.rpartition("/")[2])
        headers = {name.lower(): value for name, value in request.headers}
        body = request.content or b""
        received = Received(headers, body, self.world.clock.now())
        try:
            message = verify("standard-webhooks", self.endpoints[place][1], received) or ""
        except Unauthenticated as error:
            self.world.baton.fail(AssertionError(f"a message of webhook {place} is not signed well: {error}"))
            raise
        if self.bodies.setdefault(message, body) != body:
            self.world.baton.fail(AssertionError(f"the message {message} came with another body"))
        self.tries[message] += 1
        luck = crc32(f"{self.world.seed}/{message}".encode())
        if not self.world.sky.clear and self.tries[message] <= REFUSALS[luck % len(REFUSALS)]:
            return HttpResponse(ANSWERS[luck // 16 % len(ANSWERS)], url=request.url)
        self.taken[message] = place
        return HttpResponse(204, url=request.url)

    def pending(self) -> int | None:
        """When something is to be told or sent next; None when all is told."""
        entities = self.world.backend.entities
        moments = [entities.next_due(kind) for kind in ("relay", KIND)]
        return min((one for one in moments if one is not None), default=None)

    def check(self) -> None:
        """All that was to be told was told, to whom it concerns, under one id."""
        for place, (endpoint, _) in enumerate(self.endpoints):
            taken = {message for message, where in self.taken.items() if where == place}
            wanted = self._wanted(endpoint)
            missing = sorted(what for message, what in wanted.items() if message not in taken)
            assert not missing, f"webhook {endpoint.id} was not told of {missing}"
            others = [self.bodies[one] for one in sorted(taken - wanted.keys())]
            strange = [one for one in others if orjson.loads(one)["type"].startswith("run.")]
            assert not strange, f"webhook {endpoint.id} was told of what never was: {strange}"
            self._check_deliveries(endpoint, taken)

    def _wanted(self, endpoint: Endpoint) -> dict[str, str]:
        """The messages that it has to get, each with what it is about."""
        world, feed = self.world, self.world.reader().feed
        wanted: dict[str, str] = {}
        for row in world.rows(endpoint.account):
            if endpoint.flow not in (None, row.flow):
                continue
            ids = {event.id for event in feed.read(row.account, row.id).events if event.type in endpoint.events}
            ids |= {id for run, id, type in world.witness.endings if run == row.id and type in endpoint.events}
            wanted |= {message_id(endpoint.id, row.id, id): f"{row.id} {id}" for id in ids}
        return wanted

    def _check_deliveries(self, endpoint: Endpoint, taken: set[str]) -> None:
        """What is stored of them says the same."""
        entities = self.world.backend.entities
        now = self.world.clock.now()
        found = [
            Delivery.decode(one)
            for one in entities.list(endpoint.account, KIND, now, prefix=f"{endpoint.id}.", limit=MOST)
        ]
        said = {one.id for one in found if one.status is DeliveryStatus.DELIVERED}
        assert said == taken, f"webhook {endpoint.id} has deliveries that were not made: {sorted(said ^ taken)}"
