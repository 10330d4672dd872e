"""What a WebAssembly module may ask of the outside: WASI preview 1, without an outside.

It can read its input, write its output and its error text, and ask for its arguments, the time in milliseconds, random
bytes, and the end. There are no files, no sockets and no environment, not as a matter of rights that could be mistaken
but because nothing here knows how: every other call is answered `notcapable`, and opening the first preopened folder,
with which each standard library begins, `badf`.

This runs in the child process (`wasm_worker`) and imports little. Numbers and layouts are those of
`wasi_snapshot_preview1.witx`.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

OK, BADF, FAULT, INVAL, SPIPE, NOTCAPABLE = 0, 8, 21, 28, 70, 76
STDIN, STDOUT, STDERR = 0, 1, 2
READ, WRITE = 1 << 1, 1 << 6
"""Rights, as `fd_fdstat_get` tells them."""
CLOCK_RES = 1_000_000
"""Nanoseconds: a finer clock is good for measuring what others do on this machine, and little else."""
MAX_WAITS = 64


class Fault(Exception):
    """An address outside the module's memory."""


class Exit(Exception):
    """The module has ended itself."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class TooMuch(Exception):
    """It wrote more than it may."""


class Memory(Protocol):
    """The memory of the module that is calling. Both raise `Fault`."""

    def read(self, at: int, size: int) -> bytes: ...

    def write(self, at: int, data: bytes) -> None: ...


class Calls:
    """The calls of one execution; each takes the memory and the module's arguments, and answers an errno."""

    def __init__(self, stdin: bytes, args: Sequence[str], now: int, most_out: int, most_err: int) -> None:
        self._stdin = stdin
        self._read = 0
        self._args = [arg.encode("utf-8", "replace") + b"\0" for arg in args]
        self._now = now
        self._started = time.monotonic()
        self._most = {STDOUT: most_out, STDERR: most_err}
        self.written = {STDOUT: bytearray(), STDERR: bytearray()}

    def function(self, name: str) -> Callable[..., int]:
        """What serves the import of that name; one that is not known answers that it may not be done."""
        found: Callable[..., int] = getattr(self, f"_{name}", self._refused)
        return found

    def call(self, memory: Memory, name: str, arguments: Sequence[int]) -> int:
        """One call. Raises `Exit` and `TooMuch`."""
        # Addresses and sizes are unsigned; as i32 they come signed.
        unsigned = [value & 0xFFFF_FFFF_FFFF_FFFF if abs(value) >> 32 else value & 0xFFFF_FFFF for value in arguments]
        try:
            return self.function(name)(memory, *unsigned)
        except Fault:
            return FAULT

    @staticmethod
    def _refused(_memory: Memory, *_: int) -> int:
        return NOTCAPABLE

    # -- input and output -----------------------------------------------------------------------------------------

    def _fd_read(self, memory: Memory, fd: int, vectors: int, count: int, read: int) -> int:
        if fd != STDIN:
            return BADF
        total = 0
        for at, size in _vectors(memory, vectors, count):
            piece = self._stdin[self._read : self._read + size]
            memory.write(at, piece)
            self._read += len(piece)
            total += len(piece)
            if len(piece) < size:
                break
        memory.write(read, struct.pack("<I", total))
        return OK

    def _fd_write(self, memory: Memory, fd: int, vectors: int, count: int, written: int) -> int:
        if fd not in self.written:
            return BADF
        total = 0
        for at, size in _vectors(memory, vectors, count):
            if len(self.written[fd]) + size > self._most[fd]:
                if fd == STDOUT:
                    raise TooMuch
                room = self._most[fd] - len(self.written[fd])
                self.written[fd] += memory.read(at, room)  # of an error text the beginning is enough
            else:
                self.written[fd] += memory.read(at, size)
            total += size
        memory.write(written, struct.pack("<I", total & 0xFFFF_FFFF))
        return OK

    def _fd_close(self, _memory: Memory, fd: int) -> int:
        return OK if fd <= STDERR else BADF

    def _fd_seek(self, _memory: Memory, fd: int, *_: int) -> int:
        return SPIPE if fd <= STDERR else BADF

    _fd_tell = _fd_seek

    def _fd_fdstat_get(self, memory: Memory, fd: int, at: int) -> int:
        if fd > STDERR:
            return BADF
        rights = READ if fd == STDIN else WRITE
        memory.write(at, struct.pack("<BxHxxxxQQ", 0, 0, rights, 0))
        return OK

    def _fd_fdstat_set_flags(self, _memory: Memory, fd: int, _flags: int) -> int:
        return OK if fd <= STDERR else BADF

    def _fd_filestat_get(self, memory: Memory, fd: int, at: int) -> int:
        if fd > STDERR:
            return BADF
        memory.write(at, bytes(64))
        return OK

    def _fd_prestat_get(self, _memory: Memory, _fd: int, _at: int) -> int:
        return BADF

    def _fd_prestat_dir_name(self, _memory: Memory, _fd: int, _at: int, _size: int) -> int:
        return BADF

    # -- the surroundings -----------------------------------------------------------------------------------------

    def _args_sizes_get(self, memory: Memory, count: int, size: int) -> int:
        memory.write(count, struct.pack("<I", len(self._args)))
        memory.write(size, struct.pack("<I", sum(map(len, self._args))))
        return OK

    def _args_get(self, memory: Memory, pointers: int, texts: int) -> int:
        for index, arg in enumerate(self._args):
            memory.write(pointers + 4 * index, struct.pack("<I", texts))
            memory.write(texts, arg)
            texts += len(arg)
        return OK

    def _environ_sizes_get(self, memory: Memory, count: int, size: int) -> int:
        memory.write(count, bytes(4))
        memory.write(size, bytes(4))
        return OK

    def _environ_get(self, _memory: Memory, _pointers: int, _texts: int) -> int:
        return OK

    def _clock_res_get(self, memory: Memory, clock: int, at: int) -> int:
        if clock > 1:
            return INVAL
        memory.write(at, struct.pack("<Q", CLOCK_RES))
        return OK

    def _clock_time_get(self, memory: Memory, clock: int, _precision: int, at: int) -> int:
        if clock > 1:
            return INVAL
        memory.write(at, struct.pack("<Q", self._time(clock)))
        return OK

    def _time(self, clock: int) -> int:
        """Nanoseconds in whole milliseconds: since 1970 (0), or since the beginning (1)."""
        passed = int((time.monotonic() - self._started) * 1000)
        return (passed + (self._now if clock == 0 else 0)) * CLOCK_RES

    def _random_get(self, memory: Memory, at: int, size: int) -> int:
        memory.read(at, min(size, 1))  # before anything is made for an address that is none
        for start in range(0, size, 65_536):
            memory.write(at + start, os.urandom(min(65_536, size - start)))
        return OK

    def _proc_exit(self, _memory: Memory, code: int) -> int:
        raise Exit(code)

    def _sched_yield(self, _memory: Memory) -> int:
        return OK

    def _poll_oneoff(self, memory: Memory, wanted: int, events: int, count: int, happened: int) -> int:
        """Sleeping; input and output are always ready."""
        if not 0 < count <= MAX_WAITS:
            return INVAL
        ready: list[tuple[bytes, int]] = []
        waits: list[tuple[float, bytes]] = []
        for index in range(count):
            data = memory.read(wanted + 48 * index, 48)
            user, kind = data[:8], data[8]
            if kind == 0:
                clock, timeout, _, flags = struct.unpack("<I4xQQH6x", data[16:48])
                nanos = timeout - self._time(clock) if flags & 1 else timeout
                waits.append((max(nanos, 0) / 1e9, user))
            else:
                ready.append((user, kind))
        if not ready:
            seconds, user = min(waits)
            select.select([], [], [], min(seconds, 3_600.0))  # the parent's clock ends it
            ready = [(user, 0)]
        for index, (user, kind) in enumerate(ready):
            memory.write(events + 32 * index, user + struct.pack("<HB21x", 0, kind))
        memory.write(happened, struct.pack("<I", len(ready)))
        return OK


def _vectors(memory: Memory, at: int, count: int) -> Iterator[tuple[int, int]]:
    """The pieces of memory that a call is about."""
    if count > 1024:
        raise Fault
    yield from struct.iter_unpack("<II", memory.read(at, 8 * count))
