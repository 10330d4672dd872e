"""All services of one installation, put together once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from flowrunner.core.ids import AccountId
from flowrunner.engine.engine import Engine
from flowrunner.engine.retention import Retention
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities
from flowrunner.ports.push import Push
from flowrunner.services.accounts import Accounts
from flowrunner.services.audit import Audit
from flowrunner.services.authentication import Authenticator
from flowrunner.services.background import Background, Task
from flowrunner.services.deliveries import Deliveries
from flowrunner.services.erasure import Erasure
from flowrunner.services.flow_tools import FlowTools
from flowrunner.services.flows import FlowService
from flowrunner.services.health import Health
from flowrunner.services.hook_paths import HookPaths
from flowrunner.services.hooks import HookService
from flowrunner.services.installation import shared_key
from flowrunner.services.live import Hub
from flowrunner.services.live_readers import LiveLimits
from flowrunner.services.modules import Modules
from flowrunner.services.outbound import Outbound, make_outbound
from flowrunner.services.people import make_people
from flowrunner.services.plugins import Plugins
from flowrunner.services.quotas import Quotas
from flowrunner.services.rotation import Rotation
from flowrunner.services.runs import RunService
from flowrunner.services.schedule_sweep import INTERVAL as SCHEDULE_INTERVAL
from flowrunner.services.schedule_sweep import ScheduleSweep
from flowrunner.services.schedules import ScheduleService
from flowrunner.services.secret_box import SecretBox
from flowrunner.services.sessions import Sessions
from flowrunner.services.sockets import Sockets
from flowrunner.services.throttle import Throttle
from flowrunner.services.tickets import Tickets
from flowrunner.services.tokens import Tokens
from flowrunner.services.usage import INTERVAL as USAGE_INTERVAL
from flowrunner.services.usage import Usage
from flowrunner.services.users import Users
from flowrunner.services.vault import Vault
from flowrunner.services.webhooks import CheckUrl, Webhooks
from flowrunner.settings import Settings
from flowrunner.telemetry.observing import Telemetry, observe_engine

HOUR = 3_600_000


@dataclass(slots=True)
class Platform:
    """What the API and the commands of a server call."""

    settings: Settings
    engine: Engine
    audit: Audit
    usage: Usage
    quotas: Quotas
    accounts: Accounts
    users: Users
    tokens: Tokens
    sessions: Sessions
    tickets: Tickets
    authenticator: Authenticator
    plugins: Plugins
    flows: FlowService
    runs: RunService
    flow_tools: FlowTools
    live: Hub
    hooks: HookService
    schedules: ScheduleService
    vault: Vault
    modules: Modules
    webhooks: Webhooks
    deliveries: Deliveries
    outbound: Outbound
    sockets: Sockets | None
    """The WebSocket connections of a gateway, if there is one."""
    background: Background
    health: Health
    telemetry: Telemetry
    account_throttle: Throttle | None
    address_throttle: Throttle | None
    cursor_key: Callable[[], bytes]
    """Seals the cursors of lists; the same in every process. Looked up when it is first used."""

    def close(self) -> None:
        """End the background work, then everything below."""
        self.live.stop()
        self.background.stop()
        self.outbound.close()
        self.telemetry.close()
        self.engine.close()


def assemble(engine: Engine, settings: Settings, check_url: CheckUrl, push: Push | None = None) -> Platform:
    """The services over an engine. Nothing runs yet: `Platform.background.start` begins what nobody asks for.

    `check_url` says whether a request to a URL would be let out now: the egress guard's `check`. `push` reaches the
    WebSocket connections that a gateway holds.
    """
    parts = engine.parts
    backend, clock, draws = parts.backend, parts.clock, parts.draws
    entities = backend.entities
    audit = Audit(entities, clock)
    origins = [*settings.api.cors_origins, *([settings.public_url] if settings.public_url else [])]
    streamed = settings.usage.by == "stream"
    usage = Usage(entities, clock, streamed=streamed)
    if not streamed:
        engine.watchers.watch_all(usage.observe)
    quotas = Quotas(settings.quotas, backend.values, backend.history, usage, clock)
    people = make_people(entities, audit, clock, draws, quotas, settings.accounts, origins=origins)
    plugins = Plugins(entities, clock, parts.registry, audit, parts.sandbox.helper_fault)
    engine.services.may_execute = plugins.allowed
    parts.sandbox.helpers = plugins.helpers
    engine.services.admit_child = quotas.check_child
    hook_paths = HookPaths(entities, clock)
    schedules = ScheduleService(engine, audit, quotas)
    assert parts.keys is not None, "a server has keys"
    box = SecretBox(entities, parts.keys, clock)
    rotation = Rotation(entities, parts.keys, box, audit, clock, settings.vault.min_key_age)
    vault = Vault(box, rotation, audit, partial(_check_secrets, quotas))
    count = partial(_check_webhooks, quotas)
    outbound = make_outbound(engine, box, audit, check_url, settings.webhooks, count, streamed=streamed)
    flows = FlowService(engine, audit, quotas, [plugins, hook_paths, schedules, outbound.webhooks])
    runs = RunService(engine, flows, audit, quotas, people.accounts.active)
    schedule_sweep = ScheduleSweep(entities, clock, runs.start_triggered)
    erasure = Erasure(backend, people.members, engine.control.cancel, clock)
    retention = Retention(backend, clock, settings.store.retention)
    limits = LiveLimits(settings.live.readers, settings.live.readers_per_account)
    sockets = (
        Sockets(entities, engine.feed, push, people.authenticator, people.tickets, clock, limits) if push else None
    )
    tasks = [
        Task("flows", 60_000, flows.sweep),
        Task("schedules", SCHEDULE_INTERVAL, schedule_sweep.sweep),
        Task("erasure", 60_000, erasure.sweep),
        *([] if streamed else [Task("usage", USAGE_INTERVAL, usage.flush, at_stop=True)]),
        Task("retention", 60_000, retention.sweep),
        Task("expiry", HOUR, partial(_purge, entities, clock)),
        Task("vault", HOUR, vault.sweep),
        *outbound.tasks(),
        *([Task("sockets", 60_000, sockets.sweep)] if sockets is not None else []),
    ]
    background = Background(clock, tasks)
    outbound.wake_by(background.wake)
    telemetry = observe_engine(engine, settings)
    outbound.sender.on_outcome = telemetry.delivery
    return Platform(
        settings=settings,
        engine=engine,
        audit=audit,
        usage=usage,
        quotas=quotas,
        accounts=people.accounts,
        users=people.users,
        tokens=people.tokens,
        sessions=people.sessions,
        tickets=people.tickets,
        authenticator=people.authenticator,
        plugins=plugins,
        flows=flows,
        runs=runs,
        flow_tools=FlowTools(engine, flows, runs),
        live=Hub(engine, limits),
        hooks=HookService(engine, hook_paths, runs, audit, settings.hooks),
        schedules=schedules,
        vault=vault,
        modules=Modules(backend.values, clock, audit),
        webhooks=outbound.webhooks,
        deliveries=outbound.deliveries,
        outbound=outbound,
        sockets=sockets,
        background=background,
        health=Health(entities, clock),
        telemetry=telemetry,
        account_throttle=_throttle(clock, settings.api.requests_per_account),
        address_throttle=_throttle(clock, settings.api.requests_per_address),
        cursor_key=cache(partial(shared_key, entities, clock, draws, "cursors")),
    )


def _purge(entities: Entities, clock: Clock) -> None:
    entities.purge(clock.now())


def _check_webhooks(quotas: Quotas, account: AccountId, count: Callable[[], int]) -> None:
    quotas.check_count(account, "webhooks", count)


def _check_secrets(quotas: Quotas, account: AccountId, count: Callable[[], int]) -> None:
    quotas.check_count(account, "secrets", count)


def _throttle(clock: Clock, per_minute: int) -> Throttle | None:
    return Throttle(clock, per_minute) if per_minute else None
