"""What is different between two revisions of a flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowrunner.language.reader import read_document
from flowrunner.ports.flows import FlowRow
from flowrunner.services.line_diff import unified


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """A unified diff, and what it means by node and by top-level field."""

    text: str
    added: Sequence[str]
    removed: Sequence[str]
    changed: Sequence[str]
    sections: Sequence[str]


def diff(old: FlowRow, new: FlowRow) -> FlowDiff:
    """Compare two stored documents."""
    before, after = _parts(old.document), _parts(new.document)
    were, are = before.pop("nodes", {}), after.pop("nodes", {})
    return FlowDiff(
        text=unified(old.document, new.document, f"r{old.revision}", f"r{new.revision}"),
        added=[name for name in are if name not in were],
        removed=[name for name in were if name not in are],
        changed=[name for name in are if name in were and are[name] != were[name]],
        sections=sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key)),
    )


def _parts(document: str) -> dict[str, Any]:
    value = read_document(document).value
    return dict(value) if isinstance(value, dict) else {}
