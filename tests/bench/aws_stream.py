"""What the table's stream adds to a step: the function that has a hundred commits at a time, and its lines of metrics.

Many runs of a linear flow are executed at once, and the function's own handler is given what the stream tells, in full
batches and, for an installation with little to do, one by one. Its calls are counted like those of executors. How long
it takes is reckoned like an executor's invocation (`aws_duration`), but that its calls are to fakes in this process.
"""

from __future__ import annotations

import io
import time
from contextlib import redirect_stdout
from dataclasses import dataclass

from flowrunner.services.cloud_costs import GIGABYTE, MILLION, Units, billed_ms, dollars

from tests.adapters.aws.calls import Door
from tests.adapters.aws.streaming import Record
from tests.bench.aws_duration import FULL_PROCESSOR_MB, MEMORY_MB, TABLE_MS
from tests.bench.aws_meter import Meter
from tests.bench.aws_units import linear
from tests.functions.following import Deployed, deployed

RUNS, STEPS = 100, 10
FULL = 100
"""Records of a batch, as infra/ has it."""
LINE_BYTES = 26
"""What CloudWatch adds to each line when it counts them
(docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatchLogsConcepts.html)."""


CALLS = 3
"""Round trips of a batch to the table: who wants webhooks, the counts of a flow's day, and writing them."""


@dataclass(frozen=True)
class Streamed:
    """What comes with each step when batches have so many commits. `milliseconds` are billed for a batch."""

    size: int
    units: Units
    milliseconds: float

    @property
    def per_million(self) -> float:
        return dollars(self.units) * MILLION


def streamed(size: int = FULL, runs: int = RUNS) -> Streamed:
    """What a step adds when batches have so many commits; what the first batches need besides is left out."""
    door = Door()
    with deployed(door=door) as d:
        meter = Meter(d.streamed.table)
        door.meter = meter
        document = linear(STEPS, effects=False)
        with redirect_stdout(io.StringIO()) as written:
            _batches(d, _records(d, document, runs), size)
            records = _records(d, document, runs)
            written.truncate(0)
            meter.take()
            spent = _batches(d, records, size)
        units = meter.take().units
    steps, batches = runs * STEPS, len(spent)
    milliseconds = sorted(spent)[batches // 2] * FULL_PROCESSOR_MB / MEMORY_MB + CALLS * TABLE_MS
    logged = sum(len(line) + LINE_BYTES for line in written.getvalue().splitlines()) / GIGABYTE
    units += Units(invocations=batches, gb_seconds=billed_ms(milliseconds) * batches, logged_gb=logged)
    return Streamed(size, units * (1 / steps), milliseconds)


def _records(d: Deployed, document: str, runs: int) -> list[Record]:
    """What the stream tells of so many runs at once."""
    for _ in range(runs):
        d.streamed.bench.start(document, {"value": 1})
    d.streamed.bench.work()
    return d.streamed.table.batch()


def _batches(d: Deployed, records: list[Record], size: int) -> list[float]:
    """Hand them over; the milliseconds of each batch."""
    spent = []
    for at in range(0, len(records), size):
        begun = time.process_time()
        assert d.invoke(records[at : at + size]) == []
        spent.append((time.process_time() - begun) * 1000)
    return spent


def main() -> None:
    heads = ("commits in a batch", "write units", "read units", "invocations", "ms of a batch", "bytes logged")
    print("| " + " | ".join((*heads, "$ per million steps")) + " |\n" + "| --- " * 7 + "|")
    for one in (streamed(), streamed(10), streamed(1, 10)):
        units = one.units
        counts = " | ".join(f"{count:.3f}" for count in (units.write_units, units.read_units, units.invocations))
        logged = units.logged_gb * GIGABYTE
        print(f"| {one.size} | {counts} | {one.milliseconds:.0f} | {logged:.0f} | {one.per_million:.2f} |")


if __name__ == "__main__":
    main()
