"""What the sandbox costs: `python tests/bench/sandbox_bench.py`, or `bench()` from another program."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flowrunner.sandbox.evaluator import Sandbox, Script
from flowrunner.sandbox.process import Worker
from flowrunner.sandbox.templates import compile_template

HOOK = Script(kind="hook", name="exec", body="return {value: input.value + 1}")
EXPRESSIONS = Script(kind="expressions", sources=("input.value + 1",))
RICH = Script(
    kind="hook",
    name="exec",
    body="log('n', nodes.a.output.n); vars.count = (vars.count || 0) + 1; return {id: uuid(), n: nodes.a.output.n}",
)
VALUES: dict[tuple[str, str | None], Any] = {
    ("input", None): {"value": 1, "a": {"b": [1]}},
    ("nodes", "a"): {"output": {"n": 1}},
    ("vars", "count"): 1,
}


def load(root: str, key: str | None) -> Any:
    """What the scripts read."""
    return VALUES[root, key]


def evaluate(sandbox: Sandbox, script: Script) -> None:
    """One evaluation."""
    sandbox.evaluate("acme", script, load, now_ms=0, seed="seed")


def each_ms(times: int, call: Callable[[], object], pause: float = 0) -> tuple[float, float]:
    """p50 and p95 of a call in ms; `pause` is spent idly between calls, as an engine spends it on other things."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1000)
        if pause:
            time.sleep(pause)
    cuts = statistics.quantiles(taken, n=20)
    return cuts[9], cuts[18]


def per_second(sandbox: Sandbox, script: Script, threads: int, times: int) -> float:
    """Evaluations per second from that many threads."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: evaluate(sandbox, script), range(threads * 5)))
        started = time.perf_counter()
        list(pool.map(lambda _: evaluate(sandbox, script), range(times)))
        return times / (time.perf_counter() - started)


def bench(times: int = 1000) -> None:
    """Print the figures."""
    template = compile_template({"a": "${input.a.b[0]}"})
    started = time.perf_counter()
    for _ in range(times * 50):
        template.render(load)
    print(f"native template, one path   {(time.perf_counter() - started) / times / 50 * 1e6:8.2f} µs")
    spawns = each_ms(20, lambda: Worker().kill())
    print(f"start and end of a process  {spawns[0]:8.2f} ms p50 {spawns[1]:8.2f} ms p95")
    one = Sandbox(processes=1)
    for name, script in (("hook", HOOK), ("expression", EXPRESSIONS), ("hook with effects", RICH)):
        evaluate(one, script)
        p50, p95 = each_ms(times, lambda script=script: evaluate(one, script))  # type: ignore[misc]  # bound now
        print(f"warm {name:22} {p50:8.2f} ms p50 {p95:8.2f} ms p95, back to back")
    p50, p95 = each_ms(times // 4, lambda: evaluate(one, HOOK), pause=0.002)
    print(f"warm hook                   {p50:8.2f} ms p50 {p95:8.2f} ms p95, 2 ms apart")
    print(f"1 worker, 1 thread          {per_second(one, HOOK, 1, times * 2):8.0f} evaluations/s")
    one.close()
    two = Sandbox(processes=2)
    print(f"2 workers, 2 threads        {per_second(two, HOOK, 2, times * 2):8.0f} evaluations/s")
    two.close()


if __name__ == "__main__":
    bench()
