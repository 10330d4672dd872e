"""What a step costs on AWS, counted: `scripts/bench aws [--large] [--calls] [--duration]`.

An installation in this process (`tests.adapters.aws.lambdas`) executes flows, and every call of its executors is
counted in the units that AWS bills. Several warm processes take turns, so that none finds in its memory what the step
before it gave; they know the flow. The event source receives and deletes each message by itself, which are two requests
of the three of a step.

How long an invocation takes is not counted but measured, without the fakes: see `aws_duration`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flowrunner.core.ids import AccountId
from flowrunner.services.cloud_costs import (
    EXPRESS_MS,
    MILLION,
    STEP_MS,
    Units,
    billed_ms,
    dollars,
    idle_month,
    total,
)

from tests.adapters.aws.calls import Door
from tests.adapters.aws.fake_cloud import FAST
from tests.adapters.aws.lambdas import Installation, Process, check, installation
from tests.bench.aws_meter import Counted, Meter, minus

SAMPLE = AccountId("0198c5a2-5c1e-7a33-9e0b-0a1f6d2b7c44")
"""An account's id as it is drawn."""


@dataclass(frozen=True)
class Measured:
    """A flow's cost: of each of so many steps, and of a run beside them."""

    name: str
    steps: int
    step: Units
    run: Units
    calls: dict[str, float]

    @property
    def per_million(self) -> float:
        """Dollars for a million steps, without the time that they take."""
        return dollars(self.step) * MILLION


class Metered(Installation):
    """An installation whose executors are metered."""

    def __init__(self) -> None:
        self.meter: Meter | None = None
        self._runs = 0
        super().__init__(account=SAMPLE, warm=3)
        self.meter = Meter(self.cloud.table)
        self._starter = self.process(FAST)

    def process(self, lane: str, door: Door | None = None) -> Process:
        door = door or Door()
        if self.meter is not None:
            door.meter = self.meter
        return super().process(lane, door)

    def deliver(self) -> bool:
        delivered = super().deliver()
        if delivered and self.meter is not None:
            self.meter.add("receive and delete", queue_requests=2)
            self.meter.add("invoke", invocations=1)
        return delivered

    def close(self) -> None:
        self._end(self._starter)
        super().close()

    def cost(self, document: str) -> Counted:
        """What a run costs from start to end, in processes that know its flow."""
        request = self.save(document)
        assert self.meter is not None
        for _ in range(2):  # the first lets every process know the flow
            self.meter.take()
            self._runs += 1
            run = self.start(request, f"0198c5a2-5c1e-7a33-9e0b-{self._runs:012}", {"value": 1}, self._starter)
            self.work()
            told = check(self, run)
            assert told.status == "completed", told.error
        return self.meter.take()


@contextmanager
def metered() -> Iterator[Metered]:
    with installation() as plain:
        plain.close()
        made = Metered()
        try:
            yield made
        finally:
            made.close()


# -- flows --------------------------------------------------------------------------------------------------------------


def linear(steps: int, *, effects: bool, express: bool = False) -> str:
    """Steps in a row, with outputs under 1 KB: each passes on what it got."""
    lines = []
    for number in range(steps):
        source = "input" if number == 0 else "prev"
        work = (
            f'type: touch, params: {{give: {{value: "${{{source}.value}}"}}}}'
            if effects
            else f'type: transform, params: {{mapping: {{value: "${{{source}.value}}"}}}}'
        )
        following = f", next: s{number + 1}" if number < steps - 1 else ""
        lines.append(f"  s{number}: {{{work}{following}}}")
    mode = "express" if express else "standard"
    kind = "effects" if effects else "pure"
    return f"metadata: {{name: linear-{kind}-{mode}-{steps}}}\nmode: {mode}\nnodes:\n" + "\n".join(lines) + "\n"


def branches(width: int, *, express: bool = False) -> str:
    """One step, so many at once, and one that waits for them all."""
    names = [f"b{number}" for number in range(width)]
    lines = [f"  a: {{type: transform, params: {{value: 1}}, next: [{', '.join(names)}]}}"]
    lines += [f"  {name}: {{type: touch, params: {{give: 1}}}}" for name in names]
    lines += [f"  z: {{type: transform, needs: [{', '.join(names)}], params: {{value: 1}}}}"]
    mode = "express" if express else "standard"
    head = f"metadata: {{name: branches-{width}-{mode}}}\nmode: {mode}\nlimits: {{max_parallel: {width}}}\n"
    return f"{head}nodes:\n" + "\n".join(lines) + "\n"


