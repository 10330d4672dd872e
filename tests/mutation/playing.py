"""The tests of the core against each mutant: a plugin of pytest, copied beside the mutated package.

First every test runs once with nothing changed, which shows what it reaches and what it costs. Then a child process for
each mutant switches it on and runs the tests that reach its function, the quickest first, until one fails. Children
are forks, so nothing is imported or collected again, and what they may use is CPU time, so that a busy machine kills
no mutant that lives.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation import switch

JOBS = int(os.environ["MUTATION_JOBS"])
TODO = Path("todo.json")
DONE = Path("done.json")
LEAST_CPU = 3
MOST_MEMORY = 2 << 30


@dataclass
class Reach:
    """The tests that call a function, with their CPU time."""

    tests: dict[str, float] = field(default_factory=dict)

    @property
    def ordered(self) -> list[str]:
        return sorted(self.tests, key=lambda test: self.tests[test])

    @property
    def most_cpu(self) -> int:
        return LEAST_CPU + int(2 * sum(self.tests.values()))


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Instead of pytest's own: all tests once, then some of them for each mutant."""
    items = {item.nodeid: item for item in session.items}
    reach = _reach(items)
    gc.freeze()  # a child's collector touches no page that it shares with its parent
    _check_that_life_is_possible(reach, items)
    todo: list[list[str]] = json.loads(TODO.read_text("utf-8"))
    done: dict[str, str] = {}
    running: dict[int, str] = {}

    def reap() -> None:
        pid, status = os.wait()
        done[running.pop(pid)] = _outcome(status)
        if not len(done) % 25:
            alive = sum(outcome in ("alive", "no test") for outcome in done.values())
            print(f"{len(done)} of {len(todo)} tried, {alive} alive", file=sys.stderr, flush=True)  # noqa: T201  # a program's progress
            DONE.write_text(json.dumps(done), "utf-8")

    # Shuffled, though always the same way: what is there when somebody stops it is a fair sample.
    for function, mutant in sorted(todo, key=lambda one: crc32(" ".join(one).encode())):
        if not reach[function].tests:
            done[f"{function} {mutant}"] = "no test"
            continue
        while len(running) >= JOBS:
            reap()
        running[_fork((function, mutant), reach[function], items)] = f"{function} {mutant}"
    while running:
        reap()
    DONE.write_text(json.dumps(done), "utf-8")
    return True


def _reach(items: dict[str, pytest.Item]) -> dict[str, Reach]:
    reach: dict[str, Reach] = defaultdict(Reach)
    for name, item in items.items():
        switch.REACHED.clear()
        began = time.process_time()
        if not _passes(item):
            pytest.exit(f"{name} fails with nothing changed", returncode=1)
        spent = time.process_time() - began
        for function in switch.REACHED:
            reach[function].tests[name] = spent
    return reach


def _check_that_life_is_possible(reach: dict[str, Reach], items: dict[str, pytest.Item]) -> None:
    """Or everything would count as killed: a child with nothing changed passes all tests within its limits."""
    everything = Reach({test: spent for one in reach.values() for test, spent in one.tests.items()})
    pid = _fork(None, everything, items)
    if _outcome(os.waitpid(pid, 0)[1]) != "alive":
        pytest.exit("a child with nothing changed does not live", returncode=1)


def _fork(change: tuple[str, str] | None, reach: Reach, items: dict[str, pytest.Item]) -> int:
    """Start a child that switches the mutant `change` of a function on; answers the id of its process."""
    if pid := os.fork():
        return pid
    killed = True
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (reach.most_cpu, reach.most_cpu + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
        if change:
            switch.activate(*change)
        killed = not all(_passes(items[test]) for test in reach.ordered)
    finally:  # also after what a mutant may raise that is no Exception
        os._exit(1 if killed else 0)


def _passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _outcome(status: int) -> str:
    if os.WIFSIGNALED(status):
        return "no end" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "killed"
    return "killed" if os.WEXITSTATUS(status) else "alive"
