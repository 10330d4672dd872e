"""A child process for one WebAssembly module, seen from the parent: start it, feed it, kill it by the clock."""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flowrunner.errors import NodeTimeout, StepError

WORKER = Path(__file__).parent / "wasm_worker.py"
PACKAGES = Path(__file__).parents[2]
MAX_HEAD = 64 * 1024
LOOK = 0.2
"""Seconds after which a wait looks whether the run was cancelled."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child said, as far as it is to be believed: JSON of known size, and bytes."""

    head: Mapping[str, Any]
    out: bytes
    err: bytes

    def number(self, name: str) -> int:
        value = self.head.get(name)
        return value if isinstance(value, int) else 0

    def text(self, name: str, most: int = 500) -> str:
        """One line of it."""
        words = " ".join(str(self.head.get(name) or "").split())
        return "".join(char if char.isprintable() else " " for char in words)[:most]


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop waiting."""

    seconds: float
    deadline: float
    cancelled: Callable[[], bool]

    @classmethod
    def of(cls, seconds: float, cancelled: Callable[[], bool]) -> Limits:
        return cls(seconds, time.monotonic() + seconds, cancelled)

    def left(self) -> float:
        """Seconds until the end. Raises `NodeTimeout` when it is past, and `StepError` when the run is."""
        if self.cancelled():
            raise StepError("the run was cancelled", code="CANCELLED")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NodeTimeout(f"the module did not end within {self.seconds:g} s")
        return left


def ask(kind: Literal["compile", "run"], job: Mapping[str, Any], limits: Limits, most: int) -> Answer:
    """What a new process made of a job.

    Arguments: `most`, bytes that it may answer. Raises `StepError`: `WasmUnavailable`, `WasmLimit` when the kernel
    ended the process, and what the limits raise.
    """
    data = marshal.dumps({**job, "kind": kind, "seconds": limits.left()})
    process = _started()
    try:
        return _told(_Pipes(process, limits), data, most)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _started() -> subprocess.Popen[bytes]:
    spec = importlib.util.find_spec("wasmtime")
    if spec is None or spec.origin is None:
        raise StepError("the package wasmtime is not installed here", code="NotInstalled")
    # The loader's path is all that the interpreter itself may need (AWS Lambda's does).
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    command = [sys.executable, "-I", "-S", str(WORKER), str(Path(spec.origin).parents[1]), str(PACKAGES)]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**kept, "TZ": "UTC0"},
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise StepError(
            f"no process could be started: {error.strerror}", code="WasmUnavailable", retryable=True
        ) from error


class _Pipes:
    """Both ends of a child, which may stop reading or writing at any time."""

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits) -> None:
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        self._in, self._out, self._limits = process.stdin, process.stdout, limits
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._in.fileno(), select.POLLOUT)
            try:
                rest = rest[os.write(self._in.fileno(), rest) :]
            except BlockingIOError:
                continue  # there is room, but for less than a page
            except OSError:
                break  # it has died: reading says so
        self._in.close()

    def receive(self, size: int) -> bytes:
        """That many bytes, or fewer when it ends before."""
        data = bytearray()
        while len(data) < size:
            self._wait(self._out.fileno(), select.POLLIN)
            piece = os.read(self._out.fileno(), min(1 << 20, size - len(data)))
            if not piece:
                break
            data += piece
        return bytes(data)

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        while not poll.poll(min(self._limits.left(), LOOK) * 1000):
            pass


def _told(pipes: _Pipes, data: bytes, most: int) -> Answer:
    pipes.send(data)
    size = int.from_bytes(pipes.receive(4), "big")
    if not 0 < size <= MAX_HEAD:
        raise _died()
    try:
        head = json.loads(pipes.receive(size))
        out, err = int(head["out"]), int(head["err"])
    except (ValueError, KeyError, TypeError):
        raise _died() from None
    if out < 0 or err < 0 or out + err > most:
        raise _died()
    body = pipes.receive(out + err)
    if len(body) < out + err:
        raise _died()
    return Answer(head, body[:out], body[out:])


def _died() -> StepError:
    """It gave no answer: the engine ran out of memory or of processor time, or met an error of its own."""
    return StepError(
        "the process of the module ended without an answer: it took too much memory or time",
        code="WasmLimit",
        limit="process",
    )
