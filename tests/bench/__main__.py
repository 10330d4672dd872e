"""`python -m tests.bench`: the engine's speed on each store, in one run, with the targets beside.

`--stores memory,sqlite,postgres` chooses, `--quick` repeats less. A target that is missed is marked, and is no failure:
machines differ and are noisy; compare figures of one run.

Others: `scripts/bench aws` (what a step costs on AWS), `large` (10,000 items and 10,000 steps on every store), `runs`
(50,000 runs in one database), `cold-start` (functions), `console` (the console in a browser); each has its `--help`.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowrunner.ports.backend import Backend

from tests.bench import aws_units
from tests.bench.workloads import Figure, measure

TARGETS = {
    "memory": {"A": 5, "B": 5_000, "C": 0.5, "D": 1.2},
    "SQLite": {"A": 10, "B": 2_500, "C": 1, "D": 1.2},
    "PostgreSQL": {"A": 25, "B": 2_000, "C": 2, "D": 1.2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default="memory,sqlite,postgres")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-script", action="store_true", help="leave out the second table")
    options = parser.parse_args()
    repeats = 20 if options.quick else 60
    wanted = options.stores.split(",")
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} (synchronous = full), {platform.machine()}"
    )
    print("\n## trivial steps: `transform` passing one field on by a native path\n")
    table({name: measure(backend, "transform", TARGETS[name], repeats=repeats) for name, backend in stores(wanted)})
    if not options.no_script:
        print("\n## `script` steps: `return {value: input.value + 1}` in a sandbox process (no targets)\n")
        table({name: measure(backend, "script", {}, repeats=repeats // 3) for name, backend in stores(wanted)})


def stores(wanted: list[str]) -> Iterator[tuple[str, Backend]]:
    """The backends, each empty, one after the other."""
    if "memory" in wanted:
        from flowrunner.adapters.memory.backend import MemoryBackend

        yield "memory", MemoryBackend()
    if "sqlite" in wanted:
        from flowrunner.adapters.sqlite.backend import SqliteBackend

        with folder() as path:
            yield "SQLite", SqliteBackend(path / "bench.db", "full")
    if "postgres" in wanted:
        from flowrunner.adapters.postgres.backend import PostgresBackend

        from tests.postgres import Cluster, find_binaries

        if find_binaries() is None:
            print("(no PostgreSQL here: its column is left out)")
            return
        cluster = Cluster(fsync=True)
        try:
            yield "PostgreSQL", PostgresBackend(cluster.new_database())
        finally:
            cluster.stop()


@contextmanager
def folder() -> Iterator[Path]:
    """On the disk of the project: the system's temporary folder may be memory, which makes every sync free."""
    path = Path(tempfile.mkdtemp(prefix="bench-", dir=Path.cwd()))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def table(columns: dict[str, list[Figure]]) -> None:
    """Figures by workload and store; each with its target, and a mark."""
    print("| workload | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for row in zip(*columns.values(), strict=True):
        print(f"| {row[0].workload} | " + " | ".join(shown(figure) for figure in row) + " |")


def shown(figure: Figure) -> str:
    digits = 0 if figure.value >= 100 else 2
    text = f"{figure.value:,.{digits}f} {figure.unit}"
    if figure.target is None:
        return text
    sign = "≥" if figure.higher_is_better else "≤"
    return f"{text} ({sign} {figure.target:,g}{'' if figure.met else ', MISSED'})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["aws"]:
        aws_units.main(sys.argv[2:])
    else:
        main()
