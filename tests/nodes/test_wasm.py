"""The node wasm: modules written here as text, compiled and executed in processes of their own."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from flowrunner.adapters.memory.backend import MemoryBackend
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.errors import NodeTimeout, ParamsInvalid, StepError
from flowrunner.nodes import wasm_process
from flowrunner.nodes.wasm import SLOTS, WasmNode, _Codes
from flowrunner.nodes.wasm_modules import ModuleStore, digest_of
from flowrunner.ports.kv import KeyValues
from pydantic import ValidationError

from tests.nodes.context import NOW, RUN, context

NODE = WasmNode()

HEAD = """
(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
(memory (export "memory") 1)
"""
"""Every import stands before the memory; `say` writes a text of the data segment at 1024."""
SAY = """
(func $say (param $fd i32) (param $length i32)
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (local.get $length))
  (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
"""


def module(body: str, imports: str = "") -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {imports} {HEAD} {SAY} {body})"))


def saying(text: str, then: str = "", fd: int = 1) -> bytes:
    quoted = "".join(f"\\{byte:02x}" for byte in text.encode())
    start = f'(func (export "_start") (call $say (i32.const {fd}) (i32.const {len(text.encode())})) {then})'
    exit_import = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
    return module(f'(data (i32.const 1024) "{quoted}") {start}', exit_import)


def started(body: str, imports: str = "") -> bytes:
    return module(f'(func (export "_start") {body})', imports)


ECHO = base64.b64decode("".join(NODE.example.partition(">-")[2].partition("  input")[0].split()))


def run(content: bytes, came: Json = None, **given: Any) -> Any:
    outside = {key: given.pop(key) for key in ("is_cancelled", "left") if key in given}
    params = {"inline": base64.b64encode(content).decode(), "timeout": "2m", **given}
    return NODE.execute(context(NODE, params, input=came, **outside))


def refused(content: bytes, **given: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        run(content, **given)
    return caught.value


def test_json_goes_in_and_out() -> None:
    """What is written is the result; the input is the node's unless another is given."""
    value = {"text": "ä" * 100_000, "list": [1, None, 2.5]}
    done = run(ECHO, value)
    assert (done.result, done.stderr) == (value, "")
    assert 0 < done.fuel < 1_000
    assert run(ECHO, value, input=[1]).result == [1]
    assert run(ECHO, "x", format="text").result == '"x"'
    assert run(ECHO, "x", format="bytes").result == {"$bytes": "Ingi"}
    assert run(started("")).result is None


def test_what_a_module_says_of_itself() -> None:
    """Its error text, its status, and what it wrote when that is no JSON."""
    error = refused(saying("no width\n", "(call $exit (i32.const 3))", fd=2))
    assert (error.code, error.message) == ("WasmExit:3", "the module ended with status 3: no width")
    assert error.details == {"status": 3, "stderr": "no width\n"}
    assert run(saying("[1]", "(call $exit (i32.const 0))")).result == [1]
    assert run(saying("only a warning", fd=2)).stderr == "only a warning"
    assert refused(saying("{")).code == "InvalidResponse"


LOOP = "(loop $l (br $l))"
RECURSE = '(func $f (export "_start") (call $f))'
OPEN = """
(import "wasi_snapshot_preview1" "path_open"
  (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
"""
TRIES = """
(if (i32.ne (call $prestat (i32.const 3) (i32.const 16)) (i32.const 8)) (then (call $exit (i32.const 1))))
(if (i32.ne (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 0)
  (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 16)) (i32.const 76)) (then (call $exit (i32.const 2))))
(if (i32.ne (call $accept (i32.const 0) (i32.const 0) (i32.const 16)) (i32.const 76)) (then (call $exit (i32.const 3))))
(if (call $environ (i32.const 16) (i32.const 20)) (then (call $exit (i32.const 4))))
(if (i32.load (i32.const 16)) (then (call $exit (i32.const 5))))
(if (i32.ne (call $write (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 8)) (i32.const 8))
  (then (call $exit (i32.const 6))))
(if (i32.ne (call $write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 8)) (i32.const 21))
  (then (call $exit (i32.const 7))))
"""


def test_there_are_no_files_sockets_or_variables() -> None:
    """A module that looks for them is told that there are none, and goes on; so it is with addresses that are none."""
    assert run(started(TRIES, OPEN)).result is None


GROW = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)"
WRITES = """(i32.store (i32.const 4) (i32.const 65000))
(loop $l (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $l))"""


@pytest.mark.parametrize(
    ("content", "given", "code", "details"),
    [
        (started(LOOP), {"fuel": 1_000_000}, "WasmLimit", {"limit": "fuel"}),
        (started(WRITES), {}, "WasmLimit", {"limit": "output"}),
        (started(GROW), {"memory": "8MiB"}, "WasmTrap", {"trap": "unreachable"}),
        (module(RECURSE), {}, "WasmTrap", {"trap": "stack_overflow"}),
        (started("(drop (i32.load (i32.const -1)))"), {}, "WasmTrap", {"trap": "memory_out_of_bounds"}),
        (
            started("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
            {},
            "WasmTrap",
            {"trap": "integer_division_by_zero"},
        ),
    ],
    ids=["fuel", "output", "memory", "stack", "address", "division"],
)
def test_limits(content: bytes, given: dict[str, Any], code: str, details: dict[str, Any]) -> None:
    """Each ends the module, says which it was, and harms nothing else."""
    error = refused(content, **given)
    assert (error.code, error.details) == (code, details)
    assert not error.retryable


def test_a_module_that_begins_with_too_much_memory() -> None:
    """It is not begun."""
    large = bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1000) (func (export "_start")))'))
    assert refused(large, memory="1MiB").details == {"limit": "memory"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0asm\1\0\0\0rest", "cannot be used"),
        (b"MZ", "no WebAssembly module"),
        (b"\0asm\x0d\0\1\0", "no WebAssembly module"),
        (bytes(wasmtime.wat2wasm('(module (memory (export "memory") 1))')), "_start"),
        (bytes(wasmtime.wat2wasm('(module (func (export "_start")))')), "no memory"),
        (started("", '(import "env" "system" (func (param i32)))'), "env.system"),
        (started("", '(import "wasi_snapshot_preview1" "fd_write" (global i32))'), "fd_write"),
        (started("", '(import "wasi_snapshot_preview1" "fd_read" (func (result i64)))'), "fd_read"),
    ],
)
def test_what_is_no_command(content: bytes, words: str) -> None:
    """It is refused, by what is wrong with it, before anything is executed."""
    error = refused(content)
    assert (error.code, words in str(error)) == ("WasmInvalid", True), error


