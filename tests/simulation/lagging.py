"""A table whose indexes follow its writes within moments, as those of DynamoDB do.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html: reads of an index are eventually consistent.
"""

from __future__ import annotations

from collections import deque
from zlib import crc32

from flowrunner.adapters.aws.schema import INDEXES

from tests.adapters.aws.expressions import Raw
from tests.adapters.aws.fake_table import FakeTable, Place

BEHIND = 24
"""Writes that an index may not show yet; each look finds one less of them missing."""


class LaggingTable(FakeTable):
    """Every other look at an index shows it as it was some writes ago, as a function of how many looks there were."""

    def __init__(self) -> None:
        super().__init__()
        self._before: deque[tuple[Place, Raw | None]] = deque(maxlen=BEHIND)
        self._looks = 0
        self.late = 0
        """Looks that were shown something else than what there was."""

    def _store(self, place: Place, item: Raw | None) -> None:
        before = self.items.get(place)
        super()._store(place, item)
        self._before.append((place, before))

    def catch_up(self) -> None:
        """Let the indexes show what there is."""
        self._before.clear()

    def _members(self, index: str, value: str) -> list[Raw]:
        if not index:
            return super()._members(index, value)
        self._looks += 1
        if self._before:
            self._before.popleft()
        drawn = crc32(str(self._looks).encode())
        behind = (drawn >> 8) % (BEHIND + 1) if drawn % 2 else 0
        shadows: dict[Place, Raw | None] = {}
        for place, before in list(self._before)[len(self._before) - min(behind, len(self._before)) :]:
            shadows.setdefault(place, before)
        partition, sort, _ = INDEXES[index]
        there = [item for item in super()._members(index, value) if _place(item) not in shadows]
        were = [
            item
            for item in shadows.values()
            if item is not None and sort in item and item.get(partition, {}).get("S") == value
        ]
        self.late += bool(shadows)
        return there + were


def _place(item: Raw) -> Place:
    return item["pk"]["S"], item["sk"]["S"]
