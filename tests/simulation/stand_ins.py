"""What the engine and the services wait for, and whom they let work, as tasks of the baton."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from queue import Empty
from types import SimpleNamespace
from typing import Any

from flowrunner.engine import flights, invocation, worker
from flowrunner.engine.giving_up import GivenUp
from flowrunner.services import background, live

from tests.simulation.baton import Baton, Task


class SimulatedQueue:
    """As `queue.SimpleQueue`, by the baton."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._items: list[Any] = []
        self._waiter: Task | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiter is not None:
            self._baton.wake(self._waiter)

    def get_nowait(self) -> Any:
        if not self._items:
            raise Empty
        return self._items.pop(0)

    def get(self, timeout: float | None = None) -> Any:
        until = None if timeout is None else self._baton.clock.now() + max(1, int(timeout * 1000))
        while not self._items:
            if until is not None and self._baton.clock.now() >= until:
                raise Empty
            self._waiter = self._baton.me
            try:
                self._baton.park(until)
            finally:
                self._waiter = None
        return self._items.pop(0)


class SimulatedEvent:
    """As `threading.Event`, by the baton."""

    def __init__(self, baton: Baton) -> None:
        self._baton = baton
        self._is_set = False
        self._waiters: list[Task] = []

    def set(self) -> None:
        self._is_set = True
        for task in self._waiters:
            self._baton.wake(task)

    def is_set(self) -> bool:
        return self._is_set

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        until = None if timeout is None else self._baton.clock.now() + max(1, int(timeout * 1000))
        while not self._is_set and (until is None or self._baton.clock.now() < until):
            self._waiters.append(self._baton.me)
            try:
                self._baton.park(until)
            finally:
                self._waiters.remove(self._baton.me)
        return self._is_set


class SimulatedThreads:
    """Threads for steps, which are tasks of the process. See `engine.pool.Threads`."""

    def __init__(self, baton: Baton, name: str) -> None:
        self._baton = baton
        self._name = name

    def submit(self, work: Callable[[], None]) -> None:
        self._baton.spawn(f"{self._name}-node", work, self._baton.me.process)

    def write_off(self) -> None:
        """Nothing: each has its own."""

    def recovered(self) -> None:
        """Nothing, as above."""

    def close(self) -> None:
        """Nothing is kept."""


class SimulatedThread:
    """As `threading.Thread`: a task of the process that starts it."""

    def __init__(self, baton: Baton, target: Callable[..., None], args: tuple[Any, ...], name: str) -> None:
        self._baton = baton
        self._work = lambda: target(*args)
        self._name = name

    def start(self) -> None:
        self._baton.spawn(self._name, self._work, self._baton.me.process)

    def join(self, seconds: float = 0) -> None:
        """Nobody waits: a process ends with all its tasks."""


class SimulatedExecutor(Executor):
    """Threads for what is sent; see `SimulatedThreads`."""

    def __init__(self, baton: Baton, process: object) -> None:
        self._baton = baton
        self._process = process

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        self._baton.spawn("sending", lambda: fn(*args, **named), self._process)
        return Future()


QUIET = ("background", "webhooks", "live", "runs", "services.schedule_sweep", "services.relay")
"""Whose logs would tell of every fault at length."""


@contextmanager
def simulated(baton: Baton) -> Iterator[None]:
    """Let whatever the engine and the services wait for go by the baton."""

    def interrupt(thread: int) -> bool:
        task = baton.of(thread)
        if task is not None:
            baton.doom(task, GivenUp)
        return task is not None

    def thread(
        target: Callable[..., None], args: tuple[Any, ...] = (), name: str = "", daemon: bool = True
    ) -> Any:  # as `threading.Thread`
        return SimulatedThread(baton, target, args, name)

    threads = SimpleNamespace(Event=lambda: SimulatedEvent(baton), Thread=thread, Lock=threading.Lock)
    changes: list[tuple[Any, str, Any]] = [
        (worker, "SimpleQueue", lambda: SimulatedQueue(baton)),
        (worker, "threading", threads),
        (worker, "ThreadPool", lambda size, name: SimulatedThreads(baton, name)),
        (invocation, "SimpleQueue", lambda: SimulatedQueue(baton)),
        (invocation, "threading", threads),
        (invocation, "ThreadEach", lambda name: SimulatedThreads(baton, name)),
        (flights, "interrupt", interrupt),
        (background, "threading", threads),
        (live, "threading", threads),
        *((logging.getLogger(f"flowrunner.{name}"), "disabled", True) for name in QUIET),
    ]
    before = [getattr(module, name) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(changes, before, strict=True):
            setattr(module, name, value)
