"""What a process holds of SQS's messages: how to reach those that it has, and which of them bears which others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from flowrunner.ports.queue import Message, Receipt

MOST_ADOPTED = 1_000
"""Messages of Lambda's event source that are kept in mind: nobody says that those which failed are gone."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message in this process: its queue and the handle of its delivery. An adopted one is deleted by Lambda."""

    url: str
    handle: str
    adopted: bool = False


class Carried:
    """See the module. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[Receipt, Held] = {}
        self._handed: dict[Receipt, tuple[Message, Receipt]] = {}
        """What was handed off, and its bearer."""
        self._done: set[Receipt] = set()
        """Bearers that are acknowledged and still bear others."""

    def take(self, receipt: Receipt, held: Held | None) -> None:
        """A message was received: it bears itself, whatever was known of it."""
        with self._lock:
            self._handed.pop(receipt, None)
            self._done.discard(receipt)
            self._held.pop(receipt, None)
            self._held[receipt] = held or Held("", "", adopted=True)
            while len(self._held) > MOST_ADOPTED and next(iter(self._held.values())).adopted:
                del self._held[next(iter(self._held))]

    def has(self, receipt: Receipt) -> bool:
        """Whether a message is in this process."""
        with self._lock:
            return receipt in self._held or receipt in self._handed

    def slow(self, receipt: Receipt, lane: str) -> bool:
        """Whether a message is one for the slow lane."""
        with self._lock:
            if receipt in self._handed:
                return self._handed[receipt][0].slow
            held = self._held.get(receipt)
            return held is not None and held.url == lane

    def hand_off(self, messages: Sequence[Message], acked: Receipt) -> None:
        """Keep messages that are not sent. What `acked` was borne by bears them."""
        with self._lock:
            bearer = self._bearer(acked)
            self._handed.update({message.receipt: (message, bearer) for message in messages})

    def bearer(self, receipt: Receipt) -> Receipt:
        """The message that comes again if this process dies."""
        with self._lock:
            return self._bearer(receipt)

    def handles(self, receipts: Iterable[Receipt]) -> dict[str, list[str]]:
        """The handles of messages, or of their bearers, by queue."""
        with self._lock:
            return self._by_queue({self._bearer(receipt) for receipt in receipts})

    def drop(self, receipts: Iterable[Receipt]) -> dict[str, list[str]]:
        """Messages are done: the handles of those that can be deleted now, by queue."""
        with self._lock:
            done: set[Receipt] = set()
            for receipt in receipts:
                bearer = self._bearer(receipt)
                if self._handed.pop(receipt, None) is None:
                    self._done.add(receipt)
                done.add(bearer)
            bearing = {bearer for _, bearer in self._handed.values()}
            done = {one for one in done & self._done if one not in bearing}
            self._done &= bearing  # of what nothing here depends on, nothing needs to be kept in mind
            found = {url: handles for url, handles in self._by_queue(done, adopted=False).items() if url}
            for receipt in done:
                self._held.pop(receipt, None)
            return found

    def _bearer(self, receipt: Receipt) -> Receipt:
        handed = self._handed.get(receipt)
        return handed[1] if handed is not None else receipt

    def _by_queue(self, receipts: Iterable[Receipt], *, adopted: bool = True) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for receipt in receipts:
            held = self._held.get(receipt)
            if held is not None and held.url and (adopted or not held.adopted):
                found.setdefault(held.url, []).append(held.handle)
        return found
