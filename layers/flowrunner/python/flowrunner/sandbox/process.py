"""One child process that runs scripts, seen from the parent: start it, ask it, kill it by the clock."""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flowrunner.sandbox.code import PARTS
from flowrunner.sandbox.errors import SandboxUnavailable

HERE = Path(__file__).parent
START_SECONDS = 10.0
"""Starting takes about 20 ms; this is for a machine that is short of everything."""
SECONDS_PER_BYTE = 1 / (8 * 1024 * 1024)
"""Added to the clocks for the size of a request: passing and parsing it is not the script's fault."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked to do. Times in seconds, sizes in bytes."""

    kind: Literal["run", "check"]
    cpu: float
    wall: float
    memory: int
    stack: int
    size: int
    """Of the data that has to be parsed for it."""
    content: tuple[Any, ...]


class WorkerLost(Exception):
    """The process gave no answer and has been killed; `limit` is what it went over: wall, cpu or memory."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class Worker:
    """One child process."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("_quickjs")
        if spec is None or spec.origin is None:
            raise SandboxUnavailable("the package quickjs-ng is not installed")
        # The loader's path is all that the interpreter itself may need (AWS Lambda's does). Scripts see UTC.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        command = [sys.executable, "-I", "-S", str(HERE / "worker.py"), str(Path(spec.origin).parent)]
        try:
            self._process = subprocess.Popen(
                [*command, str(HERE / "prelude"), ",".join(("main", *PARTS))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**kept, "TZ": "UTC0"},
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise SandboxUnavailable(f"no process could be started: {error.strerror}") from error
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self.account: str | None = None
        self.seconds = 0.0
        """Time it has worked."""
        self.served = 0
        try:
            ready = self._frame(time.monotonic() + START_SECONDS, 1)
        except WorkerLost as error:
            raise SandboxUnavailable("a process was started but did not come up") from error
        if ready != b"R":
            self.kill()
            raise SandboxUnavailable("a process was started but did not come up")

    def ask(self, request: Request, most: int) -> tuple[bytes, float]:
        """Send a request and wait for an answer of at most `most` bytes.

        Answers with it and the seconds it took. Raises `WorkerLost`; the worker is dead then.
        """
        parsing = request.size * SECONDS_PER_BYTE
        limits = (request.cpu, request.wall, parsing, request.memory, request.stack)
        data = marshal.dumps((request.kind, *limits, *request.content))
        started = time.monotonic()
        deadline = started + request.wall + parsing
        self.served += 1
        self._send(len(data).to_bytes(4, "big"), deadline)
        self._send(data, deadline)
        answer = self._frame(deadline, most)
        seconds = time.monotonic() - started
        self.seconds += seconds
        return answer, seconds

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._in, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._in, rest) :]
            except BlockingIOError:
                continue  # the pipe has room, but for less than a page
            except OSError as error:
                raise self._lost() from error

    def _frame(self, deadline: float, most: int) -> bytes:
        """The next answer. One that is larger than anything it may give comes from a process that was taken
        over.
        """
        data = bytearray()
        wanted = 4
        while len(data) < wanted:
            self._wait(self._out, select.POLLIN, deadline)
            try:
                chunk = os.read(self._out, 1 << 20)
            except OSError as error:
                raise self._lost() from error
            if not chunk:
                raise self._lost()
            data += chunk
            if wanted == 4 and len(data) >= 4:
                wanted += int.from_bytes(data[:4], "big")
                if wanted - 4 > most:
                    self.kill()
                    raise WorkerLost("output")
        return bytes(data[4:])

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            self.kill()
            raise WorkerLost("wall")

    def _lost(self) -> WorkerLost:
        """It ended by itself: the kernel tells why."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.poll()
        self.kill()
        if code == -signal.SIGALRM:
            return WorkerLost("wall")
        return WorkerLost("cpu" if code == -signal.SIGXCPU else "memory")
