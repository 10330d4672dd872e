"""Warm worker processes, each serving one account until it is replaced.

A time limit inside a process is no boundary (see docs/security.md), so the parent kills by the wall clock, and a worker
that went over any limit, died or served another account is never used again.
"""

from __future__ import annotations

import importlib.util
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from flowrunner.sandbox.errors import ScriptLimitExceeded

RECYCLE_AFTER = 5_000
"""Evaluations after which a worker is replaced, so that nothing that leaks adds up."""

HERE = Path(__file__).parent


class WorkerLost(Exception):
    """The worker process did not answer; it has been killed."""


class Worker:
    """One child process."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("_quickjs")
        if spec is None or spec.origin is None:
            raise RuntimeError("the package quickjs-ng is not installed")
        self.account: str | None = None
        self.served = 0
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(HERE / "worker.py"), str(Path(spec.origin).parent), str(HERE / "prelude")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            close_fds=True,
            start_new_session=True,
            bufsize=0,
        )

    def ask(self, request: bytes, wall: float) -> bytes:
        """Send a request and wait up to `wall` seconds for the answer. Raises `WorkerLost`; the worker is dead then."""
        self.served += 1
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None, "both are pipes"
        try:
            rest = memoryview(struct.pack(">I", len(request)) + request)
            while rest:
                rest = rest[stdin.write(rest) or 0 :]
            deadline = time.monotonic() + wall
            size = struct.unpack(">I", self._read(stdout.fileno(), stdout, 4, deadline))[0]
            return self._read(stdout.fileno(), stdout, size, deadline)
        except (OSError, EOFError, TimeoutError) as error:
            self.kill()
            raise WorkerLost(type(error).__name__) from error

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @staticmethod
    def _read(descriptor: int, stream: Any, size: int, deadline: float) -> bytes:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError
            chunk = stream.read(min(size - len(data), 1 << 20))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)


class WorkerPool:
    """At most `size` workers. Safe for several threads; a thread waits for a free worker."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._idle: list[Worker] = []
        self._count = 0
        self._changed = threading.Condition()
        self._closed = False

    def ask(self, account: str, request: dict[str, Any], wall: float) -> Any:
        """The answer of a worker of `account`. Raises `ScriptLimitExceeded` when it had to be killed."""
        worker = self._take(account)
        keep = False
        try:
            text = worker.ask(orjson.dumps(request), wall)
            answer = parse_answer(text)
            keep = "thrown" not in answer and "too_large" not in answer and worker.served < RECYCLE_AFTER
            keep = keep or ("thrown" in answer and not is_limit(answer["thrown"]))
            return answer
        except WorkerLost as error:
            raise ScriptLimitExceeded(
                f"the script did not end within {wall:g} s, or used too much memory, and was stopped", limit="wall"
            ) from error
        finally:
            self._give_back(worker, keep)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._count -= len(idle)
        for worker in idle:
            worker.kill()

    def _take(self, account: str) -> Worker:
        retired: Worker | None = None
        with self._changed:
            while True:
                found = next((worker for worker in reversed(self._idle) if worker.account == account), None)
                if found is not None:
                    self._idle.remove(found)
                    return found
                if self._count < self._size:
                    self._count += 1
                    break
                if self._idle:
                    retired = self._idle.pop(0)
                    break
                self._changed.wait()
        if retired is not None:
            retired.kill()
        try:
            worker = Worker()
        except BaseException:
            with self._changed:
                self._count -= 1
                self._changed.notify()
            raise
        worker.account = account
        return worker

    def _give_back(self, worker: Worker, keep: bool) -> None:
        if not keep:
            worker.kill()
        with self._changed:
            if keep and not self._closed:
                self._idle.append(worker)
            else:
                self._count -= 1
            self._changed.notify()
        if keep and self._closed:
            worker.kill()


def is_limit(thrown: str) -> bool:
    """Whether the engine's words say that a limit was reached, after which the worker is not used again."""
    return thrown.startswith("InternalError") or "call stack" in thrown


def parse_answer(text: bytes) -> Any:
    """The answer as a value. A lone surrogate, which is no Unicode text, becomes U+FFFD."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        import json

        try:
            value = json.loads(text.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ScriptLimitExceeded("the result is nested too deeply", limit="output") from error
        clean = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.loads(clean)