def foreach(items: int, *, concurrency: int = 100, express: bool = False) -> str:
    """A step for each item, and one behind them."""
    mode = "express" if express else "standard"
    return f"""metadata: {{name: foreach-{items}-{concurrency}-{mode}}}
mode: {mode}
limits: {{max_steps: 100000}}
nodes:
  a: {{type: transform, params: {{value: {list(range(items))}}}, next: each}}
  each: {{type: touch, foreach: {{items: "${{prev}}", max_concurrency: {concurrency}}}, params: {{give: "${{item}}"}}, next: z}}
  z: {{type: transform, params: {{value: 1}}}}
"""


def sloped(aws: Metered, name: str, few: str, many: str, steps: int) -> Measured:
    """A step's cost is what so many more of them add; the rest is the run's."""
    short, long = aws.cost(few), aws.cost(many)
    step = minus(long.units, short.units, steps)
    run = minus(short.units, step * 10)
    calls = {each: (long.calls[each] - short.calls.get(each, 0)) / steps for each in long.calls}
    return Measured(name, steps, step, run, calls)


def divided(aws: Metered, name: str, document: str, steps: int) -> Measured:
    """All of a run's cost, divided among its steps."""
    counted = aws.cost(document)
    calls = {each: units / steps for each, units in counted.calls.items()}
    return Measured(name, steps, counted.units * (1 / steps), Units(), calls)


def all_measured(*, large: bool = False) -> Iterator[Measured]:
    """The workloads, one after the other."""
    with metered() as aws:
        for effects, express in ((True, False), (False, False), (True, True), (False, True)):
            name = f"{'express' if express else 'linear'}, {'with' if effects else 'without'} effects"
            few, many = (linear(steps, effects=effects, express=express) for steps in (10, 20))
            yield sloped(aws, name, few, many, 10)
        yield divided(aws, "100 branches at once", branches(100), 102)
        yield divided(aws, "foreach over 1,000", foreach(1000), 1002)
        if large:
            yield divided(aws, "foreach over 10,000", foreach(10_000), 10_002)


def table(measured: Sequence[Measured]) -> str:
    """The figures as a table of Markdown, with the time that `aws_duration` has measured."""
    lines = [
        "| | write units | read units | SQS requests | invocations | $ per million steps |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in measured:
        step = one.step
        milliseconds = max(STEP_MS * step.invocations, EXPRESS_MS)
        cost = dollars(step + Units(gb_seconds=billed_ms(milliseconds))) * MILLION
        figures = (step.write_units, step.read_units, step.queue_requests, step.invocations)
        lines.append(f"| {one.name} | " + " | ".join(f"{figure:.2f}" for figure in figures) + f" | {cost:.2f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench aws", description=__doc__)
    parser.add_argument("--large", action="store_true", help="a foreach over 10,000 items, too")
    parser.add_argument("--calls", action="store_true", help="where the units of a step go")
    parser.add_argument("--duration", action="store_true", help="how long an invocation takes, too")
    options = parser.parse_args(arguments)
    from tests.bench import aws_stream  # which takes its flows from here

    measured = []
    for one in all_measured(large=options.large):
        measured.append(one)
        if options.calls:
            spent = ", ".join(f"{name} {units:.2f}" for name, units in sorted(one.calls.items()) if units)
            print(f"{one.name}: {spent}; a run: {one.run.write_units:.1f} w, {one.run.read_units:.1f} r")
    print(table(measured))
    print("\nWhat follows from commits, by the table's stream, on top of that:\n")
    aws_stream.main()
    print("\n| an idle month | $ |\n| --- | --- |")
    lines = idle_month()
    for line in lines:
        print(f"| {line.what} | {line.dollars:.2f} |")
    print(f"| **all of it** | **{total(lines):.2f}** |")
    if options.duration:
        from tests.bench import aws_duration

        print()
        aws_duration.main()


if __name__ == "__main__":
    main()
