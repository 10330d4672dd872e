"""Live events in pieces, for servers that cannot stream: what is new after a position, and whether to look again.

While nothing happens the store is asked for one item a second, the run itself. Its rows are read when the run has
moved, and every few seconds while a step may have something to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.state import Phase
from flowrunner.engine.feed import Feed, Pages, Position
from flowrunner.engine.heads import read_head
from flowrunner.ports.runs import RunRow, RunStore
from flowrunner.services.identity import Actor, Permission, require

LOOK = 1.0
"""Seconds between two looks at a run."""
LOOKS = 4
"""Looks after which the rows of a run whose steps work are read, though the run has not moved."""
AT_ONCE = 500


@dataclass
class Poll:
    """One reader's request. Positions say what was told of steps under way, so that they are not told each time."""

    feed: Feed
    runs: RunStore
    account: AccountId
    run: RunId
    page: Pages
    """What is new."""
    looks: int = 0

    def look(self) -> None:
        """Read on if there may be something new. Raises `NotFound` when the run is gone meanwhile."""
        self.looks += 1
        row = self.runs.load([(self.account, self.run)])[0]
        if row is None or row.rev != self.page.rev or (self.looks % LOOKS == 0 and _talks(row)):
            self.read_on()

    def read_on(self) -> None:
        """The next page."""
        self.page = _page(self.feed, self.account, self.run, self.page.cursor)


def _talks(row: RunRow) -> bool:
    """Whether a step may be under way."""
    return any(entry.phase is Phase.READY for entry in read_head(row).frontier.values())


def begin_poll(feed: Feed, runs: RunStore, actor: Actor, run: RunId, after: Position) -> Poll:
    """Read what is there. Raises `Forbidden` or `NotFound`."""
    require(actor, Permission.RUNS_READ)
    return Poll(feed, runs, actor.account, run, _page(feed, actor.account, run, after))


def _page(feed: Feed, account: AccountId, run: RunId, after: Position) -> Pages:
    return feed.page(account, run, after, AT_ONCE, once=True)
