"""Many hooks one after the other in warm processes: none finds anything of those before it, and no process falls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.sandbox.errors import ScriptError, ScriptLimitExceeded
from flowrunner.sandbox.evaluator import Evaluation, Sandbox, Script
from flowrunner.sandbox.paths import UNDEFINED

from tests.security.counts import times

TRACES = (
    "globalThis.trace = input",
    "var trace = input; this.trace = input",
    "Object.prototype.trace = input",
    "Function.prototype.trace = Array.prototype.trace = String.prototype.trace = input",
    "Object.defineProperty(globalThis, 'trace', {value: input, configurable: false})",
    "JSON.trace = Math.trace = Object.trace = input",
    "input.constructor.prototype.trace = 1",
    "RegExp.prototype.trace = /(t)(race)/.exec('trace'); 'trace'.match(/(trace)/)",
    "(0, eval)('trace = 1')",
    "log(trace = input); emit('trace', {trace})",
    "vars.trace = input",
    "Symbol.for('trace').description; globalThis[Symbol.for('trace')] = input",
    "throw Object.assign(new Error('trace'), {trace: input})",
)
"""What one hook leaves; each also looks for what others have left."""

LOOK = """
const found = [];
for (const [name, place] of [['global', globalThis], ['object', {}], ['function', () => 1], ['array', []], ['text', ''],
  ['JSON', JSON], ['Math', Math], ['Object', Object], ['RegExp', /x/], ['vars', vars], ['input', input]]) {
  if (place.trace !== undefined) found.push(name);
}
if (typeof trace !== 'undefined' || globalThis[Symbol.for('trace')] !== undefined || RegExp['$1'] === 'trace') found.push('name');
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Two warm processes."""
    made = Sandbox(processes=2)
    yield made
    made.close()


def load(root: str, key: str | None) -> object:
    """An input for every hook; nothing else is there."""
    return {"n": 1} if root == "input" else {} if key is None else UNDEFINED


def leave(sandbox: Sandbox, trace: str) -> Evaluation | None:
    """Look for traces, then leave one; None for a hook that fails on purpose after it has looked."""
    body = f"{LOOK} if (found.length) return found; {trace}; return found"
    try:
        return sandbox.evaluate("acme", Script(kind="hook", name="exec", body=body), load, now_ms=0, seed="s")
    except ScriptLimitExceeded:
        raise
    except ScriptError:
        return None


def test_no_hook_finds_a_trace_of_another(sandbox: Sandbox) -> None:
    """Whatever a hook leaves in its engine, the next one of the same account does not see it."""
    found: list[str] = []
    failed = 0
    for number in range(times(260, 10_000)):
        done = leave(sandbox, TRACES[number % len(TRACES)])
        failed += done is None
        found += [] if done is None else done.value
    assert found == []
    assert failed < times(260, 10_000) // 2


def test_a_trace_would_be_found(sandbox: Sandbox) -> None:
    """The look sees each kind of trace that is left in the same engine, so that finding none means something."""
    blind = []
    for trace in TRACES:
        if trace.startswith(("throw", "RegExp")):
            continue
        body = f"{trace}; {LOOK} return found"
        done = sandbox.evaluate("acme", Script(kind="hook", name="exec", body=body), load, now_ms=0, seed="s")
        blind += [] if done.value else [trace]
    assert blind == []
