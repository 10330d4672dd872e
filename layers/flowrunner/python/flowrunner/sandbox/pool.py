"""Warm worker processes, each serving one account until it is replaced.

A time limit inside a process is no boundary (docs/security.md), so the parent kills by the wall clock, and a
worker that went over any limit, died or served another account is never used again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from flowrunner.sandbox.errors import SandboxUnavailable
from flowrunner.sandbox.process import Request, Worker

SERVED_MOST = 5_000
"""Evaluations after which a worker is replaced, so that nothing that leaks adds up."""
SECONDS_MOST = 120.0
"""Seconds of work after which it is replaced; the kernel would end it at 300 seconds of CPU."""

T = TypeVar("T")


class WorkerPool:
    """At most `size` workers. Safe for several threads; a thread waits for a free worker."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._idle: list[Worker] = []
        """Least recently used first."""
        self._count = 0
        self._changed = threading.Condition()
        self._closed = False

    def ask(
        self,
        account: str | None,
        request: Request,
        most: int,
        judge: Callable[[bytes], tuple[T, bool]],
    ) -> tuple[T, float]:
        """What `judge` makes of a worker's answer, and the seconds it took.

        `judge` gives a value and whether the worker may be used again; no worker survives without an account,
        nor an exception in here. Raises `WorkerLost` when it had to be killed, `SandboxUnavailable` when none
        can be started.
        """
        worker = self._take(account)
        keep = False
        try:
            answer, seconds = worker.ask(request, most)
            value, good = judge(answer)
            keep = good and account is not None and worker.served < SERVED_MOST and worker.seconds < SECONDS_MOST
            return value, seconds
        finally:
            self._give_back(worker, keep)

    def close(self) -> None:
        """Kill the idle workers, and each busy one as it is done."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._count -= len(idle)
            self._changed.notify_all()
        for worker in idle:
            worker.kill()

    def _take(self, account: str | None) -> Worker:
        retired: list[Worker] = []
        try:
            worker = self._idle_or_place(account, retired)
        finally:
            for old in retired:
                old.kill()
        if worker is not None:
            return worker
        try:
            worker = Worker()
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise
        worker.account = account
        return worker

    def _idle_or_place(self, account: str | None, retired: list[Worker]) -> Worker | None:
        """An idle worker of the account, or None: there is place for a new one, which is counted already."""
        with self._changed:
            while not self._closed:
                for worker in reversed(self._idle):
                    if worker.account == account:
                        self._idle.remove(worker)
                        if worker.alive:
                            return worker
                        retired.append(worker)
                        return None  # its place is ours
                if self._count < self._size:
                    self._count += 1
                    return None
                if self._idle:
                    retired.append(self._idle.pop(0))
                    return None
                self._changed.wait()
        raise SandboxUnavailable("the sandbox is closed")

    def _give_back(self, worker: Worker, keep: bool) -> None:
        with self._changed:
            keep = keep and not self._closed
            if keep:
                self._idle.append(worker)
                self._changed.notify()
        if keep:
            return
        worker.kill()
        with self._changed:
            self._count -= 1
            self._changed.notify()