@pytest.mark.parametrize("shape", ["(result i32)", "(param f64) (result i32)", "(param i32 i32 i32) (result i32)"])
def test_a_call_of_another_shape(shape: str) -> None:
    """A module may declare WASI's functions with any parameters: that ends the module and not more."""
    pushes = "".join(f"({kind}.const 1)" for kind in shape.partition("(param ")[2].partition(")")[0].split())
    import_ = f'(import "wasi_snapshot_preview1" "fd_close" (func $odd {shape}))'
    assert refused(started(f"(drop (call $odd {pushes}))", import_)).code == "WasmInvalid"


@pytest.mark.parametrize(("given", "error"), [({"timeout": "2s"}, NodeTimeout), ({"is_cancelled": True}, StepError)])
def test_a_hang_is_ended_by_the_clock(given: dict[str, Any], error: type[StepError]) -> None:
    """However much fuel there is; the process is gone afterwards."""
    with pytest.raises(error) as caught:
        run(started(LOOP), fuel=10**15, **given)
    assert caught.value.code in ("NodeTimeout", "CANCELLED")


def test_what_a_child_says_is_not_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A child that was taken over, or killed by the kernel, fails its step and no more."""
    for words in ("", "sys.stdout.write('x' * 99)", "sys.stdout.buffer.write((9).to_bytes(4, 'big') + b'{\"out\":1}')"):
        worker = tmp_path / "worker.py"
        worker.write_text(f"import sys\n{words}\n")
        monkeypatch.setattr(wasm_process, "WORKER", worker)
        error = refused(started("(nop)"))
        assert (error.code, error.details) == ("WasmLimit", {"limit": "process"})
    monkeypatch.setattr("sys.executable", str(tmp_path / "nothing"))
    error = refused(started("(nop)"))
    assert (error.code, error.retryable) == ("WasmUnavailable", True)


def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code is kept by the digest of what it was made of."""
    asked: list[str] = []

    def told(kind: Any, *rest: Any) -> Any:
        asked.append(kind)
        return wasm_process.ask(kind, *rest)

    monkeypatch.setattr("flowrunner.nodes.wasm.ask", told)
    content = started("(nop) (nop)")
    run(content)
    run(content)
    assert asked == ["compile", "run", "run"]


