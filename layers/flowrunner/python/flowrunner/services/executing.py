"""What the services have to say about steps, for a process that executes steps and does nothing else.

Most steps give no occasion, so what an occasion needs is imported at the first one: a function pays for its imports
each time that Lambda starts a process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from flowrunner.core.ids import AccountId
from flowrunner.engine.engine import Engine
from flowrunner.ports.runs import RunRow
from flowrunner.settings import QuotaSettings, WebhookSettings

if TYPE_CHECKING:
    from flowrunner.services.plugins import Plugins
    from flowrunner.services.quotas import Quotas
    from flowrunner.services.relay import Relay


def guard_steps(engine: Engine, quotas: QuotaSettings, webhooks: WebhookSettings) -> None:
    """Hold steps to what accounts may do, and tell outbound webhooks of the runs that steps start.

    As `platform.assemble` does, but with nothing that is counted or sent by this process.
    """
    registry = engine.parts.registry

    @cache
    def plugins() -> Plugins:
        return _plugins(engine)

    @cache
    def limits() -> Quotas:
        return _quotas(engine, quotas)

    @cache
    def relay() -> Relay:
        return _relay(engine, webhooks)

    def may_execute(account: AccountId, node_type: str) -> bool:
        return node_type not in registry.plugins() or plugins().allowed(account, node_type)

    def admit_child(account: AccountId) -> None:
        limits().check_child(account)

    def announce(rows: Sequence[RunRow]) -> None:
        relay().announced(rows)

    def helpers(account: str) -> Mapping[str, str]:
        return plugins().helpers(account) if registry.helpers() else {}

    engine.services.may_execute = may_execute
    engine.parts.sandbox.helpers = helpers
    engine.services.admit_child = admit_child
    engine.services.before_start.append(announce)


def _plugins(engine: Engine) -> Plugins:
    from flowrunner.services.audit import Audit
    from flowrunner.services.plugins import Plugins

    parts = engine.parts
    return Plugins(parts.backend.entities, parts.clock, parts.registry, Audit(parts.backend.entities, parts.clock))


def _quotas(engine: Engine, settings: QuotaSettings) -> Quotas:
    from flowrunner.services.quotas import Quotas
    from flowrunner.services.usage import Usage

    backend, clock = engine.parts.backend, engine.parts.clock
    return Quotas(settings, backend.values, backend.history, Usage(backend.entities, clock), clock)


def _relay(engine: Engine, settings: WebhookSettings) -> Relay:
    from flowrunner.services.audit import Audit
    from flowrunner.services.deliveries import Deliveries
    from flowrunner.services.endpoints import Endpoints
    from flowrunner.services.relay import Relay

    parts = engine.parts
    entities, clock = parts.backend.entities, parts.clock
    endpoints = Endpoints(entities, clock)
    deliveries = Deliveries(entities, endpoints, Audit(entities, clock), clock, settings.keep)
    return Relay(entities, endpoints, deliveries, engine.feed, clock, parts.public_url)
