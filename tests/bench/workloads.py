"""The workloads of the benchmark: what is run, how it is timed."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from flowrunner.adapters.local.clock import SystemClock, SystemDraws
from flowrunner.adapters.local.secrets import LocalSecrets
from flowrunner.bootstrap import LazyHttp
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.engine import Engine, Parts, RunResult
from flowrunner.engine.starter import StartRequest
from flowrunner.engine.watch import Change
from flowrunner.nodes.registry import Registry
from flowrunner.ports.backend import Backend
from flowrunner.sandbox.evaluator import Sandbox

ACCOUNT = AccountId("bench")
STEPS = 10
RUNS = 300
IN_FLIGHT = 16
WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Figure:
    """One measured number with its target, None where there is none."""

    workload: str
    value: float
    unit: str
    target: float | None
    higher_is_better: bool = False

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.higher_is_better else self.value <= self.target


def linear(kind: str) -> str:
    """Ten trivial steps in a row: `transform` by a native path, or `script`."""
    nodes = []
    for number in range(STEPS):
        following = f", next: s{number + 1}" if number < STEPS - 1 else ""
        source = "input" if number == 0 else "prev"
        if kind == "script":
            work = "type: script, hooks: {exec: 'return {value: input.value + 1}'}"
        else:
            work = f'type: transform, params: {{mapping: {{value: "${{{source}.value}}"}}}}'
        nodes.append(f"  s{number}: {{{work}{following}}}")
    return f"metadata: {{name: linear-{kind}}}\nnodes:\n" + "\n".join(nodes) + "\n"


def fan_out(kind: str) -> str:
    work = (
        "type: script, hooks: {exec: 'return item + 1'}"
        if kind == "script"
        else 'type: transform, params: {value: "${item}"}'
    )
    return f"""metadata: {{name: fan-out-{kind}}}
nodes:
  each: {{{work}, foreach: {{items: "${{input}}", max_concurrency: 100}}, next: join}}
  join: {{type: transform, params: {{value: "${{prev.length}}"}}}}
"""


def loop(kind: str, steps: int) -> str:
    """A node that leads to itself until the limit on steps ends the run."""
    work = (
        "type: script, hooks: {exec: 'return {value: 1}'}"
        if kind == "script"
        else 'type: transform, params: {value: "${input.value}"}'
    )
    return f"metadata: {{name: loop-{kind}}}\nstart: a\nlimits: {{max_steps: {steps}}}\nnodes: {{a: {{{work}, next: a}}}}\n"


class Loaded:
    """An engine with a worker under load."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def once(self, document: str, value: Json) -> tuple[float, RunResult]:
        """One run, from start to end; seconds and result."""
        row = self.engine.save_flow(ACCOUNT, document)
        begun = time.perf_counter()
        run = self.engine.start(StartRequest(ACCOUNT, row.id, row.revision, value))
        result = self.engine.wait(ACCOUNT, run, WAIT_SECONDS)
        took = time.perf_counter() - begun
        assert result is not None, "the run did not end"
        return took, result

    def many(self, document: str, value: Json) -> float:
        """`RUNS` runs, `IN_FLIGHT` at a time; seconds for all."""
        return self.each(document, [value] * RUNS)

    def each(self, document: str, values: Sequence[Json]) -> float:
        """A run for each value, `IN_FLIGHT` at a time; seconds for all."""
        row = self.engine.save_flow(ACCOUNT, document)
        places = threading.Semaphore(IN_FLIGHT)
        left = threading.Semaphore(0)

        def one(value: Json) -> None:
            places.acquire()
            run = RunId(self.engine.parts.draws.new_id())

            def watch(change: Change) -> None:
                if change.ended:
                    leave()
                    places.release()
                    left.release()

            leave = self.engine.watchers.watch(run, watch)
            self.engine.start(StartRequest(ACCOUNT, row.id, row.revision, value, run=run))

        begun = time.perf_counter()
        with ThreadPoolExecutor(IN_FLIGHT) as starters:
            list(starters.map(one, values))
        for _ in values:
            assert left.acquire(timeout=WAIT_SECONDS), "a run did not end"
        return time.perf_counter() - begun


@contextmanager
def loaded(backend: Backend) -> Iterator[Loaded]:
    """An engine on the backend with a worker in a thread."""
    backend.migrate()
    engine = Engine(Parts(backend, Registry(), Sandbox(), LocalSecrets({}), LazyHttp([]), SystemClock(), SystemDraws()))
    worker = engine.worker(on_error=lambda error: print(f"worker: {error}"))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    engine.attach(worker)
    try:
        yield Loaded(engine)
    finally:
        engine.attach(None)
        worker.stop()
        thread.join(60)
        engine.close()


def measure(backend: Backend, kind: str, targets: dict[str, float], *, repeats: int) -> list[Figure]:
    """All workloads on one backend."""
    with loaded(backend) as load:
        load.once(linear(kind), {"value": 1})
        single = statistics.median(load.once(linear(kind), {"value": 1})[0] for _ in range(repeats))
        rates = [STEPS * RUNS / load.many(linear(kind), {"value": 1}) for _ in range(3)]
        wide = statistics.median(load.once(fan_out(kind), list(range(1000)))[0] for _ in range(3))
        # Short loops before and after the long one, since the machine's speed drifts.
        short = [load.once(loop(kind, 100), {"value": 1})[0] / 100 for _ in range(10)]
        long = load.once(loop(kind, 10_000), {"value": 1})[0] / 10_000 if kind == "transform" else None
        short += [load.once(loop(kind, 100), {"value": 1})[0] / 100 for _ in range(10)]
    figures = [
        Figure("A: 10 steps in a row, p50", single * 1000, "ms", targets.get("A")),
        Figure(f"B: {RUNS} runs, {IN_FLIGHT} in flight", statistics.median(rates), "steps/s", targets.get("B"), True),
        Figure("C: foreach over 1,000 and join", wide, "s", targets.get("C")),
    ]
    if long is not None:
        figures.append(
            Figure("D: a step of 10,000 against one of 100", long / statistics.median(short), "x", targets.get("D"))
        )
    return figures
