"""Running WebAssembly."""

from __future__ import annotations

import base64
import os
import threading
from collections import OrderedDict
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.core.sizes import parse_size
from flowrunner.errors import InvalidInput, NotFound, ParamsInvalid, StepError
from flowrunner.nodes.base import Context, NodeType, Output, Params
from flowrunner.nodes.fields import Period, given, presence
from flowrunner.nodes.http_errors import as_bytes
from flowrunner.nodes.http_sending import json_text
from flowrunner.nodes.json_parse import parse_json
from flowrunner.nodes.wasm_modules import NAME, ModuleStore, check_module, digest_of
from flowrunner.nodes.wasm_process import Answer, Limits, ask

MIB = 1024 * 1024
MAX_OUT = 4 * MIB
"""Bytes of what a module writes to its standard output."""
MAX_ERR = 16 * 1024
"""Bytes of what is kept of its standard error."""
MAX_CODE = 64 * MIB
"""Bytes of the machine code of one module, and of all that a process keeps."""
SLOTS = max(2, os.cpu_count() or 1)
"""Modules that a process of ours compiles or executes at once: each takes a processor and its memory."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(ge=65_536, le=1024 * MIB),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["64MiB", "256MiB"]}),
]


class WasmParams(Params):
    """Parameters of `wasm`."""

    module: str | None = Field(None, pattern=NAME, description="The name of a module that the account keeps.")
    inline: str | dict[str, Json] | None = Field(
        None, description="Instead: the module itself, as base64 or {$bytes: base64}."
    )
    digest: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="SHA-256, hex: fail when the module is another one."
    )
    input: Json = Field(None, description="What it reads, as JSON, from standard input; left out: the node's input.")
    args: list[str] = Field([], max_length=64, description="Its arguments, behind its name.")
    format: Literal["json", "text", "bytes"] = Field("json", description="How what it writes is read.")
    fuel: int = Field(
        10_000_000_000, ge=1, le=10**15, description="Instructions that it may execute, about; 1e9 take about a second."
    )
    memory: Size = Field(64 * MIB, description="Of its own.", json_schema_extra={"default": "64MiB"})
    timeout: Period = Field(
        30_000, description="For all of it; like 500ms or 1m, or in seconds.", json_schema_extra={"default": "30s"}
    )

    @model_validator(mode="after")
    def _one_module(self) -> Self:
        if (self.module is None) == (self.inline is None):
            raise presence("give either `module` or `inline`")
        if any("\0" in arg for arg in self.args):
            raise ValueError("an argument has no NUL character")
        return self


class WasmOutput(Output):
    """What it did."""

    result: Json = Field(None, description="What it wrote to standard output.")
    stderr: str = Field("", description="What it wrote to standard error, the first 16 KiB.")
    fuel: int = Field(description="What it used.")


class WasmNode(NodeType[WasmParams]):
    """Runs a WebAssembly module (a WASI command): JSON on standard input, JSON on standard output.

    Any language that compiles to `wasm32-wasip1` will do: Rust, C, C++, Zig, Go, TinyGo, AssemblyScript. A module is
    uploaded once (`flowrunner modules put NAME FILE`, `PUT /v1/modules/NAME`), or stands in the flow as base64. What it
    writes travels along the edge; nothing written is null.

    It runs in a process of its own that ends with it, without files, sockets, environment or other processes, with
    a clock of milliseconds, as much `fuel`, `memory` and time as the parameters say, and 4 MiB of output. The first
    step of a process that runs a module compiles it, which takes some seconds for each MB of code, and a few hundred
    times its size in memory; `timeout` counts that, too.

    Errors: `ModuleNotFound`; `WasmInvalid` for what is no module, or no WASI command, or another one than `digest`
    says; `WasmExit:<n>` when it ended with a status other than 0; `WasmTrap` when it did what it may not
    (`details.trap` says what); `WasmLimit` (`details.limit` is fuel, memory, output or process); `NodeTimeout`;
    `InvalidResponse` when what it wrote is not JSON. `details.stderr` has what it said about it.

    The functions on AWS have the engine when they are deployed with the extra `wasm`; without it a step fails with
    `NotInstalled`.
    """

    name = "wasm"
    params = WasmParams
    output = WasmOutput
    category = "data"
    icon = "cpu"
    payload = "result"
    example = """\
type: wasm
params:
  inline: >-
    AGFzbQEAAAABDAJgBH9/f38Bf2AAAAJEAhZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxB2ZkX3JlYWQAABZ3YXNpX3NuYXBzaG90
    X3ByZXZpZXcxCGZkX3dyaXRlAAADAgEBBQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAIKPgE8AANAQQBBEDYCAEEEQej7AzYC
    AEEAQQBBAUEIEAAaQQRBCCgCADYCAEEBQQBBAUEMEAEaQQgoAgANAAsLACAEbmFtZQEOAgAEcmVhZAEFd3JpdGUDCQECAQAE
    bW9yZQ==
  input: {n: 20}
