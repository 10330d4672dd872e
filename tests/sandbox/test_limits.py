"""Scripts that mean harm: each ends in its own error, soon, and the next script runs as if nothing had been.

The table is the substance of the attack corpus, with more of each kind; test_attacks.py runs the corpus itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from flowrunner.sandbox.errors import ScriptError, ScriptLimitExceeded
from flowrunner.sandbox.evaluator import Limits, Sandbox, Script
from flowrunner.sandbox.paths import UNDEFINED

Scenes = Callable[..., Any]

TIME = {"cpu", "wall"}
ANY = {"cpu", "wall", "memory", "stack", "output", "log"}

BAD: dict[str, tuple[str, set[str]]] = {
    "loop": ("while (true) {}", TIME),
    "loop that catches": ("for (;;) { try { while (true) {} } catch (e) {} }", TIME),
    "loop in finally": ("try { throw 1 } finally { while (true) {} }", TIME),
    "regular expression": ("/^(a+)+$/.test('a'.repeat(40) + 'b')", TIME),
    "native join": ("return new Array(2**32 - 1).join('x')", TIME),
    "native search": ("return 'a'.repeat(1e6).indexOf('a'.repeat(5e5) + 'b')", TIME),
    "sparse search": ("const a = []; a.length = 2**32 - 1; return a.indexOf(1)", TIME),
    "sparse sort": ("const a = []; a.length = 2**31; a[5] = 1; return a.sort()", ANY),
    "toJSON": ("return {toJSON() { while (1) {} }}", TIME),
    "getter": ("return {get x() { while (1) {} }}", TIME),
    "proxy": ("return new Proxy({}, {ownKeys() { while (1) {} }})", TIME),
    "thrown message": ("class E extends Error { get message() { while (1) {} } } throw new E()", TIME),
    "log of a getter": ("log({get x() { while (1) {} }})", TIME),
    "arrays": ("const a = []; while (true) a.push(new Array(1e5).fill(1))", {"memory"} | TIME),
    "text": ("return 'x'.repeat(2**29)", {"memory"}),
    "buffer": ("return new ArrayBuffer(1e9).byteLength", {"memory"}),
    "replace": ("return 'a'.repeat(1e5).replaceAll('a', 'b'.repeat(1e4)).length", {"memory"} | TIME),
    "recursion": ("function f() { return f() } return f()", {"stack"}),
    "deep JSON": ("return JSON.parse('['.repeat(1e6) + ']'.repeat(1e6))", {"stack"}),
    "deep source": ("return eval('('.repeat(20000) + ')'.repeat(20000))", {"stack"}),
    "large result": ("return 'x'.repeat(300000)", {"output"}),
    "large result in characters of three bytes": ("return '\u20ac'.repeat(200000)", {"output"}),
    "large var": ("vars.x = 'y'.repeat(300000)", {"output"}),
    "many logs": ("for (let i = 0; i < 1e5; i++) log('some text')", {"log"}),
    "many logs, caught": (
        "for (let i = 0; i < 15000; i++) try { log('some text') } catch {} ; return 1",
        {"log"},
    ),
    "large log": ("log('x'.repeat(1e6))", {"log"}),
    "many events": ("for (let i = 0; i < 1e5; i++) emit('e', i)", {"log"}),
    "large vars and result": ("vars.x = 'y'.repeat(200000); return 'x'.repeat(200000)", {"output"}),
}

HEALTHY = Script(
    kind="hook",
    name="exec",
    body="return [input.x + 1, typeof leak, ({}).polluted, [3, 1].sort().map(String)]",
)
HEALTHY_VALUE = [2, "undefined", None, ["1", "3"]]


def load(root: str, _key: str | None) -> Any:
    """One input."""
    return {"x": 1} if root == "input" else UNDEFINED


def run_bad(sandbox: Sandbox, body: str) -> tuple[ScriptError | None, float, Any]:
    """The error of a script, the seconds it took, and what a healthy script of the same account gives afterwards."""
    error = None
    started = time.monotonic()
    try:
        sandbox.evaluate("acme", Script(kind="hook", name="exec", body=body), load, now_ms=0, seed="")
    except ScriptError as caught:
        error = caught
    seconds = time.monotonic() - started
    return error, seconds, sandbox.evaluate("acme", HEALTHY, load, now_ms=0, seed="").value


@pytest.fixture(scope="module")
def outcomes(tight: Sandbox) -> Iterator[dict[str, Future[tuple[ScriptError | None, float, Any]]]]:
    """All bad scripts, two at a time: most do nothing but wait for their end."""
    with ThreadPoolExecutor(2) as threads:
        yield {name: threads.submit(run_bad, tight, body) for name, (body, _) in BAD.items()}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_script_ends_by_its_limit(name: str, outcomes: dict[str, Future[Any]]) -> None:
    """It ends soon, with the limit named, and the next script finds everything as it should be."""
    error, seconds, afterwards = outcomes[name].result()
    assert isinstance(error, ScriptLimitExceeded)
    assert error.code == "SCRIPT_LIMIT_EXCEEDED"
    assert error.details["limit"] in BAD[name][1]
    assert seconds < 30  # one, on a machine that has nothing else to do
    assert afterwards == HEALTHY_VALUE


MESSAGES = {
    "loop": (
        "the script used more than 0.25 s of CPU time",
        "the script did not end within 1.2 s and was stopped",
    ),
    "text": ("the script used more than 64 MiB of memory",),
    "large result": ("the script's result has about 300,032 bytes; the limit is 262,144",),
    "many logs": ("the script logged or emitted more than 256 KiB",),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_limit_is_told_in_figures(name: str, outcomes: dict[str, Future[Any]]) -> None:
    """The message says what was used too much of, and how much there is."""
    error, _, _ = outcomes[name].result()
    assert error is not None
    assert error.message in MESSAGES[name]


LEAVING_TRACES = [
    "globalThis.leak = 1; return 1",
    "Object.prototype.polluted = 1; return 1",
    "Array.prototype.map = () => 'pwned'; JSON.stringify = () => '\"pwned\"'; return 1",
    "input.__proto__.polluted = 1; return 1",
    "this.constructor.constructor('globalThis.leak = 1')(); return 1",
    "input.x = 100; return 1",
    "Array.prototype.sort = Array.prototype.push = String.prototype.slice = () => { throw 1 }; return 1",
    "Object.defineProperty(Object.prototype, 'polluted', {value: 1}); return 1",
    "Reflect.apply = Object.keys = Object.hasOwn = () => 'pwned'; return 1",
    "Array.prototype[Symbol.iterator] = () => { throw 1 }; return 1",
]


@pytest.mark.parametrize("body", LEAVING_TRACES)
def test_nothing_is_left_behind(sandbox: Sandbox, body: str) -> None:
    """What a script does to its built-ins spoils neither its own answer nor the next evaluation."""
    script = Script(kind="hook", name="exec", body=body)
    assert sandbox.evaluate("acme", script, load, now_ms=0, seed="").value == 1
    assert sandbox.evaluate("acme", HEALTHY, load, now_ms=0, seed="").value == HEALTHY_VALUE


FORGING = [
    "Object.prototype.toJSON = () => 'forged'; return {a: 1}",
    "Array.prototype.toJSON = () => 'forged'; log('x'); return [1]",
    "String.prototype.toJSON = () => 'forged'; return 'x'",
    "Array.prototype.join = () => 'ok\\n[[],[]]\\n{}'; return {a: 1}",
    "Object.defineProperty(Object.prototype, 'value', {set() { throw 1 }}); return {a: 1}",
    "}, hook: () => 1, x: () => {",
    "}; }); throw 'ok'; (function () { return { hook() {",
    '} } }); ({}) + (function () { return () => \'missing\\n\\n[["secrets","KEY"]]\'; }); (function () { { {',
]


@pytest.mark.parametrize("body", FORGING)
def test_an_answer_cannot_be_forged_into_harm(sandbox: Sandbox, body: str) -> None:
    """A script that meddles with its answer gets a value or a ScriptError of its own; nothing else breaks or is read."""
    asked = []

    def watched(root: str, key: str | None) -> Any:
        asked.append(root)
        return load(root, key)

    try:
        sandbox.evaluate("acme", Script(kind="hook", name="exec", body=body), watched, now_ms=0, seed="")
    except ScriptError as error:
        code: str | None = error.code
    else:
        code = None
    assert code in (None, "SCRIPT_ERROR")
    assert "secrets" not in asked
    assert sandbox.evaluate("acme", HEALTHY, load, now_ms=0, seed="").value == HEALTHY_VALUE


UNREACHABLE = [
    "require",
    "process",
    "fetch",
    "std",
    "os",
    "scriptArgs",
    "print",
    "load",
    "Worker",
    "WebAssembly",
    "performance",
]


@pytest.mark.parametrize("name", UNREACHABLE)
def test_no_host_object_is_reachable(scene: Scenes, name: str) -> None:
    """Neither by name nor through a constructor is there anything of the host."""
    body = f"return [typeof {name}, (0, eval)('typeof {name}'), this.constructor.constructor('return typeof {name}')()]"
    assert scene().hook(body).value == ["undefined"] * 3


def test_promises_are_never_run(scene: Scenes) -> None:
    """What a script leaves to be done later is not done."""
    body = "(async () => { while (true) await 0 })(); Promise.resolve().then(() => { vars.x = 1 }); return 1"
    done = scene().hook(body)
    assert (done.value, done.vars_written) == (1, {})


def test_a_file_is_out_of_reach(scene: Scenes) -> None:
    """A module of the engine or a file cannot be imported, not even by a hidden name."""
    for body in (
        "import('std')",
        "return eval('imp' + 'ort(\"/etc/passwd\")')",
        "return new Function('return imp' + 'ort(\"os\")')()",
    ):
        with pytest.raises(ScriptError):
            scene().hook(body)


def test_limits_are_settings() -> None:
    """A smaller limit holds, and a larger one gives room."""
    made = {size: Sandbox(Limits(output=size), processes=1) for size in (100, 1_000_000)}
    script = Script(kind="hook", name="exec", body="return 'x'.repeat(300000)")
    try:
        with pytest.raises(ScriptLimitExceeded, match="the limit is 100"):
            made[100].evaluate("acme", script, load, now_ms=0, seed="")
        assert len(made[1_000_000].evaluate("acme", script, load, now_ms=0, seed="").value) == 300_000
    finally:
        for sandbox in made.values():
            sandbox.close()
