"""The importers: built in or plugged in, chosen by name or by the look of the document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from flowrunner.core.flow import Json
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.core.problems import Problem
from flowrunner.errors import InvalidInput, NotFound
from flowrunner.language.errors import InvalidFlow
from flowrunner.language.importers.base import CannotImport, Converted, Importer, Problems
from flowrunner.language.reader import MAX_BYTES, MAX_DEPTH, MAX_NODES, path_text
from flowrunner.language.suggest import nearest

BUILT_IN: Mapping[str, str] = {"flowengine": "flowengine:FlowengineImporter"}
"""Name → module within this package, and class."""

ENTRY_POINTS = "flowrunner.importers"


class Importers:
    """All importers of this process."""

    def __init__(self, plugins: Iterable[EntryPoint] | None = None) -> None:
        found = entry_points(group=ENTRY_POINTS) if plugins is None else plugins
        self._plugins = {entry.name: entry for entry in found if entry.name not in BUILT_IN}

    def names(self) -> list[str]:
        return sorted([*BUILT_IN, *self._plugins])

    def get(self, name: str) -> Importer:
        """Raises `NotFound` for an unknown name, `InvalidInput` for a plugin that cannot be loaded."""
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].partition(":")
            importer: Importer = getattr(import_module(f"flowrunner.language.importers.{module}"), attribute)()
            return importer
        if name not in self._plugins:
            near = nearest(name, self.names())
            meant = f"did you mean {near!r}?" if near else f"there are {', '.join(self.names())}"
            raise NotFound(f"there is no importer for {name[:80]!r}; {meant}")
        try:
            plugged: Importer = self._plugins[name].load()()
        except Exception as error:  # a plugin is other people's code, and may raise anything when it is loaded
            raise InvalidInput(f"the importer {name!r} cannot be loaded: {error!r}") from error
        return plugged

    def detect(self, document: Json) -> Importer:
        """The one importer that knows the document. Raises `CannotImport`."""
        # One that cannot be loaded must not hide the others: it is named when it is asked for by its name.
        able = [importer for importer in self._loadable() if importer.recognizes(document)]
        if len(able) == 1:
            return able[0]
        names = ", ".join(importer.name for importer in able) or ", ".join(self.names())
        why = "may be of several formats" if able else "is of no format that can be imported"
        raise CannotImport([Problem("", f"the document {why}; say which by --format: {names}")])

    def _loadable(self) -> Iterator[Importer]:
        for name in self.names():
            try:
                yield self.get(name)
            except InvalidInput:
                continue


def import_flow(
    data: bytes, check: Callable[[str], object], name: str | None = None, importers: Importers | None = None
) -> str:
    """The document as the text of a flow, which `check` (loading it) has found valid.

    Raises `CannotImport` with every problem and its place in the document, `NotFound` for an unknown format.
    """
    importers = importers or Importers()
    chosen = importers.get(name) if name is not None else None
    document = read_json(data)
    chosen = chosen or importers.detect(document)
    problems = Problems()
    converted = chosen.convert(document, problems)
    if problems.found:
        raise CannotImport(problems.found)
    try:
        check(converted.text)
    except InvalidFlow as error:
        raise CannotImport([_origin(problem, converted) for problem in error.problems]) from None
    return converted.text


def read_json(data: bytes) -> Json:
    """The document, within the limits of flow documents. Raises `CannotImport`."""
    if len(data) > MAX_BYTES:
        raise CannotImport([Problem("", f"the document has {len(data):,} bytes; a flow may have {MAX_BYTES:,}")])
    try:
        document: Json = parse_json(data, MAX_DEPTH)
    except BadJson as error:
        raise CannotImport([Problem("", str(error))]) from None
    if _count(document) > MAX_NODES:
        raise CannotImport([Problem("", f"the document has more than {MAX_NODES:,} values")])
    return document


def _count(document: Json) -> int:
    count, level = 0, [document]
    while level:
        count += len(level)
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [value for values in inside for value in values]
    return count


def _origin(problem: Problem, converted: Converted) -> Problem:
    """A problem of the flow at the place in the imported document that it comes from."""
    parts = problem.field.split(".")
    path = converted.nodes.get(parts[1].partition("[")[0]) if parts[0] == "nodes" and len(parts) > 1 else None
    message = f"{problem.message} (in the flow at {problem.field})" if problem.field else problem.message
    return replace(problem, field=path_text(path) if path else "", message=message, line=None, column=None)
