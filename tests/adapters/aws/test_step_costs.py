"""What a step may cost, counted in the units that AWS bills: the budget, and what the estimates say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flowrunner.services import cloud_costs as costs
from flowrunner.services.cloud_costs import Units, billed_ms, per_million

from tests.bench.aws_units import Measured, Metered, branches, divided, foreach, linear, metered, sloped


@pytest.fixture(scope="module")
def aws() -> Iterator[Metered]:
    with metered() as made:
        yield made


def row(aws: Metered, *, effects: bool, express: bool = False) -> Measured:
    few, many = (linear(steps, effects=effects, express=express) for steps in (10, 20))
    return sloped(aws, "", few, many, 10)


def test_a_step_with_effects_keeps_its_budget(aws: Metered) -> None:
    """Claimed, committed, recorded; its state read once; sent, received and deleted."""
    step = row(aws, effects=True).step
    assert step.write_units <= 3
    assert step.read_units <= 2
    assert step.queue_requests <= 3
    assert step.invocations == 1
    assert per_million(step + Units(gb_seconds=billed_ms(costs.STEP_MS))) <= 4.00


def test_a_step_without_effects_is_not_claimed(aws: Metered) -> None:
    """A write less."""
    step = row(aws, effects=False).step
    assert step.write_units <= 2
    assert step.read_units <= 2
    assert step.queue_requests <= 3


@pytest.mark.parametrize("effects", [True, False])
def test_a_step_in_express_mode_sends_and_claims_nothing(aws: Metered, effects: bool) -> None:
    """The commit before has handed it off, which is its claim."""
    step = row(aws, effects=effects, express=True).step
    assert (step.write_units, step.read_units, step.queue_requests, step.invocations) == (2, 0, 0, 0)
    assert per_million(step + Units(gb_seconds=billed_ms(costs.EXPRESS_MS))) <= 1.50


def test_branches_at_once_keep_the_head_small(aws: Metered) -> None:
    """A hundred of them, and the run's start and end with them."""
    step = divided(aws, "", branches(100), 102).step
    assert step.write_units <= 4
    assert step.read_units <= 4
    assert step.queue_requests <= 3


def test_a_foreach_costs_no_more_for_each_item(aws: Metered) -> None:
    """Two hundred items: what they cost does not grow with what was done before."""
    step = divided(aws, "", foreach(200), 202).step
    assert step.write_units <= 4
    assert step.read_units <= 3
    assert step.queue_requests <= 3


def test_the_estimates_are_what_is_counted(aws: Metered) -> None:
    """They are used for bills to come and for the cost of a run, and err on the side of more."""
    for express, step, run in ((False, costs.STEP, costs.RUN), (True, costs.EXPRESS_STEP, costs.EXPRESS_RUN)):
        measured = row(aws, effects=True, express=express)
        for name in ("write_units", "read_units", "queue_requests", "fair_messages"):
            assert getattr(step, name) == getattr(measured.step, name), name
            assert getattr(run, name) >= getattr(measured.run, name), name
        assert run.write_units == measured.run.write_units
