"""scripts/simulate: play many seeds, or one again.

scripts/simulate --seeds 20000 [--from 5000]    a failing seed is printed with what led to it
scripts/simulate --seed 4711                    exactly that one again, with its history
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from multiprocessing import get_context

from tests.simulation.homes import FUNCTIONS, HOMES, LAGGING
from tests.simulation.seeds import one

SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Simulated worlds, each made from its seed.")
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, and what it comes to")
    parser.add_argument("--store", choices=(*HOMES, LAGGING, FUNCTIONS), default="memory")
    parser.add_argument("--jobs", type=int, default=2, help="processes that play")
    given = parser.parse_args()
    if given.seed is not None:
        told = one((given.seed, given.store))
        print(told)
        return isinstance(told, str)
    began, totals, failures = time.monotonic(), Counter[str](), 0
    places = [(seed, given.store) for seed in range(given.first, given.first + given.seeds)]
    with get_context("spawn").Pool(given.jobs) as pool:
        for told in pool.imap_unordered(one, places, chunksize=10):
            if isinstance(told, str):
                failures += 1
                if failures <= SHOWN:
                    print(told, flush=True)
                continue
            totals.update(seeds=1, runs=told.runs, faults=told.faults, deaths=told.deaths, effects=told.effects)
            totals.update(told.statuses.values())
    print(
        f"{given.store}: {totals['seeds']} seeds held, {failures} did not; {totals['runs']} runs "
        f"({totals['completed']} completed, {totals['failed']} failed, {totals['cancelled']} cancelled), "
        f"{totals['effects']} effects, {totals['faults']} faults, {totals['deaths']} deaths, "
        f"{time.monotonic() - began:.0f} s"
    )
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
