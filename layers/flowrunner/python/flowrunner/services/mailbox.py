"""Where the readers of one connection get their events: filled by the hub's thread, emptied by the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from flowrunner.services.live_frames import Batch

T = TypeVar("T")

MOST_BYTES = 2 * 1024 * 1024
"""What may lie in a mailbox. A reader that is slower than that is let go: it comes back and resumes."""


class Mail(NamedTuple):
    """A batch, and the name under which the connection has asked for it."""

    name: str
    batch: Batch


class Mailbox:
    """One per connection. Everything but the constructor belongs to the event loop's thread.

    `closed` is a future that is done when no more will come, with the reason: `slow` or `stopping`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int = MOST_BYTES) -> None:
        self.loop = loop
        self.closed: asyncio.Future[str] = loop.create_future()
        self._most = most
        self._mail: deque[Mail] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None

    def put(self, mail: Mail) -> None:
        """Add a batch; too much closes the mailbox."""
        if self.closed.done():
            return
        self._size += mail.batch.size
        if self._size > self._most:
            self.close("slow")
            return
        self._mail.append(mail)
        self._wake()

    def close(self, reason: str) -> None:
        """No more will come."""
        if not self.closed.done():
            self.closed.set_result(reason)
            self._mail.clear()
            self._wake()

    async def take(self, seconds: float) -> Sequence[Mail]:
        """All that is there; waits for it up to `seconds`. Empty when nothing came, or when closed."""
        if not self._mail and not self.closed.done():
            waiter = self._waiter = self.loop.create_future()
            timer = self.loop.call_later(seconds, self._wake)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        mail = list(self._mail)
        self._mail.clear()
        self._size = 0
        return mail

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outbox:
    """What one turn of the hub has for all mailboxes; each event loop is called once for it."""

    def __init__(self) -> None:
        self._mail: dict[asyncio.AbstractEventLoop, list[tuple[Mailbox, Mail]]] = {}

    def post(self, mailbox: Mailbox, mail: Mail) -> None:
        self._mail.setdefault(mailbox.loop, []).append((mailbox, mail))

    def flush(self) -> None:
        mail, self._mail = self._mail, {}
        for loop, mails in mail.items():
            call_in(loop, _deliver, mails)


def call_in(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *args: object) -> None:
    """Call something in a loop's thread; a loop that is closed has no readers any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)


def _deliver(mails: Iterable[tuple[Mailbox, Mail]]) -> None:
    for mailbox, mail in mails:
        mailbox.put(mail)


def drain(waiting: deque[T]) -> list[T]:
    """What is there now; others may go on adding."""
    return [waiting.popleft() for _ in range(len(waiting))]
