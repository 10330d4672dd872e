"""Reading many stored values without holding more of them than fits: each may have as many bytes as an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from flowrunner.core.flow import Json
from flowrunner.core.json_text import packed

FIRST = 16
"""Items that are read before anything is known about their sizes."""

PAGE = 500
PAGE_BYTES = 4 * 1024 * 1024
"""What is read at once after that: so many items, or as many as come to about so many bytes."""

ANSWER_BYTES = 16 * 1024 * 1024
"""What one answer holds, in JSON; one item in any case. The next page goes on behind it."""


class Sized(NamedTuple):
    """An item as flows see it, `{key, value}`, and the bytes of its value."""

    item: dict[str, Json]
    size: int


Read = Callable[[str, int], Sequence[dict[str, Json]]]
"""Items behind a key, and how many at most."""


def pages(read: Read, after: str, most: int) -> Iterator[tuple[list[Sized], bool]]:
    """No more than `most` items behind `after`, in pages; with each, whether it is the last that there is."""
    limit = FIRST
    while most > 0:
        wanted = min(limit, most)
        page = [Sized(item, len(packed(item["value"]))) for item in read(after, wanted)]
        ended = len(page) < wanted
        yield page, ended
        if ended:
            return
        after = page[-1].item["key"]
        limit = min(PAGE, max(1, PAGE_BYTES // max(one.size for one in page)))
        most -= len(page)


class Answer:
    """Items that are found, until there are `limit` of them or `ANSWER_BYTES`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[dict[str, Json]] = []
        self._size = 0

    def add(self, one: Sized) -> bool:
        """Take one more, if it fits in."""
        if self.full or (self._items and self._size + one.size > ANSWER_BYTES):
            return False
        self._items.append(one.item)
        self._size += one.size
        return True

    @property
    def full(self) -> bool:
        return len(self._items) == self._limit

    def up_to(self, key: str | None) -> dict[str, Json]:
        """The output, with the key behind which the next page begins; None when there is no more."""
        return {"items": self._items, "next": key}
