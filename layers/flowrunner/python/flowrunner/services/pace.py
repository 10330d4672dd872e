"""When the next one may go: slots given out at a fixed rate per key, for what is put off instead of refused."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from flowrunner.core.ids import Millis


class Pace:
    """Gives slots `interval` ms apart, of which the first `burst` may be taken at once (a GCRA that reserves).

    Keeps the `max_keys` keys used last: one that is forgotten begins anew. Safe for several threads.
    """

    def __init__(self, burst: int = 1, max_keys: int = 10_000) -> None:
        self._burst = burst
        self._max_keys = max_keys
        self._next: OrderedDict[str, Millis] = OrderedDict()
        self._lock = Lock()

    def reserve(self, key: str, now: Millis, interval: Millis) -> Millis:
        """The moment, `now` or later, at which the caller may go. It counts as taken."""
        with self._lock:
            theoretical = max(self._next.pop(key, 0), now)
            self._next[key] = theoretical + interval
            if len(self._next) > self._max_keys:
                self._next.popitem(last=False)
            return max(now, theoretical - (self._burst - 1) * interval)
