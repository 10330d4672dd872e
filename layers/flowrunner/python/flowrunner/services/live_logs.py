"""The log of a run: its `step.log` events, filtered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.feed import Feed, Pages, Placed, Position
from flowrunner.engine.run_events import RunEvent

LEVELS = ("debug", "info", "warning", "error")
SCANNED = 20_000
"""Events that one request looks through at most; the cursor it answers leads on."""
AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines: of one node, of a level or a higher one, with a text in the message (upper case counts as lower)."""

    node: str | None = None
    level: str | None = None
    text: str | None = None

    def takes(self, event: RunEvent) -> bool:
        """Whether an event is such a line."""
        if event.type != "step.log" or (self.node is not None and event.node != self.node):
            return False
        data: Any = event.data
        if self.level is not None and _rank(data.get("level")) < _rank(self.level):
            return False
        return self.text is None or self.text.casefold() in str(data.get("message", "")).casefold()


def read_logs(
    feed: Feed, account: AccountId, run: RunId, after: Position, wanted: LogFilter, limit: int, scanned: int = SCANNED
) -> Pages:
    """The next lines after a position. Raises `NotFound`."""
    found: list[Placed] = []
    while True:
        page = feed.page(account, run, after, AT_ONCE)
        for placed in page.events:
            if wanted.takes(placed.event):
                found.append(placed)
                if len(found) == limit:
                    return replace(page, events=found, cursor=placed.position, more=True, ended=False)
        after, scanned = page.cursor, scanned - len(page.events)
        if not page.more or scanned <= 0:
            return replace(page, events=found)


def _rank(level: Any) -> int:
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("info")
