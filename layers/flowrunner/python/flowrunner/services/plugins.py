"""Plugins: node types that others wrote, installed by whoever runs the server, enabled or disabled by each account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.nodes.registry import Registry
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require

KIND = "plugin"
LOOK_AGAIN: Millis = 2_000
"""How long a worker goes by what it has read: a disabled plugin executes nothing after this time."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A node type from outside. `error` says why it cannot be used at all."""

    name: str
    title: str
    enabled: bool
    error: str | None = None


class Plugins:
    """See the module. A follower of flows: one that uses a disabled plugin is not stored."""

    def __init__(self, entities: Entities, clock: Clock, registry: Registry, audit: Audit) -> None:
        self._entities = entities
        self._clock = clock
        self._registry = registry
        self._audit = audit
        self._known: dict[tuple[AccountId, str], tuple[Millis, bool]] = {}

    def list(self, actor: Actor) -> Sequence[Plugin]:
        """All plugins of this server."""
        require(actor, Permission.PLUGINS_READ)
        names = sorted({*self._registry.plugins(), *self._registry.plugin_errors()})
        return [self._plugin(actor.account, name) for name in names]

    def set_enabled(self, actor: Actor, name: str, *, enabled: bool) -> Plugin:
        """Enable or disable a plugin for the account. Raises `NotFound`."""
        require(actor, Permission.PLUGINS_WRITE)
        if name not in self._registry.plugins():
            raise NotFound(f"there is no plugin {name!r}")
        entity = Entity(actor.account, KIND, name, orjson.dumps({"enabled": enabled, "by": actor.name}))
        self._entities.put(entity, self._clock.now())
        self._known.pop((actor.account, name), None)
        self._audit.record(actor, Action.PLUGIN_ENABLED if enabled else Action.PLUGIN_DISABLED, name)
        return self._plugin(actor.account, name)

    def allowed(self, account: AccountId, node_type: str) -> bool:
        """For workers: whether nodes of this type may execute. Built-in types always may."""
        if node_type not in self._registry.plugins():
            return True
        now = self._clock.now()
        known = self._known.get((account, node_type))
        if known is None or known[0] <= now:
            known = (now + LOOK_AGAIN, self._enabled(account, node_type))
            self._known[account, node_type] = known
        return known[1]

    # -- following flows ----------------------------------------------------------------------------------------

    def check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        """Raises `InvalidInput` for a flow that uses a disabled plugin."""
        plugins = self._registry.plugins()
        used = sorted({node.type for node in document.nodes.values() if node.type in plugins})
        disabled = [name for name in used if not self._enabled(account, name)]
        if disabled:
            raise InvalidInput(
                f"the flow uses {', '.join(disabled)}, which is disabled in this account", hint="enable it first"
            )

    def sync(self, account: AccountId, flow: FlowId, document: Flow, *, active: bool) -> None:
        """Nothing to do: plugins keep nothing of flows."""

    def forget(self, account: AccountId, flow: FlowId) -> None:
        """Nothing to do."""

    # -- how ----------------------------------------------------------------------------------------------------

    def _enabled(self, account: AccountId, name: str) -> bool:
        found = self._entities.get(account, KIND, name, self._clock.now())
        return bool(orjson.loads(found.body)["enabled"]) if found is not None else True

    def _plugin(self, account: AccountId, name: str) -> Plugin:
        try:
            title = self._registry.describe(name).title
        except NotFound:
            title = ""
        return Plugin(name, title, self._enabled(account, name), self._registry.plugin_errors().get(name))
