"""A value of any size as far as somebody wants to see it at a glance."""

from __future__ import annotations

from flowrunner.core.flow import Json

TEXT = 2_000
"""Characters of one text."""
ENTRIES = 100
"""Entries of one list or object."""
VALUES = 2_000
"""Values altogether."""
DEPTH = 20


def shortened(value: Json) -> tuple[Json, bool]:
    """The value without what is too much of it, and whether anything was."""
    cutter = _Cutter()
    return cutter.cut(value, 0), cutter.has_cut


class _Cutter:
    def __init__(self) -> None:
        self.has_cut = False
        self._left = VALUES

    def cut(self, value: Json, depth: int) -> Json:
        self._left -= 1
        if isinstance(value, str) and len(value) > TEXT:
            self.has_cut = True
            return f"{value[:TEXT]}…"
        if not isinstance(value, dict | list):
            return value
        most = min(ENTRIES, max(0, self._left)) if depth < DEPTH else 0
        self.has_cut = self.has_cut or len(value) > most
        if isinstance(value, list):
            return [self.cut(one, depth + 1) for one in value[:most]]
        return {key: self.cut(value[key], depth + 1) for key in list(value)[:most]}
