"""The function behind the table's stream, over an engine whose table has one; for tests and for the bench."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.functions.observing import Observed
from flowrunner.functions.stream import Stream
from flowrunner.ports.http import HttpRequest, HttpResponse
from flowrunner.services.audit import Audit
from flowrunner.services.authentication import Credentials
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.outbound import Outbound, make_outbound
from flowrunner.services.run_news import RunNews
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.sockets import Hail, Sockets
from flowrunner.services.stream_usage import StreamUsage
from flowrunner.services.usage import Counts, Usage
from flowrunner.settings import Settings, WebhookSettings

from tests.adapters.aws.calls import Door
from tests.adapters.aws.streaming import Record, Streamed, streamed
from tests.engine.harness import ACCOUNT
from tests.functions.installation import Context
from tests.services.gateway import Gateway
from tests.services.outbound import OWNER, Receiver


class Trusting:
    """Knows everybody as a viewer of the tests' account."""

    def authenticate(self, _given: Credentials) -> Actor:
        return Actor(ACCOUNT, "vic", PERMISSIONS[Role.VIEWER], user="vic")

    def recheck(self, actor: Actor) -> Actor:
        return replace(actor, permissions=PERMISSIONS[Role.VIEWER])


@dataclass
class Deployed:
    """An engine whose table has a stream, and the function behind it."""

    streamed: Streamed
    handler: Stream
    news: RunNews
    out: Outbound
    gateway: Gateway
    sockets: Sockets
    receiver: Receiver
    usage: Usage

    def invoke(self, records: list[Record] | None = None) -> list[str]:
        """One invocation; the sequence numbers that it answers as failed."""
        batch = self.streamed.table.batch() if records is None else records
        answer = self.handler({"Records": batch}, Context())
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def watch(self, **subscription: Any) -> str:
        self.sockets.hear(Hail("c1"), json.dumps({"type": "auth", "token": "t"}), self.now() + 20_000)
        self.sockets.hear(Hail("c1"), json.dumps({"type": "subscribe", **subscription}), self.now() + 20_000)
        return "c1"

    def heard(self) -> list[str]:
        """The types of the events that the client was sent since."""
        return [one["event"]["type"] for one in self.gateway.sent.pop("c1", []) if one["type"] == "event"]

    def total(self) -> Counts:
        return self.usage.report(OWNER, "2026-01-01", "2026-01-01").total

    def now(self) -> int:
        return self.streamed.bench.clock.now()


@contextmanager
def deployed(
    answer: Callable[[HttpRequest], HttpResponse] | None = None, door: Door | None = None
) -> Iterator[Deployed]:
    """A new installation; what the function asks of the table goes through `door`."""
    receiver = Receiver(answer)
    with streamed(http=receiver) as s:
        engine, clock = s.bench.engine, s.bench.clock
        backend = s.backend if door is None else s.cloud.backend(door)
        entities = backend.entities
        box = SecretBox(entities, MemoryKeyRing(), clock)
        out = make_outbound(engine, box, Audit(entities, clock), lambda url: None, WebhookSettings(), streamed=True)
        gateway = Gateway()
        trusting = cast("Any", Trusting())
        sockets = Sockets(entities, engine.feed, gateway, trusting, cast("Any", None), clock, LiveLimits())
        observed = Observed("stream", Settings())
        usage = StreamUsage(entities, clock, lambda change: "test", observed.observe_commits)
        news = RunNews(usage, out, sockets)
        handler = Stream(backend.changes, news, observed, clock)
        yield Deployed(s, handler, news, out, gateway, sockets, receiver, Usage(entities, clock, streamed=True))
        out.close()
