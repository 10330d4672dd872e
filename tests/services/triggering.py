"""Flows with triggers over the memory backend: the services that start runs by themselves, and a worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flowrunner.core.ids import AccountId, FlowId, RunId
from flowrunner.engine.engine import Engine
from flowrunner.ports.backend import Backend
from flowrunner.ports.history import RunFilter
from flowrunner.services.audit import Audit
from flowrunner.services.flow_records import FlowStatus
from flowrunner.services.flows import FlowService, Follower
from flowrunner.services.hook_paths import HookPaths
from flowrunner.services.hooks import HookService
from flowrunner.services.identity import PERMISSIONS, Actor, Role
from flowrunner.services.quotas import Quotas
from flowrunner.services.runs import RunService
from flowrunner.services.schedule_sweep import ScheduleSweep
from flowrunner.services.schedules import ScheduleService
from flowrunner.services.usage import Usage
from flowrunner.settings import HookSettings, QuotaSettings

from tests.engine.harness import ACCOUNT, Bench, bench

OWNER = Actor(ACCOUNT, "owner", PERMISSIONS[Role.OWNER])
STRANGER = Actor(AccountId("other"), "stranger", PERMISSIONS[Role.OWNER])


@dataclass
class Services:
    """What a process of a server has for triggers. Several may share a `bench`."""

    bench: Bench
    audit: Audit
    flows: FlowService
    runs: RunService
    schedules: ScheduleService
    sweep: ScheduleSweep
    paths: HookPaths
    hooks: HookService

    @property
    def engine(self) -> Engine:
        return self.bench.engine

    def save(self, text: str, status: FlowStatus = FlowStatus.ACTIVE, actor: Actor = OWNER) -> FlowId:
        """A new flow, or a new revision of the one of that name."""
        name = self.engine.load(text).flow.name
        known = self.flows.by_name(actor.account, name)
        if known is not None:
            self.flows.update(actor, known, text)
            return known
        return self.flows.create(actor, text, status).record.id

    def started(self, account: AccountId = ACCOUNT) -> list[RunId]:
        """All runs, oldest first."""
        rows = self.engine.parts.backend.history.runs(account, RunFilter(limit=1000))
        return [row.id for row in reversed(rows)]

    def inputs(self) -> list[Any]:
        """The inputs of all runs, oldest first."""
        return [self.runs.input(self.runs.get(OWNER, run)) for run in self.started()]

    def acts(self) -> list[str]:
        """The acts in the audit log of the account, oldest first."""
        return [record.action for record in reversed(self.audit.list(OWNER, limit=100).records)]


@contextmanager
def services(
    backend: Backend | None = None, *, quotas: Mapping[str, int] | None = None, **options: Any
) -> Iterator[Services]:
    """The services on `backend` (memory unless told); `options` go to the engine."""
    with bench(backend, **options) as made:
        yield over(made, quotas)


def over(made: Bench, quotas: Mapping[str, int] | None = None) -> Services:
    """The services of one process over an engine."""
    parts = made.engine.parts
    entities, clock = parts.backend.entities, parts.clock
    audit = Audit(entities, clock)
    limits = Quotas(
        QuotaSettings(**(quotas or {})), parts.backend.values, parts.backend.history, Usage(entities, clock), clock
    )
    schedules = ScheduleService(made.engine, audit, limits)
    paths = HookPaths(entities, clock)
    followers: list[Follower] = [paths, schedules]
    flows = FlowService(made.engine, audit, limits, followers)
    runs = RunService(made.engine, flows, audit, limits)
    sweep = ScheduleSweep(entities, clock, runs.start_triggered)
    hooks = HookService(made.engine, paths, runs, audit, HookSettings())
    return Services(made, audit, flows, runs, schedules, sweep, paths, hooks)
