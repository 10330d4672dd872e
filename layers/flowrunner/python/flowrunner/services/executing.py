"""What the services have to say about steps, for a process that executes steps and does nothing else."""

from __future__ import annotations

from flowrunner.engine.engine import Engine
from flowrunner.services.audit import Audit
from flowrunner.services.deliveries import Deliveries
from flowrunner.services.endpoints import Endpoints
from flowrunner.services.plugins import Plugins
from flowrunner.services.quotas import Quotas
from flowrunner.services.relay import Relay
from flowrunner.services.usage import Usage
from flowrunner.settings import QuotaSettings, WebhookSettings


def guard_steps(engine: Engine, quotas: QuotaSettings, webhooks: WebhookSettings) -> None:
    """Hold steps to what accounts may do, and tell outbound webhooks of the runs that steps start.

    As `platform.assemble` does, but with nothing that is counted or sent by this process.
    """
    parts = engine.parts
    backend, clock = parts.backend, parts.clock
    entities, audit = backend.entities, Audit(backend.entities, clock)
    usage = Usage(entities, clock)
    engine.services.may_execute = Plugins(entities, clock, parts.registry, audit).allowed
    engine.services.admit_child = Quotas(quotas, backend.values, backend.history, usage, clock).check_child
    endpoints = Endpoints(entities, clock)
    deliveries = Deliveries(entities, endpoints, audit, clock, webhooks.keep)
    relay = Relay(entities, endpoints, deliveries, engine.feed, clock, parts.public_url)
    engine.services.before_start.append(relay.announced)