"""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(SLOTS)
        self._codes = _Codes()

    def execute(self, ctx: Context[WasmParams]) -> WasmOutput:
        if find_spec("wasmtime") is None:
            raise StepError(
                "the WebAssembly engine (the package wasmtime) is not installed here",
                code="NotInstalled",
                hint="on AWS, deploy with the extra `wasm`",
            )
        params = ctx.params
        limits = Limits.of(min(params.timeout / 1000, ctx.time_left()), ctx.cancelled)
        stdin = json_text(given(params, "input", ctx.input)).encode()
        code = self._code(ctx, limits)
        with self._slot(limits):
            answer = ask(
                "run",
                {
                    "module": code,
                    "stdin": stdin,
                    "args": [params.module or "module", *params.args],
                    "fuel": params.fuel,
                    "memory": params.memory,
                    "now": ctx.now(),
                    "most_out": MAX_OUT,
                    "most_err": MAX_ERR,
                },
                limits,
                MAX_OUT + MAX_ERR,
            )
        stderr = answer.err.decode("utf-8", "replace")
        _check(answer, stderr)
        result = _result(answer.out, params.format, stderr)
        return WasmOutput(result=result, stderr=stderr, fuel=max(0, answer.number("fuel")))

    def _code(self, ctx: Context[WasmParams], limits: Limits) -> bytes:
        """The module's machine code, which is made once for each content."""
        params = ctx.params
        if params.inline is not None:
            content = _inline(params.inline)
            return self._made(digest_of(content), params.digest, lambda: content, limits)
        store = ModuleStore(ctx.values, AccountId(ctx.run.account))
        try:
            found = store.find(params.module or "", ctx.now())
            return self._made(found.digest, params.digest, lambda: store.content(found, ctx.now()), limits)
        except NotFound as error:
            raise StepError(
                error.message, code="ModuleNotFound", hint="flowrunner modules put NAME FILE uploads one"
            ) from None

    def _made(self, digest: str, wanted: str | None, content: Any, limits: Limits) -> bytes:
        if wanted not in (None, digest):
            raise StepError(f"the module is {digest}, not {wanted}", code="WasmInvalid")
        code = self._codes.get(digest)
        if code is None:
            with self._slot(limits):
                answer = ask("compile", {"module": content()}, limits, MAX_CODE)
            _check(answer, "")
            code = answer.out
            self._codes.put(digest, code)
        return code

    def _slot(self, limits: Limits) -> _Slot:
        return _Slot(self._slots, limits)


class _Slot:
    """A place among those that execute at once; waiting for it takes from the step's time."""

    def __init__(self, slots: threading.BoundedSemaphore, limits: Limits) -> None:
        self._slots, self._limits = slots, limits

    def __enter__(self) -> None:
        while not self._slots.acquire(timeout=min(self._limits.left(), 0.2)):
            pass

    def __exit__(self, *_: object) -> None:
        self._slots.release()


class _Codes:
    """Machine code by the digest of what it was made of. It was made by processes that executed nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, digest: str) -> bytes | None:
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
            return self._kept.get(digest)

    def put(self, digest: str, code: bytes) -> None:
        with self._lock:
            self._kept[digest] = code
            while sum(map(len, self._kept.values())) > MAX_CODE:
                self._kept.popitem(last=False)


def _inline(value: str | dict[str, Json]) -> bytes:
    text = value.get("$bytes") if isinstance(value, dict) else value
    try:
        content = base64.b64decode("".join(text.split()) if isinstance(text, str) else "?", validate=True)
    except ValueError:
        raise ParamsInvalid("inline: is not base64") from None
    try:
        check_module(content)
    except InvalidInput as error:
        raise StepError(error.message, code="WasmInvalid", hint=error.hint) from None
    return content


def _check(answer: Answer, stderr: str) -> None:
    """Raises what became of it, unless it went well."""
    said: dict[str, Any] = {"stderr": stderr} if stderr else {}
    last = stderr.strip().rpartition("\n")[2][:300]
    because = f": {last}" if last else ""
    match answer.head.get("status"):
        case "ok":
            return
        case "exit":
            code = answer.number("code")
            raise StepError(
                f"the module ended with status {code}{because}", code=f"WasmExit:{code}", status=code, **said
            )
        case "trap":
            trap = answer.text("trap", 64)
            words = answer.text("message").removeprefix("wasm trap: ")
            raise StepError(f"the module was stopped: {words}{because}", code="WasmTrap", trap=trap, **said)
        case "fuel" | "memory" | "output" as limit:
            what = {
                "fuel": "it used all its `fuel`",
                "memory": "it begins with more `memory` than it may have",
                "output": f"it wrote more than {MAX_OUT // MIB} MiB",
            }
            raise StepError(f"the module was stopped: {what[limit]}{because}", code="WasmLimit", limit=limit, **said)
        case _:
            raise StepError(f"the module cannot be used: {answer.text('message')}", code="WasmInvalid")


def _result(out: bytes, how: str, stderr: str) -> Json:
    if how == "bytes":
        return as_bytes(out)
    if how == "text":
        return out.decode("utf-8", "replace")
    if not out.strip():
        return None
    try:
        return parse_json(out.decode("utf-8"))
    except (StepError, UnicodeDecodeError) as error:
        why = error.message if isinstance(error, StepError) else "not UTF-8"
        said: dict[str, Any] = {"stderr": stderr} if stderr else {}
        raise StepError(f"what the module wrote is {why}", code="InvalidResponse", **said) from None
