"""The child process in which WebAssembly is compiled or executed: one job, then it ends.

Started as a plain file (`wasm_process`). It reads a marshalled tuple from standard input (the parent is trusted) and
writes lengths and JSON (it is not trusted, so the parent checks): 4 bytes for the head's length, the head, and what it
announces. Limits inside make for good errors; the boundary is the process: fuel, memory and stack are the engine's,
but it has no environment, can open no file, socket or process, and is killed by the parent's clock.
"""

import _signal  # type: ignore[import-not-found]  # the module signal imports enum
import json
import marshal
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WASI = ("wasi_snapshot_preview1", "wasi_unstable")
OWN_MEMORY = 384 * 1024 * 1024
"""Address space of the interpreter and the engine, beside the module's memory."""
COMPILING = 256
"""Address space for each byte of a module that is compiled. One of 4.3 MB, of little else than code, took 220."""
STACK = 512 * 1024
PAGE = 65_536


def main() -> None:
    """Load the engine, give up what is not needed any more, and do the job."""
    sys.path += sys.argv[1:3]
    import wasmtime

    from flowrunner.nodes import wasm_calls

    job = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - the parent is trusted
    size = len(job["module"])
    memory = COMPILING * size if job["kind"] == "compile" else job["memory"] + 4 * size
    confine(OWN_MEMORY + memory, job["seconds"])
    engine = make_engine(wasmtime)
    out = err = b""
    if job["kind"] == "compile":
        head, out = compiled(wasmtime, engine, job["module"])
    else:
        calls = wasm_calls.Calls(job["stdin"], job["args"], job["now"], job["most_out"], job["most_err"])
        head = Execution(wasmtime, wasm_calls, engine, calls).run(job)
        out, err = bytes(calls.written[1]), bytes(calls.written[2])
    text = json.dumps({**head, "out": len(out), "err": len(err)}).encode()
    sys.stdout.buffer.write(len(text).to_bytes(4, "big") + text + out + err)
    sys.stdout.buffer.flush()


def confine(memory: int, seconds: float) -> None:
    """No new files, sockets or processes, and an end even when the parent dies."""
    limits = {"FSIZE": 0, "NOFILE": 3, "CORE": 0, "NPROC": 0, "CPU": int(seconds) + 2, "AS": memory}
    for name, value in limits.items():
        try:  # noqa: SIM105 - contextlib is an import more
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (ValueError, OSError):
            pass  # a kernel without such a limit; the parent's clock and the empty environment hold
    _signal.setitimer(_signal.ITIMER_REAL, seconds + 1)


def make_engine(wasmtime: "Any") -> "Any":
    """An engine that counts fuel, and reserves no more address space than a module uses."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.max_wasm_stack = STACK
    config.parallel_compilation = False
    config.memory_reservation = 0
    config.memory_guard_size = 0
    config.memory_init_cow = False  # it would open a file in memory
    config.memory_reservation_for_growth = 1024 * 1024
    config.signals_based_traps = False
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    return wasmtime.Engine(config)


def compiled(wasmtime: "Any", engine: "Any", module: bytes) -> "tuple[dict[str, Any], bytes]":
    """The machine code; or what is wrong with the module."""
    try:
        made = wasmtime.Module(engine, bytearray(module))
    except wasmtime.WasmtimeError as error:
        return {"status": "invalid", "message": str(error)}, b""
    for one in made.imports:
        if one.module not in WASI or not isinstance(one.type, wasmtime.FuncType):
            return {"status": "invalid", "message": f"it imports {one.module}.{one.name}, which nobody offers"}, b""
        if [str(kind) for kind in one.type.results] not in ([], ["i32"]):
            return {"status": "invalid", "message": f"its import {one.name} is not as WASI has it"}, b""
    exports = {one.name: one.type for one in made.exports}
    start, memory = exports.get("_start"), exports.get("memory")
    if not isinstance(start, wasmtime.FuncType) or start.params or start.results:
        return {"status": "invalid", "message": "it exports no function _start: build a WASI command"}, b""
    if not isinstance(memory, wasmtime.MemoryType):
        return {"status": "invalid", "message": "it exports no memory of the name memory"}, b""
    return {"status": "ok", "least": memory.limits.min * PAGE}, bytes(made.serialize())


class Execution:
    """Runs a compiled module once."""

    def __init__(self, wasmtime: "Any", wasm_calls: "Any", engine: "Any", calls: "Any") -> None:
        self.wasmtime, self.wasm_calls, self.engine, self.calls = wasmtime, wasm_calls, engine, calls

    def run(self, job: "dict[str, Any]") -> "dict[str, Any]":
        store = self.wasmtime.Store(self.engine)
        store.set_limits(memory_size=job["memory"], table_elements=1_000_000, instances=1, tables=16, memories=1)
        store.set_fuel(job["fuel"])
        head = self.ended(store, job["module"])
        return {**head, "fuel": job["fuel"] - store.get_fuel()}

    def ended(self, store: "Any", module: bytes) -> "dict[str, Any]":
        """How it ends."""
        try:
            made = self.wasmtime.Module.deserialize(self.engine, module)
            functions = [self.function(store, one) for one in made.imports]
            instance = self.wasmtime.Instance(store, made, functions)
            instance.exports(store)["_start"](store)
        except self.wasm_calls.Exit as end:
            return {"status": "exit", "code": end.code} if end.code else {"status": "ok"}
        except self.wasm_calls.TooMuch:
            return {"status": "output"}
        except TypeError:
            return {"status": "invalid", "message": "it calls WASI with other arguments than WASI has"}
        except self.wasmtime.Trap as trap:
            code = trap.trap_code
            if code is self.wasmtime.TrapCode.OUT_OF_FUEL:
                return {"status": "fuel"}
            lines = [line.strip() for line in trap.message.splitlines() if line.strip()]
            return {
                "status": "trap",
                "trap": code.name.lower() if code else "trap",
                "message": lines[-1] if lines else "",
            }
        except self.wasmtime.WasmtimeError as error:
            text = str(error)
            limit = "memory" if "memory" in text and "limit" in text else "invalid"
            return {"status": limit, "message": text}
        return {"status": "ok"}

    def function(self, store: "Any", wanted: "Any") -> "Any":
        """What serves an import."""
        results = len(wanted.type.results)

        def called(caller: "Any", *arguments: int) -> "int | None":
            memory = Window(self.wasm_calls, caller)
            answer: int = self.calls.call(memory, wanted.name, arguments)
            return answer if results else None

        return self.wasmtime.Func(store, wanted.type, called, access_caller=True)


class Window:
    """The memory of a module, looked at during one call: it may move at any other time."""

    def __init__(self, wasm_calls: "Any", caller: "Any") -> None:
        self.fault, self.caller = wasm_calls.Fault, caller
        self.memory = caller["memory"]
        self.size = self.memory.data_len(caller)

    def read(self, at: int, size: int) -> bytes:
        if at + size > self.size:
            raise self.fault
        return bytes(self.memory.read(self.caller, at, at + size)) if size else b""

    def write(self, at: int, data: bytes) -> None:
        if at + len(data) > self.size:
            raise self.fault
        if data:
            self.memory.write(self.caller, bytearray(data), at)


if __name__ == "__main__":
    main()
