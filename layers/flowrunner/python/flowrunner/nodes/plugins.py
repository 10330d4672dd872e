"""The plugins of a process: installed packages, found by entry point, and the files of a folder.

A package names its node types in the entry point group `flowrunner.nodes`, each under the name that flows write as
`type:`, and mappings of helpers for scripts in `flowrunner.helpers`. Both are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import Any, Literal

from flowrunner.errors import FlowrunnerError
from flowrunner.nodes.base import NodeType, Params
from flowrunner.nodes.plugin_files import PluginFolder, helpers_of

ENTRY_POINTS = "flowrunner.nodes"
HELPER_POINTS = "flowrunner.helpers"
LOOK_SECONDS = 1.0
"""How often the folder is looked at, at most."""


@dataclass(frozen=True, slots=True)
class Provided:
    """A node type of a plugin: which plugin's, and its class or what gives it."""

    plugin: str
    where: str
    what: EntryPoint | type[NodeType[Any]]

    def load(self) -> Any:
        return self.what.load() if isinstance(self.what, EntryPoint) else self.what


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A plugin. `error` says why it cannot be used as it is."""

    name: str
    version: str | None
    source: Literal["package", "folder"]
    node_types: tuple[str, ...]
    helpers: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What there is at the moment. `errors` are those of node types, by name."""

    node_types: Mapping[str, Provided]
    errors: Mapping[str, str]
    helpers: Mapping[str, tuple[str, str]]
    """Plugin and source by the helper's name; of one that two plugins have, the first one's."""
    plugins: Mapping[str, PluginInfo]
    number: int = 0
    """Goes up with each change."""


class PluginSet:
    """All plugins. Safe for several threads. `taken` are names that no node type of a plugin can have."""

    def __init__(
        self,
        taken: Collection[str],
        entries: Iterable[EntryPoint] | None = None,
        folder: Path | None = None,
        helpers: Iterable[EntryPoint] | None = None,
        every: float = LOOK_SECONDS,
    ) -> None:
        own = entries is None
        self._taken = taken
        self._entries = list(entry_points(group=ENTRY_POINTS)) if entries is None else list(entries)
        self._helpers = list(entry_points(group=HELPER_POINTS)) if helpers is None and own else list(helpers or ())
        self._folder = PluginFolder(folder) if folder is not None else None
        self._every = every
        self._next = 0.0
        self._lock = RLock()
        self._found: Found | None = None

    def now(self) -> Found:
        """What there is now; the folder is looked at again if that was a while ago."""
        found = self._found
        if found is not None and (self._folder is None or monotonic() < self._next):
            return found
        with self._lock:
            changed = self._folder is not None and self._folder.look()
            self._next = monotonic() + self._every
            if self._found is None or changed:
                self._found = self._put_together(self._found.number + 1 if self._found is not None else 0)
            return self._found

    def _put_together(self, number: int) -> Found:
        node_types: dict[str, Provided] = {}
        errors: dict[str, str] = {}
        for name, one in self._all_types():
            if name in self._taken:
                errors[name] = f"{one.where}: the name belongs to a built-in node type"
            elif name in node_types:
                errors[name] = f"both {node_types[name].where} and {one.where} want this name; uninstall one of them"
            else:
                node_types[name] = one
        helpers: dict[str, tuple[str, str]] = {}
        plugins = self._packages(helpers)
        for file in self._folder.plugins.values() if self._folder is not None else ():
            for name, source in file.helpers.items():
                helpers.setdefault(name, (file.name, source))
            types, names = tuple(sorted(file.node_types)), tuple(sorted(file.helpers))
            plugins[file.name] = PluginInfo(file.name, file.version, "folder", types, names, file.error)
        return Found(node_types, errors, helpers, plugins, number)

    def _all_types(self) -> Iterable[tuple[str, Provided]]:
        for entry in self._entries:
            yield entry.name, Provided(_plugin_of(entry), entry.value, entry)
        for file in self._folder.plugins.values() if self._folder is not None else ():
            for name, kind in file.node_types.items():
                yield name, Provided(file.name, file.path.name, kind)

    def _packages(self, helpers: dict[str, tuple[str, str]]) -> dict[str, PluginInfo]:
        """The plugins that are packages; their helpers are put into `helpers`."""
        types: dict[str, list[str]] = {}
        names: dict[str, list[str]] = {}
        versions: dict[str, str | None] = {}
        errors: dict[str, str] = {}
        for entry in (*self._entries, *self._helpers):
            versions.setdefault(_plugin_of(entry), entry.dist.version if entry.dist is not None else None)
        for entry in self._entries:
            types.setdefault(_plugin_of(entry), []).append(entry.name)
        for entry in self._helpers:
            plugin = _plugin_of(entry)
            try:
                given = helpers_of(entry.load(), entry.value)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code may raise whatever it likes
                errors[plugin] = f"{type(error).__name__}: {error}"
                continue
            names.setdefault(plugin, []).extend(given)
            for name, source in given.items():
                helpers.setdefault(name, (plugin, source))
        return {
            plugin: PluginInfo(
                plugin,
                version,
                "package",
                tuple(sorted(types.get(plugin, ()))),
                tuple(sorted(names.get(plugin, ()))),
                errors.get(plugin),
            )
            for plugin, version in versions.items()
        }


def made(provided: Provided, name: str) -> NodeType[Any]:
    """An initialized instance. Raises whatever the plugin raises, and `FlowrunnerError` for what is no node type."""
    loaded = provided.load()
    if not (isinstance(loaded, type) and issubclass(loaded, NodeType)):
        raise FlowrunnerError(f"{provided.where} is no subclass of flowrunner.nodes.base.NodeType")
    if name != loaded.name:
        raise FlowrunnerError(f"{provided.where} calls itself {loaded.name!r}; the entry point's name must be the same")
    model = getattr(loaded, "params", None)
    if not (isinstance(model, type) and issubclass(model, Params)):
        raise FlowrunnerError(f"{provided.where} has no `params` that is a subclass of flowrunner.nodes.base.Params")
    model.model_rebuild()  # models are built when they are first used: what is wrong with this one is said now
    node_type: NodeType[Any] = loaded()
    node_type.initialize()
    return node_type


def _plugin_of(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.name
