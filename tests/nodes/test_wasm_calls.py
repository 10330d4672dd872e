"""The calls that a module may make, one by one, on a memory of the test's own."""

from __future__ import annotations

import struct

import pytest
from flowrunner.nodes.wasm_calls import BADF, FAULT, INVAL, NOTCAPABLE, OK, SPIPE, Calls, Exit, Fault, TooMuch

NOW = 1_700_000_000_000


class Bytes:
    """A memory of 4 KiB."""

    def __init__(self) -> None:
        self.data = bytearray(4096)

    def read(self, at: int, size: int) -> bytes:
        if at + size > len(self.data):
            raise Fault
        return bytes(self.data[at : at + size])

    def write(self, at: int, data: bytes) -> None:
        if at + len(data) > len(self.data):
            raise Fault
        self.data[at : at + len(data)] = data

    def number(self, at: int, form: str = "<I") -> int:
        return int(struct.unpack_from(form, self.data, at)[0])

    def vectors(self, *pieces: tuple[int, int]) -> None:
        self.write(0, b"".join(struct.pack("<II", *one) for one in pieces))


@pytest.fixture
def memory() -> Bytes:
    return Bytes()


def calls(stdin: bytes = b"", most_out: int = 100, most_err: int = 8) -> Calls:
    return Calls(stdin, ["module", "ä"], NOW, most_out, most_err)


def test_input_comes_in_pieces_and_ends(memory: Bytes) -> None:
    """As much as there is room for; nothing at the end."""
    one = calls(b"abcdefg")
    memory.vectors((100, 3), (200, 2))
    assert one.call(memory, "fd_read", (0, 0, 2, 50)) == OK
    assert (memory.number(50), memory.read(100, 3), memory.read(200, 2)) == (5, b"abc", b"de")
    assert one.call(memory, "fd_read", (0, 0, 2, 50)) == OK
    assert (memory.number(50), memory.read(100, 2)) == (2, b"fg")
    assert one.call(memory, "fd_read", (0, 0, 2, 50)) == OK
    assert memory.number(50) == 0


def test_output_has_a_limit_and_errors_are_cut(memory: Bytes) -> None:
    """Too much output ends the module; of an error text the beginning is kept."""
    one = calls()
    memory.write(100, b"0123456789")
    memory.vectors((100, 6), (106, 4))
    assert one.call(memory, "fd_write", (2, 0, 2, 50)) == OK
    assert one.call(memory, "fd_write", (1, 0, 2, 50)) == OK
    assert (memory.number(50), bytes(one.written[1]), bytes(one.written[2])) == (10, b"0123456789", b"01234567")
    memory.vectors((100, 91))
    with pytest.raises(TooMuch):
        one.call(memory, "fd_write", (1, 0, 1, 50))
    assert len(one.written[1]) == 10


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("fd_read", (1, 0, 0, 50), BADF),
        ("fd_write", (0, 0, 0, 50), BADF),
        ("fd_write", (1, -8, 2, 50), FAULT),
        ("fd_write", (1, 0, 2000, 50), FAULT),
        ("fd_write", (1, 0, 0, 4096), FAULT),
        ("fd_close", (2,), OK),
        ("fd_close", (3,), BADF),
        ("fd_seek", (0, 0, 0, 50), SPIPE),
        ("fd_tell", (9, 50), BADF),
        ("fd_fdstat_get", (1, 64), OK),
        ("fd_fdstat_get", (3, 64), BADF),
        ("fd_fdstat_set_flags", (0, 4), OK),
        ("fd_fdstat_set_flags", (4, 4), BADF),
        ("fd_filestat_get", (0, 64), OK),
        ("fd_filestat_get", (3, 64), BADF),
        ("fd_prestat_get", (3, 64), BADF),
        ("fd_prestat_dir_name", (3, 64, 9), BADF),
        ("environ_get", (0, 0), OK),
        ("clock_res_get", (1, 64), OK),
        ("clock_res_get", (2, 64), INVAL),
        ("clock_time_get", (3, 0, 64), INVAL),
        ("clock_time_get", (0, 0, -1), FAULT),
        ("random_get", (4090, 10), FAULT),
        ("random_get", (-1, -1), FAULT),
        ("random_get", (0, 0), OK),
        ("sched_yield", (), OK),
        ("poll_oneoff", (0, 0, 0, 0), INVAL),
        ("poll_oneoff", (0, 0, 65, 0), INVAL),
        ("path_open", (3, 0, 0, 0, 0, -1, -1, 0, 0), NOTCAPABLE),
        ("sock_send", (3, 0, 0, 0, 0), NOTCAPABLE),
        ("proc_raise", (9,), NOTCAPABLE),
        ("init__", (), NOTCAPABLE),
    ],
)
def test_answers(memory: Bytes, name: str, arguments: tuple[int, ...], answer: int) -> None:
    """Each call has its answer, whatever the module says; none reaches outside."""
    assert calls().call(memory, name, arguments) == answer


def test_arguments_and_no_environment(memory: Bytes) -> None:
    """Its name and what the flow gives, as texts that end in NUL."""
    one = calls()
    assert one.call(memory, "args_sizes_get", (0, 4)) == OK
    assert (memory.number(0), memory.number(4)) == (2, 10)
    assert one.call(memory, "args_get", (16, 64)) == OK
    assert memory.read(memory.number(16), 10) == "module\0ä\0".encode()
    assert memory.number(20) == 64 + 7
    assert one.call(memory, "environ_sizes_get", (0, 4)) == OK
    assert (memory.number(0), memory.number(4)) == (0, 0)


def test_time_is_coarse_and_random_bytes_are_random(memory: Bytes) -> None:
    """Whole milliseconds from the step's own time on."""
    one = calls()
    assert one.call(memory, "clock_time_get", (0, 1, 0)) == OK
    nanos = memory.number(0, "<Q")
    assert nanos % 1_000_000 == 0
    assert nanos >= NOW * 1_000_000
    assert one.call(memory, "clock_time_get", (1, 1, 0)) == OK
    assert memory.number(0, "<Q") < NOW
    assert one.call(memory, "random_get", (1024, 2048)) == OK
    assert memory.read(1024, 2048) != bytes(2048)


def test_the_end(memory: Bytes) -> None:
    """Its status is passed on."""
    with pytest.raises(Exit) as caught:
        calls().call(memory, "proc_exit", (7,))
    assert caught.value.code == 7


def test_waiting_for_input_or_time(memory: Bytes) -> None:
    """Input is ready at once; a moment that is over is, too; the event says who waited."""
    one = calls()
    clock = struct.pack("<QB7xIxxxxQQH6x", 77, 0, 0, NOW * 1_000_000, 0, 1)
    reading = struct.pack("<QB7xI28x", 78, 1, 0)
    memory.write(0, clock + reading)
    assert one.call(memory, "poll_oneoff", (0, 1024, 2, 512)) == OK
    assert (memory.number(512), memory.number(1024, "<Q"), memory.read(1034, 1)) == (1, 78, b"\1")
    memory.write(48, struct.pack("<QB7xIxxxxQQH6x", 79, 0, 1, 3_600_000_000_000, 0, 0))
    assert one.call(memory, "poll_oneoff", (0, 1024, 2, 512)) == OK
    assert (memory.number(512), memory.number(1024, "<Q"), memory.read(1034, 1)) == (1, 77, b"\0")
