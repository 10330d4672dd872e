"""How waiting processes learn that there is something to do, without asking all the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

Topic = Literal["queue", "runs"]
"""`queue`: messages may have become visible or been sent; `runs`: a run started, moved or ended."""

Listener = Callable[[Topic], None]


class Wakeups(Protocol):
    """A hint, never a promise: a listener may be called too often or late, so it looks at the store itself."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` (from any thread, quickly) on every hint; the answer ends that."""
        ...
