"""Plugins in a folder: Python files, packages and JavaScript helpers, loaded when they are new and again when changed.

    plugins/
      greet.py        every class of it that is a `NodeType` is a node type; `HELPERS` are helpers for scripts
      warehouse/      a package: the same of its __init__.py
      slugify.js      one helper for scripts, called like the file: an expression that gives a function

What cannot be loaded is listed with its error and breaks nothing else; of a file that worked before the change goes on
what it was then. Names that begin with `_` or `.` are left alone.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from flowrunner.nodes.base import NodeType

PACKAGE = "flowrunner_plugins"
"""What the modules of the folder are called in this process, with a number that goes up with each load."""
MOST_FILES = 2_000
"""Of one plugin that are watched."""
SOURCES = (".py", ".js")

_loads = count(1)

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class PluginFile:
    """One entry of the folder as it was loaded. `error` says why it, or its newest version, cannot be used."""

    name: str
    path: Path
    stamp: Stamp
    version: str | None = None
    node_types: Mapping[str, type[NodeType[Any]]] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


class PluginFolder:
    """The plugins of a folder. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.plugins: dict[str, PluginFile] = {}

    def look(self) -> bool:
        """Load what is new or changed, forget what is gone; whether there was any."""
        found = dict(_entries(self._folder))
        gone = self.plugins.keys() - found.keys()
        for name in gone:
            del self.plugins[name]
        changed = bool(gone)
        for name, path in found.items():
            stamp = _stamp(path)
            known = self.plugins.get(name)
            if known is None or known.stamp != stamp or known.path != path:
                self.plugins[name] = self._loaded(name, path, stamp, known)
                changed = True
        return changed

    def _loaded(self, name: str, path: Path, stamp: Stamp, before: PluginFile | None) -> PluginFile:
        try:
            if path.suffix == ".js":
                return PluginFile(name, path, stamp, helpers={name: path.read_text("utf-8")})
            return self._imported(name, path, stamp)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code may raise whatever it likes
            said = _said(error, path)
            if before is None or not (before.node_types or before.helpers):
                return PluginFile(name, path, stamp, error=said)
            going_on = f"{said}; the version before goes on"
            return PluginFile(name, path, stamp, before.version, before.node_types, before.helpers, going_on)

    def _imported(self, name: str, path: Path, stamp: Stamp) -> PluginFile:
        module_name = f"{PACKAGE}_{next(_loads)}_{name}"
        try:
            module = _import(module_name, path)
            version = getattr(module, "__version__", None)
            return PluginFile(
                name,
                path,
                stamp,
                version=str(version) if version is not None else None,
                node_types=dict(_node_types(module)),
                helpers=helpers_of(getattr(module, "HELPERS", {}), "HELPERS"),
            )
        except BaseException:
            for one in [one for one in sys.modules if one == module_name or one.startswith(f"{module_name}.")]:
                del sys.modules[one]
            raise


def helpers_of(value: object, where: str) -> Mapping[str, str]:
    """The helpers that a plugin names. Raises `TypeError` or `ValueError`."""
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for pair in value.items() for one in pair):
        raise TypeError(f"{where} is no mapping of names to JavaScript sources")
    for name in value:
        if not name.isidentifier() or not name.isascii():
            raise ValueError(f"{where}: {name[:80]!r} is no name that a script can use")
    return dict(value)


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """The plugins by name; of a name that two files have, the first in the order of the alphabet."""
    try:
        paths = sorted(folder.iterdir(), reverse=True)
    except OSError:
        return
    for path in paths:
        if not path.name.startswith(("_", ".")):
            if path.suffix in SOURCES and path.is_file():
                yield path.stem, path
            elif (path / "__init__.py").is_file():
                yield path.name, path


def _stamp(path: Path) -> Stamp:
    """What changes with each change of a file, or of any in a package."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix in SOURCES)
    found = []
    for file in files[:MOST_FILES]:
        try:
            status = file.stat()
        except OSError:  # it went away just now
            continue
        found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)


class _Fresh(SourceFileLoader):
    """Compiles the source as it is now. Cached bytecode goes by whole seconds, which is too coarse for an editor."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(name: str, path: Path) -> ModuleType:
    package = path.is_dir()
    file = str(path / "__init__.py" if package else path)
    folders = [str(path)] if package else None
    spec = spec_from_file_location(name, file, loader=_Fresh(name, file), submodule_search_locations=folders)
    assert spec is not None, "it has a loader"
    assert spec.loader is not None, "it was given"
    module = module_from_spec(spec)
    importlib.invalidate_caches()
    sys.modules[name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


def _node_types(module: ModuleType) -> Iterator[tuple[str, type[NodeType[Any]]]]:
    """The node types that a module shows, from itself or from the package around it."""
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, NodeType)
            and not inspect.isabstract(value)
            and f"{value.__module__}.".startswith(f"{module.__name__}.")
            and isinstance(getattr(value, "name", None), str)
        ):
            yield value.name, value


def _said(error: BaseException, path: Path) -> str:
    """What went wrong, and in which line of the plugin."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(path))]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
