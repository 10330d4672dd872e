"""Who wants to be woken, within this process. Backends that reach other processes add to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock

from flowrunner.ports.wakeups import Listener, Topic


class Listeners:
    """A list of listeners. Telling them takes no lock, so a listener may do what it likes, leave even."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: tuple[Listener, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """See `ports.wakeups.Wakeups`. A listener that is added twice is called twice."""
        entry: Listener = partial(listener)  # an identity of its own per call of `listen`
        with self._lock:
            self._listeners = (*self._listeners, entry)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not entry)

        return leave

    def tell(self, topic: Topic) -> None:
        for listener in self._listeners:
            listener(topic)
