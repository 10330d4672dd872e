"""The search: inputs are changed, fed, and kept where they reach lines of the product in a new order.

Watching costs many times what feeding does, so one input in `WATCHED` is watched (`sys.settrace`, which every Python has);
the others are only fed. A seed draws the same inputs each time, whatever the machine.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from tests.fuzz.mutate import Mutator
from tests.fuzz.target import Target

WATCHED = 16
POOL = 4_000
"""Inputs that are kept while searching."""
REDUCTIONS = 2_000
"""Tries to make a finding smaller."""

Arc = tuple[str, int, int]


@dataclass(slots=True)
class Finding:
    """An input that failed, as small as it was got, and how."""

    data: bytes
    error: BaseException

    @property
    def kind(self) -> str:
        """What tells it from others: the error, and the last line of it that is ours."""
        return kind_of(self.error)


@dataclass(slots=True)
class Report:
    """What a search came to."""

    target: str
    fed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    slowest_input: bytes = b""
    findings: list[Finding] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    """Inputs that reached something new."""

    def __str__(self) -> str:
        split = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        return (
            f"{self.target}: {self.fed:,} inputs in {self.seconds:.0f} s ({split or 'none'}), {len(self.kept):,} of them new, "
            f"slowest {self.slowest * 1000:.1f} ms of CPU, {len(self.findings)} findings"
        )


def explore(
    target: Target, seeds: list[bytes], seed: int, going: Callable[[Report], bool], watched: int = WATCHED
) -> Report:
    """Feed mutations of the seeds while `going` says so. Everything that fails is among the findings once."""
    report, mutator, arcs = Report(target.name), Mutator(seed, target.words), set[Arc]()
    pool = seeds or [b""]
    began, kinds = time.monotonic(), set[str]()
    for data in _inputs(pool, mutator):
        if not going(report):
            break
        fresh: set[Arc] = set()
        watch = report.fed < len(pool) or mutator.chance(watched)
        spent = time.thread_time()
        try:
            outcome = _watched(target, data, fresh) if watch else target.feed(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            outcome = "failed"
            if kind_of(error) not in kinds:
                kinds.add(kind_of(error))
                report.findings.append(reduced(target, Finding(data, error)))
        spent = time.thread_time() - spent
        report.fed += 1
        report.outcomes[outcome] += 1
        if not watch and spent > report.slowest:
            report.slowest, report.slowest_input = spent, data
        if fresh - arcs:
            arcs |= fresh
            if len(pool) < POOL and report.fed > len(seeds):
                pool.append(data)
                report.kept.append(data)
        report.seconds = time.monotonic() - began
    return report


def _inputs(pool: list[bytes], mutator: Mutator) -> Iterator[bytes]:
    yield from list(pool)
    while True:
        yield mutator.mutated(mutator.choose(pool), pool)


def kind_of(error: BaseException) -> str:
    """The error and the place in the product (else anywhere) that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/flowrunner/" in frame.filename.replace("\\", "/")] or frames
    place = f"{ours[-1].filename.rsplit('/', 2)[-1]}:{ours[-1].name}:{ours[-1].lineno}" if ours else "nowhere"
    said = f" {error}" if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} at {place}{said[:80]}"


def reduced(target: Target, finding: Finding) -> Finding:
    """The same failure from fewer bytes, as far as leaving pieces out gets."""
    tries, size = 0, max(1, len(finding.data) // 2)
    while size and tries < REDUCTIONS:
        at = 0
        while at < len(finding.data) and tries < REDUCTIONS:
            tries += 1
            smaller = finding.data[:at] + finding.data[at + size :]
            error = _failure(target, smaller)
            if error is not None and kind_of(error) == finding.kind:
                finding = Finding(smaller, error)
            else:
                at += size
        size //= 2
    return finding


def _failure(target: Target, data: bytes) -> Exception | None:
    try:
        target.feed(data)
    except Exception as error:  # noqa: BLE001 - what it is, is what is asked
        return error
    return None


def _watched(target: Target, data: bytes, arcs: set[Arc]) -> str:
    """Feed, and note which line of the product followed which."""
    before = 0

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            nonlocal before
            line = frame.f_lineno
            arcs.add((frame.f_code.co_filename, before, line))
            before = line
        return local

    def entered(frame: FrameType, event: str, arg: Any) -> Any:
        return local if "/flowrunner/" in frame.f_code.co_filename else None

    earlier = sys.gettrace()
    sys.settrace(entered)
    try:
        return target.feed(data)
    finally:
        sys.settrace(earlier)
