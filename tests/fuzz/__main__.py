"""scripts/fuzz: feed strangers' bytes to every door of the product, for as long as wanted.

scripts/fuzz --minutes 10                       all targets, one after the other
scripts/fuzz --minutes 30 --target yaml         one of them (several: --target yaml --target json)
scripts/fuzz --inputs 1000000 --target yaml     so many inputs instead of so long
scripts/fuzz --seed 7 ...                       other inputs; the same seed draws the same ones

What fails is made small and kept under tests/fuzz/corpus/<target>/, which the tests run; the status is then 1.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.explore import Finding, Report, explore
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

SMALL, MOST = 400, 40
"""Of inputs that reached something new, and are kept with --keep: bytes of each, and how many there are of a target."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Feed strangers' bytes to the product.")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target, unless --inputs is given")
    parser.add_argument("--inputs", type=int, help="how many for each target, instead of a time")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="the folder of what is kept")
    parser.add_argument("--keep", action="store_true", help="also keep small inputs that reached something new")
    parser.add_argument("--show-slowest", action="store_true")
    given = parser.parse_args()
    failed = False
    for name in given.target or TARGETS:
        target = TARGETS[name]
        report = explore(target, _seeds(target, given.corpus), given.seed, _going(given.inputs, given.minutes))
        print(report, flush=True)
        if given.show_slowest:
            print(f"  {report.slowest_input!r}")
        for finding in report.findings:
            _tell(finding, _write(given.corpus / name, "crash", finding.data))
        if given.keep:
            _grow(target, report, given.corpus)
        failed |= bool(report.findings)
    return failed


def _seeds(target: Target, corpus: Path) -> list[bytes]:
    return [path.read_bytes() for path in (target.corpus(corpus) or target.corpus())]


def _going(inputs: int | None, minutes: float) -> Callable[[Report], bool]:
    if inputs is not None:
        return lambda report: report.fed < inputs
    return lambda report: report.seconds < minutes * 60


def _grow(target: Target, report: Report, corpus: Path) -> None:
    room = MOST - len(target.corpus(corpus))
    for data in [data for data in report.kept if len(data) <= SMALL][: max(room, 0)]:
        _write(corpus / target.name, "new", data)


def _write(folder: Path, word: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{word}-{hashlib.sha256(data).hexdigest()[:10]}"
    path.write_bytes(data)
    return path


def _tell(finding: Finding, path: Path) -> None:
    print(f"  {finding.kind}\n  kept as {path}: {finding.data[:300]!r}")
    print("".join(traceback.format_exception(finding.error)[-6:]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
