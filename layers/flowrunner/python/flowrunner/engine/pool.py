"""Threads for work that blocks.

Not `concurrent.futures`: a Python thread cannot be stopped, so one that hangs past its deadline is written off and
another takes its place, instead of the pool growing smaller with every node that hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

Work = Callable[[], None]


class Threads(Protocol):
    """Threads that work can be given to."""

    def submit(self, work: Work) -> None:
        """Run `work`, which must not raise, in one of the threads."""
        ...

    def write_off(self) -> None:
        """One thread is stuck: let another be made in its place."""
        ...

    def recovered(self) -> None:
        """A thread that was written off came back."""
        ...

    def close(self) -> None: ...


class ThreadEach:
    """A new thread for each piece of work: what is left in one that was interrupted goes with it. See `Threads`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(self, work: Work) -> None:
        threading.Thread(target=work, name=self._name, daemon=True).start()

    def write_off(self) -> None:
        """Nothing: it is nobody's place."""

    def recovered(self) -> None:
        """Nothing, as above."""

    def close(self) -> None:
        """Nothing is kept."""


class ThreadPool:
    """Up to `size` threads, made when needed, that end with the process."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._given = 0
        """Pieces of work that were given and have not ended. Each of them has a thread, as far as `size` allows.

        Who counted idle threads instead would rely on one that has just taken something and not said so yet.
        """
        self._made = 0

    def submit(self, work: Work) -> None:
        """Run `work`, which must not raise, in one of the threads."""
        with self._lock:
            self._queue.put(work)
            self._given += 1
            if self._threads >= min(self._given, self._size):
                return
            self._threads += 1
            self._made += 1
            name = f"{self._name}-{self._made}"
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def write_off(self) -> None:
        """One thread is stuck: let another be made in its place."""
        with self._lock:
            self._size += 1

    def recovered(self) -> None:
        """A thread that was written off came back."""
        with self._lock:
            self._size -= 1

    def close(self) -> None:
        with self._lock:
            for _ in range(self._threads):
                self._queue.put(None)

    def _serve(self) -> None:
        while True:
            with self._lock:
                if self._threads > self._size:
                    self._threads -= 1
                    return
            work = self._queue.get()
            if work is None:
                return
            work()
            with self._lock:
                self._given -= 1