def test_machine_code_that_is_not_used_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module that was used longest ago goes first."""
    monkeypatch.setattr("flowrunner.nodes.wasm.MAX_CODE", 10)
    kept = _Codes()
    for name in ("a", "b"):
        kept.put(name, b"12345")
    assert kept.get("a") == b"12345"
    kept.put("c", b"12345")
    assert [kept.get(name) for name in ("a", "b", "c")] == [b"12345", None, b"12345"]


def test_waiting_for_a_place_takes_from_the_steps_time() -> None:
    """With all places taken a step ends by its own time limit."""
    node = WasmNode()
    for _ in range(SLOTS):
        node._slots.acquire()
    with pytest.raises(NodeTimeout):
        node.execute(context(node, {"inline": base64.b64encode(ECHO).decode(), "timeout": "300ms"}))


def test_a_digest_holds_the_flow_to_a_module() -> None:
    """Another module is not executed."""
    assert run(ECHO, 1, digest=digest_of(ECHO)).result == 1
    assert refused(ECHO, digest="0" * 64).code == "WasmInvalid"


@pytest.fixture
def values() -> KeyValues:
    return MemoryBackend().values


def named(values: KeyValues, **given: Any) -> Any:
    return NODE.execute(context(NODE, {"timeout": "2m", **given}, values=values, input=1)).result


def test_modules_by_name(values: KeyValues) -> None:
    """The account's own, the latest of that name; another account's is none."""
    mine = ModuleStore(values, AccountId(RUN.account))
    ModuleStore(values, AccountId("other")).put("theirs", ECHO, "eve", NOW)
    mine.put("echo", saying("2"), "ada", NOW)
    assert named(values, module="echo") == 2
    mine.put("echo", ECHO, "ada", NOW)
    assert named(values, module="echo") == 1
    for name in ("theirs", "nothing"):
        with pytest.raises(StepError) as caught:
            named(values, module=name)
        assert caught.value.code == "ModuleNotFound"


def test_a_wrong_base64_is_refused() -> None:
    """It is named."""
    for wrong in ("?", {"$bytes": "?"}, {"bytes": "AGFzbQ=="}):
        with pytest.raises(ParamsInvalid, match="inline"):
            NODE.execute(context(NODE, {"inline": wrong}))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"module": "a", "inline": "AAAA"},
        {"module": "../a"},
        {"module": "a", "memory": "2GiB"},
        {"module": "a", "fuel": 0},
        {"module": "a", "args": ["a\0b"]},
        {"module": "a", "digest": "x"},
        {"module": "a", "env": {"A": "b"}},
    ],
)
def test_params_that_do_not_fit(params: dict[str, Any]) -> None:
    """What would be ignored, or cannot be, is refused."""
    with pytest.raises(ValidationError):
        context(NODE, params)


def test_the_child_is_given_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither variables nor descriptors of the process that starts it."""
    monkeypatch.setenv("FLOWRUNNER_SECRET_X", "hidden")
    process = wasm_process._started()
    try:
        assert b"hidden" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
