"""What is left of a document whose structure is not sound, so that one mistake hides no other.

Each field that its model refuses is cut out (a node id that is none takes its node with it) and the rest is looked at
as if that were the document. Edges that were cut make some questions pointless, such as what can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flowrunner.core.flow import Json
from flowrunner.language.reader import Document, Path
from flowrunner.language.schema import FlowDocument

UNKNOWN_TYPE = "?"
"""The type of a node whose `type` was cut. No node type is called that."""

_EDGES = frozenset({"next", "needs"})
_TRIES = 3  # a field that is cut may bring a rule over several fields to light, seldom more


@dataclass(frozen=True, slots=True)
class Salvaged:
    """A model of the sound parts, the places that were cut, and whether all edges are still there."""

    model: FlowDocument
    cut: frozenset[Path]

    @property
    def whole(self) -> bool:
        return not any(_is_edge(path) for path in self.cut)


def salvage(document: Document) -> Salvaged | None:
    """The sound parts of a document; None when there is no sound node."""
    nodes = document.value.get("nodes") if isinstance(document.value, dict) else None
    if not isinstance(nodes, dict):
        return None
    rest: dict[str, Any] = {**document.value, "nodes": {name: _copy(node) for name, node in nodes.items()}}
    cut: set[Path] = set()
    for _ in range(_TRIES):
        if not rest["nodes"]:
            return None
        try:
            return Salvaged(FlowDocument.model_validate(rest), frozenset(cut))
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                cut.add(_cut(rest, item["loc"]))
    return None


def _copy(node: Json) -> Json:
    return dict(node) if isinstance(node, dict) else node


def _cut(rest: dict[str, Any], location: tuple[int | str, ...]) -> Path:
    """Take out the field that a location leads into; answers what was taken."""
    field = str(location[0])
    if field != "nodes":
        rest.pop(field, None)
        if field == "metadata":
            rest["metadata"] = {"name": "unnamed"}
        return (field,)
    node = rest["nodes"].get(location[1]) if len(location) > 1 else None
    inside = location[2] if len(location) > 2 else "[key]"
    if not isinstance(node, dict) or inside == "[key]":
        rest["nodes"].pop(location[1] if len(location) > 1 else None, None)
        return tuple(location[:2])
    node.pop(str(inside), None)
    if inside == "type":
        node["type"] = UNKNOWN_TYPE
    return tuple(location[:3])


def _is_edge(path: Path) -> bool:
    if path[0] == "nodes":
        return len(path) < 3 or path[2] in _EDGES
    return path[0] in {"start", "connections"}
