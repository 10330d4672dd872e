"""Hints by asking: DynamoDB tells nobody of a change, so whoever listens is told to look every so often.

What this process does itself it tells at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event, Lock, Thread

from flowrunner.ports.wakeups import Listener, Topic

TOPICS: tuple[Topic, ...] = ("queue", "runs")


class PollingWakeups:
    """See `ports.wakeups.Wakeups`. The thread is there only while somebody listens."""

    def __init__(self, every: float) -> None:
        """`every`: seconds between two looks."""
        self._every = every
        self._lock = Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._stop: Event | None = None

    def listen(self, listener: Listener) -> Callable[[], None]:
        entry: Listener = partial(listener)  # an identity of its own per call of `listen`
        with self._lock:
            self._listeners = (*self._listeners, entry)
            if self._stop is None:
                self._stop = Event()
                Thread(target=self._poll, args=(self._stop,), name="dynamodb-wakeups", daemon=True).start()

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not entry)
            if not self._listeners:
                self.close()

        return leave

    def tell(self, topic: Topic) -> None:
        for listener in self._listeners:
            listener(topic)

    def close(self) -> None:
        with self._lock:
            stop, self._stop = self._stop, None
        if stop is not None:
            stop.set()

    def _poll(self, stop: Event) -> None:
        while True:
            for topic in TOPICS:
                if stop.is_set():
                    return
                self.tell(topic)
            if stop.wait(self._every):
                return
