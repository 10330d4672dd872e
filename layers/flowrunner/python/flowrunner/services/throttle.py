"""Limits on how often something may happen, in memory: one process counts what it sees.

Two shapes. `Throttle` is for requests: a token bucket kept as one number per key (GCRA), so it costs the same for any
limit. `Attempts` is for what should rarely happen, such as wrong passwords: it keeps the moments, so that "20 a minute"
means any minute. Both know a bounded number of keys and forget the one that was quiet for longest.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from flowrunner.errors import TooManyRequests
from flowrunner.ports.clock import Clock

KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it may happen, and what to tell the caller (RateLimit headers, draft-ietf-httpapi-ratelimit-headers)."""

    allowed: bool
    limit: int
    """How many may happen at once when nothing has happened for a while."""
    remaining: int
    reset_seconds: int
    """Until `remaining` is `limit` again."""
    retry_after: int
    """Whole seconds until it may happen again; 0 when it may now."""

    def require(self, message: str | None = None) -> None:
        """Raises `TooManyRequests` unless it is allowed."""
        if not self.allowed:
            raise TooManyRequests(message, retry_after=self.retry_after)


def decide(full_at: float, now: float, limit: int, period: float, cost: int = 1) -> tuple[Decision, float]:
    """GCRA: the decision, and the new `full_at`, the moment at which the bucket will be full again.

    A bucket of `limit` refills over `period` seconds. What is refused changes nothing.
    """
    interval = period / limit
    due = max(full_at, now)
    wanted = due + cost * interval
    # A hair of tolerance: sums of intervals like 0.1 do not come out even.
    wait = wanted - now - period
    if wait > 1e-9 * max(1.0, abs(now)):
        left = max(0, math.floor((period - (due - now)) / interval + 1e-6))
        return Decision(False, limit, left, math.ceil(due - now), max(1, math.ceil(wait - 1e-6))), full_at
    left = max(0, math.floor((period - (wanted - now)) / interval + 1e-6))
    return Decision(True, limit, left, math.ceil(wanted - now), 0), wanted


class Throttle:
    """At most `limit` at once per key, refilled over `period` seconds."""

    def __init__(self, clock: Clock, limit: int, period: float = 60.0, keys: int = KEYS) -> None:
        self.limit = limit
        self._clock = clock
        self._period = period
        self._keys = keys
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str, cost: int = 1) -> Decision:
        """Count one for `key`, if it is allowed."""
        now = self._clock.monotonic()
        with self._lock:
            decision, full_at = decide(self._full_at.get(key, now), now, self.limit, self._period, cost)
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
            while len(self._full_at) > self._keys:
                self._full_at.popitem(last=False)
        return decision


class Attempts:
    """At most `limit` failures per key in any `period` seconds.

    An attempt is counted before it is made and taken back when it succeeds: many at the same time cannot slip through.
    """

    def __init__(self, clock: Clock, limit: int, period: float = 60.0, keys: int = KEYS) -> None:
        self.limit = limit
        self._clock = clock
        self._period = period
        self._keys = keys
        self._moments: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: str) -> int:
        """Whole seconds until another attempt is allowed; 0: now. Counts nothing."""
        with self._lock:
            return self._wait(key, self._clock.monotonic())

    def begin(self, key: str) -> int:
        """Count an attempt, unless there were too many: then whole seconds to wait, else 0."""
        now = self._clock.monotonic()
        with self._lock:
            if wait := self._wait(key, now):
                return wait
            self._moments.setdefault(key, deque()).append(now)
            self._moments.move_to_end(key)
            while len(self._moments) > self._keys:
                self._moments.popitem(last=False)
            return 0

    def take_back(self, key: str) -> None:
        """The last attempt was none of those that are limited."""
        with self._lock:
            moments = self._moments.get(key)
            if moments:
                moments.pop()
            if not moments:
                self._moments.pop(key, None)

    def _wait(self, key: str, now: float) -> int:
        moments = self._moments.get(key)
        if moments is None:
            return 0
        while moments and moments[0] <= now - self._period:
            moments.popleft()
        if not moments:
            del self._moments[key]
            return 0
        return max(1, math.ceil(moments[0] + self._period - now)) if len(moments) >= self.limit else 0


def address_key(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that one customer has of IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))


def network_key(address: str) -> str | None:
    """The /48 of an IPv6 address, which one customer may have to themselves; None for IPv4."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped is not None:
        return None
    return str(ipaddress.IPv6Network((int(found) >> 80 << 80, 48)))
