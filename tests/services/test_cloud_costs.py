"""What AWS would charge: prices times units."""

from __future__ import annotations

import pytest
from flowrunner.errors import InvalidInput
from flowrunner.services import cloud_costs as costs
from flowrunner.services.cloud_costs import Deployment, Load, Units


def test_every_price_says_where_it_is_from() -> None:
    """A page of AWS for each, so that somebody can look whether it still holds."""
    for name, price in costs.PRICES.items():
        assert price.source.startswith("aws.amazon.com/"), name
        assert price.dollars > 0
        assert price.per > 0


def test_units_are_added_and_multiplied_one_by_one() -> None:
    """A step and a run together, twice."""
    both = (Units(write_units=3, read_units=1) + Units(read_units=1, alarms=2)) * 2
    assert both == Units(write_units=6, read_units=4, alarms=4)
    assert costs.dollars(both) == pytest.approx(6 * 0.625e-6 + 4 * 0.125e-6 + 4 * 0.10)


def test_a_million_steps_cost_at_most_four_dollars() -> None:
    """The promise of the design, all in; and in one invocation at most a dollar and a half."""
    assert 3.5 < costs.per_million(costs.STEP + costs.FOLLOWED) <= 4.00
    assert 1.0 < costs.per_million(costs.EXPRESS_STEP + costs.FOLLOWED) <= 1.50


def test_an_idle_month_costs_at_most_three_dollars() -> None:
    """Item by item; each alarm and each metric counts."""
    lines = costs.idle_month()
    assert 1.0 < costs.total(lines) <= 3.00
    more = costs.idle_month(Deployment(alarms=20, metrics=2))
    assert costs.total(more) == pytest.approx(costs.total(lines) + 1.00 + 0.60)


def test_a_month_is_the_idle_month_and_its_load() -> None:
    """A million steps in a hundred thousand runs; nothing that costs nothing is shown."""
    assert [line.what for line in costs.month(Load())] == [line.what for line in costs.idle_month() if line.dollars]
    lines = costs.month(Load.parse("runs=100000,steps=10"))
    load = costs.total(lines) - costs.total(costs.idle_month())
    assert costs.per_million(costs.STEP) < load < 1.7 * costs.per_million(costs.STEP)
    assert all(line.dollars for line in lines)
    cheaper = costs.month(Load.parse("runs=100000, steps=10, express=1"))
    assert costs.total(cheaper) < costs.total(lines) - 2.00


@pytest.mark.parametrize(
    ("size", "units"),
    [
        (1024, Units()),
        (1025, Units(write_units=2, read_units=1)),
        (200 * 1024, Units(write_units=200, read_units=50)),
        (200 * 1024 + 1, Units(object_writes=1, object_reads=1)),
    ],
)
def test_an_output_costs_by_its_size(size: int, units: Units) -> None:
    """In its row, in an item beside, or in the bucket."""
    assert costs.output_units(size) == units


def test_history_is_kept_where_outputs_are() -> None:
    """Large outputs in the bucket, at a tenth of the price."""
    small, large = (costs.month(Load(1000, 10, size))[-1].units for size in (100_000, 1_000_000))
    assert small.table_gb > small.bucket_gb == 0
    assert large.bucket_gb > 1 > large.table_gb


@pytest.mark.parametrize("text", ["runs", "runs=", "runs=-1", "runs=many", "walks=1", "runs=\uff11"])
def test_a_load_that_cannot_be_understood_is_refused(text: str) -> None:
    """With the names that are known."""
    with pytest.raises(InvalidInput, match="not part of a load"):
        Load.parse(text)


def test_a_load_keeps_the_defaults_that_are_not_given() -> None:
    """Also of nothing at all."""
    assert Load.parse("") == Load()
    assert Load.parse("runs=5, work_ms=150") == Load(runs=5, work_ms=150)
