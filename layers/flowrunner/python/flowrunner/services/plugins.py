"""Plugins: node types and helpers that others wrote, installed by whoever runs the server, enabled or disabled by each
account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import orjson

from flowrunner.core.flow import Flow
from flowrunner.core.ids import AccountId, FlowId, Millis
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.nodes.plugins import PluginInfo
from flowrunner.nodes.registry import Registry
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit import Action, Audit
from flowrunner.services.identity import Actor, Permission, require

KIND = "plugin"
LOOK_AGAIN: Millis = 2_000
"""How long a worker goes by what it has read: a disabled plugin executes nothing after this time."""


Fault = Callable[[str, str], str | None]
"""What is wrong with a helper for scripts, by its name and source; None: nothing."""


@dataclass(frozen=True, slots=True)
class PluginType:
    """A node type of a plugin. `error` says why it cannot be used."""

    name: str
    title: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A package or file that adds node types, helpers for scripts, or both. `error` says what of it cannot be used."""

    name: str
    title: str
    version: str | None
    source: Literal["package", "folder"]
    node_types: Sequence[PluginType]
    helpers: Sequence[str]
    enabled: bool
    error: str | None = None


class Plugins:
    """See the module. A follower of flows: one that uses a disabled plugin is not stored."""

    def __init__(
        self,
        entities: Entities,
        clock: Clock,
        registry: Registry,
        audit: Audit,
        fault: Fault = lambda name, source: None,
    ) -> None:
        self._entities = entities
        self._clock = clock
        self._registry = registry
        self._audit = audit
        self._fault = lru_cache(maxsize=1000)(fault)
        self._known: dict[tuple[AccountId, str], tuple[Millis, bool]] = {}

    def list(self, actor: Actor) -> Sequence[Plugin]:
        """All plugins of this server, by name."""
        require(actor, Permission.PLUGINS_READ)
        return [self._plugin(actor.account, info) for _, info in sorted(self._registry.installed().items())]

    def set_enabled(self, actor: Actor, name: str, *, enabled: bool) -> Plugin:
        """Enable or disable a plugin for the account. Raises `NotFound`."""
        require(actor, Permission.PLUGINS_WRITE)
        info = self._registry.installed().get(name)
        if info is None:
            raise NotFound(f"there is no plugin {name!r}")
        entity = Entity(actor.account, KIND, name, orjson.dumps({"enabled": enabled, "by": actor.name}))
        self._entities.put(entity, self._clock.now())
        self._known.pop((actor.account, name), None)
        self._audit.record(actor, Action.PLUGIN_ENABLED if enabled else Action.PLUGIN_DISABLED, name)
        return self._plugin(actor.account, info)

    def allowed(self, account: AccountId, node_type: str) -> bool:
        """For workers: whether nodes of this type may execute. Built-in types always may."""
        plugin = self._registry.plugin_of(node_type)
        return plugin is None or self._usable(account, plugin)

    def helpers(self, account: str) -> Mapping[str, str]:
        """For the sandbox: the helpers that scripts of an account have, by name, in JavaScript."""
        found = self._registry.helpers()
        return {
            name: source for name, (plugin, source) in found.items() if self._usable(AccountId(account), plugin)
        }  # mostly there are none

    # -- following flows ----------------------------------------------------------------------------------------

    def check(self, account: AccountId, flow: FlowId, document: Flow) -> None:
        """Raises `InvalidInput` for a flow that uses a disabled plugin."""
        used = {plugin for node in document.nodes.values() if (plugin := self._registry.plugin_of(node.type))}
        disabled = [name for name in sorted(used) if not self._enabled(account, name)]
        if disabled:
            raise InvalidInput(
                f"the flow uses {', '.join(disabled)}, which is disabled in this account", hint="enable it first"
            )

    def sync(self, account: AccountId, flow: FlowId, document: Flow, *, active: bool) -> None:
        """Nothing to do: plugins keep nothing of flows."""

    def forget(self, account: AccountId, flow: FlowId) -> None:
        """Nothing to do."""

    # -- how ----------------------------------------------------------------------------------------------------

    def _usable(self, account: AccountId, plugin: str) -> bool:
        """Whether it is enabled, as it was a moment ago."""
        now = self._clock.now()
        known = self._known.get((account, plugin))
        if known is None or known[0] <= now:
            known = (now + LOOK_AGAIN, self._enabled(account, plugin))
            self._known[account, plugin] = known
        return known[1]

    def _enabled(self, account: AccountId, name: str) -> bool:
        found = self._entities.get(account, KIND, name, self._clock.now())
        return bool(orjson.loads(found.body)["enabled"]) if found is not None else True

    def _plugin(self, account: AccountId, info: PluginInfo) -> Plugin:
        types = [self._type(name) for name in info.node_types]
        sources = self._registry.helpers()
        faults = [(name, self._fault(name, sources[name][1])) for name in info.helpers if name in sources]
        said = [f"the helper {name}: {fault}" for name, fault in faults if fault is not None]
        errors = [info.error, *(one.error for one in types), *said]
        return Plugin(
            info.name,
            next((one.title for one in types if one.title), ""),
            info.version,
            info.source,
            types,
            info.helpers,
            self._enabled(account, info.name),
            next((error for error in errors if error is not None), None),
        )

    def _type(self, name: str) -> PluginType:
        try:
            title = self._registry.describe(name).title
        except NotFound:
            title = ""
        return PluginType(name, title, self._registry.plugin_errors().get(name))
