"""The parts of outbound webhooks, put together over an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from flowrunner.core.ids import AccountId
from flowrunner.engine.engine import Engine
from flowrunner.services.audit import Audit
from flowrunner.services.background import Task
from flowrunner.services.deliveries import Deliveries
from flowrunner.services.endpoint_keys import EndpointKeys
from flowrunner.services.endpoints import Endpoints
from flowrunner.services.relay import Relay
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.sender import Sender, SenderSettings
from flowrunner.services.webhooks import CheckUrl, Webhooks
from flowrunner.settings import WebhookSettings

RELAY, DELIVERIES = "webhook-relay", "webhook-deliveries"


@dataclass(frozen=True, slots=True)
class Outbound:
    """What tells others of runs. `webhooks` and `deliveries` are for people, the rest works by itself."""

    webhooks: Webhooks
    deliveries: Deliveries
    relay: Relay
    sender: Sender

    def tasks(self) -> Sequence[Task]:
        """The rounds of the background: they come at once when they are woken, else when something is due."""
        return (
            Task(RELAY, 30_000, self.relay.sweep, at_stop=True),
            Task(DELIVERIES, 30_000, self.sender.send),
        )

    def wake_by(self, wake: Callable[[str], None]) -> None:
        """`wake` gets the name of a task that has something to do."""
        self.relay.on_change = lambda: wake(RELAY)
        self.deliveries.on_due = lambda: wake(DELIVERIES)
        self.sender.on_free = lambda: wake(DELIVERIES)

    def close(self) -> None:
        """Wait for what is being sent."""
        self.sender.close()


def make_outbound(
    engine: Engine,
    box: SecretBox,
    audit: Audit,
    check_url: CheckUrl,
    settings: WebhookSettings,
    check_count: Callable[[AccountId, Callable[[], int]], None] = lambda account, count: None,
    executor: Executor | None = None,
    *,
    streamed: bool = False,
) -> Outbound:
    """Made, and told of the engine's runs from now on; `executor` sends instead of threads of its own.

    `streamed`: a table's stream tells of the runs (`run_news`), in processes that stand still between their rounds.
    """
    parts, services = engine.parts, engine.services
    clock, draws, entities = parts.clock, parts.draws, parts.backend.entities
    endpoints, keys = Endpoints(entities, clock), EndpointKeys(box, draws)
    deliveries = Deliveries(entities, endpoints, audit, clock, settings.keep)
    webhooks = Webhooks(endpoints, deliveries, keys, parts.backend.flows, audit, clock, draws, check_url, check_count)
    relay = Relay(entities, endpoints, deliveries, engine.feed, clock, parts.public_url)
    limits = SenderSettings(settings.threads, settings.per_second, settings.in_flight, waits=streamed)
    sender = Sender(
        deliveries,
        endpoints,
        keys,
        services.secrets,
        services.http,
        audit,
        clock,
        draws,
        limits,
        public_url=parts.public_url,
        executor=executor,
    )
    services.before_start.append(relay.announced)
    if not streamed:
        engine.watchers.watch_all(relay.changed)
    return Outbound(webhooks, deliveries, relay, sender)
