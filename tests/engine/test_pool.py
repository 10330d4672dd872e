"""Threads for work that blocks: nothing waits while there may be another thread."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from flowrunner.engine.pool import ThreadPool, Work

PATIENCE = 60.0


class Held:
    """A queue of which whoever has taken something out is held at that very moment, once."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._first = True
        self.taken, self.go = threading.Event(), threading.Event()

    def put(self, work: Work | None) -> None:
        self._queue.put(work)

    def qsize(self) -> int:
        return self._queue.qsize()

    def get(self) -> Work | None:
        work = self._queue.get()
        if self._first:
            self._first = False
            self.taken.set()
            assert self.go.wait(PATIENCE)
        return work


def test_work_does_not_wait_for_a_thread_that_has_just_taken_another() -> None:
    """Such a thread counted as idle; what came then stood behind a step that might take an hour."""
    pool, held, done = ThreadPool(2, "test"), Held(), threading.Event()
    pool._queue = held  # type: ignore[assignment]  # it has all that a pool asks of one
    pool.submit(lambda: None)
    assert held.taken.wait(PATIENCE)
    pool.submit(done.set)
    assert done.wait(PATIENCE)
    held.go.set()
    pool.close()


def test_no_more_threads_are_made_than_there_is_work_for() -> None:
    """One after the other is done by one thread; more at once by as many as there may be, and the rest after them."""
    pool, names = ThreadPool(3, "test"), list[str]()
    gate, all_done = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        assert gate.wait(PATIENCE)
        names.append(threading.current_thread().name)
        all_done.release()

    for _ in range(10):
        pool.submit(work)
    gate.set()
    for _ in range(10):
        assert all_done.acquire(timeout=PATIENCE)
    assert set(names) <= {"test-1", "test-2", "test-3"}
    pool.close()
