"""A reader of live events: first the history, page by page, then what happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.feed import OPEN, START, Pages, Position
from flowrunner.errors import TooManyRequests
from flowrunner.services.live_channels import RunChannel
from flowrunner.services.live_frames import Frame, frames
from flowrunner.services.mailbox import Mailbox

RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Readers of one process, and of one account in it."""

    readers: int = 5_000
    per_account: int = 2_000


class Source(Protocol):
    """What a reader hangs on: the hub."""

    def page(self, account: AccountId, run: RunId, after: Position) -> Pages: ...

    def attach(self, reader: Subscription, page: Pages) -> Sequence[Frame]: ...

    def leave(self, reader: Subscription) -> None: ...


class Subscription:
    """One reader of a run's events, or of an account's. Made by the hub."""

    def __init__(
        self,
        source: Source,
        account: AccountId,
        name: str,
        mailbox: Mailbox,
        *,
        run: RunId | None = None,
        position: Position = START,
        steps: bool = False,
    ) -> None:
        self.account = account
        self.name = name
        self.mailbox = mailbox
        self.run = run
        self.steps = steps
        """Of an account: whether the steps of its runs are wanted, too."""
        self.position = position
        self.channel: RunChannel | None = None
        self.caught_up = False
        """The mailbox gets all that follows."""
        self.ended = False
        """The run is over, and all of it was given."""
        self.closed = False
        self._source = source
        self._seen: set[str] = set()

    def replay(self) -> Sequence[Frame]:
        """The next page of the history; to be called until `caught_up` or `ended`. It reads the store.

        Raises `NotFound` for a run that was deleted meanwhile, and `StoreError`.
        """
        assert self.run is not None, "an account's events have no history"
        page = self._source.page(self.account, self.run, self.position)
        self.position = page.cursor
        found = frames(page.events)
        self._seen.update(one.event.id for one in found[-1:])
        self._seen.update(one.event.id for one in found if one.position.kind == OPEN)
        if page.ended:
            self.ended = True
        elif not page.more:
            unseen = self._source.attach(self, page)
            found += [one for one in unseen if one.event.id not in self._seen]
        return found

    def close(self) -> None:
        """Nothing more for this reader; safe to repeat."""
        self._source.leave(self)


class Readers:
    """All readers of a process, counted."""

    def __init__(self, limits: LiveLimits) -> None:
        self._limits = limits
        self._all: set[Subscription] = set()
        self._by_account: Counter[AccountId] = Counter()
        self._closed = False

    def __len__(self) -> int:
        return len(self._all)

    def close(self) -> list[Subscription]:
        """Let nobody in any more; those who are there."""
        self._closed = True
        return list(self._all)

    def add(self, reader: Subscription) -> None:
        """Raises `TooManyRequests` when there is no room."""
        if self._closed or len(self._all) >= self._limits.readers:
            raise TooManyRequests("this server has no room for more live readers", retry_after=RETRY_SECONDS)
        if self._by_account[reader.account] >= self._limits.per_account:
            raise TooManyRequests(
                f"the account has {self._limits.per_account:,} live readers already", retry_after=RETRY_SECONDS
            )
        self._all.add(reader)
        self._by_account[reader.account] += 1

    def remove(self, reader: Subscription) -> None:
        self._all.discard(reader)
        self._by_account[reader.account] -= 1
        if not self._by_account[reader.account]:
            del self._by_account[reader.account]
