"""The page about costs says what the program reckons with."""

from __future__ import annotations

import re
from pathlib import Path

from flowrunner.services import cloud_costs as costs
from flowrunner.services.cloud_costs import Deployment, Load, Units, billed_ms

PAGE = (Path(__file__).resolve().parents[2] / "docs/aws-costs.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    rows = PAGE.split(heading)[1].split("\n|", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip(" *") for cell in row.strip("|").split("|")] for row in rows]


def test_a_step_costs_what_the_page_says() -> None:
    """In each kind of flow, and item by item; the units are those that `tests/adapters/aws/test_step_costs` counts."""
    without = costs.STEP + Units(write_units=-1)
    for units, dollars in ((costs.STEP, 3.97), (without, 3.34), (costs.EXPRESS_STEP, 1.43)):
        assert round(costs.per_million(units), 2) == dollars
        assert f"${dollars}" in PAGE
    items = [float(row[2]) for row in table("In dollars, for a million linear steps")]
    assert abs(sum(items) - costs.per_million(costs.STEP)) < 0.01


def test_a_run_and_a_second_cost_what_the_page_says() -> None:
    """The terms of the formula."""
    assert f"${costs.per_million(costs.RUN):.2f} per million runs" in PAGE
    assert f"${costs.per_million(costs.EXPRESS_RUN):.2f}" in PAGE
    second = costs.per_million(Units(gb_seconds=billed_ms(1000)))
    assert f"${second:.2f} for a million seconds" in PAGE
    assert f" ${costs.per_million(costs.RUN):.2f}/M + steps " in PAGE


def test_an_idle_month_costs_what_the_page_says() -> None:
    """Each line, and the sum; the preset without alarms, too."""
    told = [float(row[1]) for row in table("### Idle")]
    lines = costs.idle_month()
    assert told == [round(line.dollars, 2) for line in lines] + [round(costs.total(lines), 2)]
    assert f"${costs.total(costs.idle_month(Deployment(alarms=0))):.2f}" in PAGE


def test_the_example_of_a_month_is_right() -> None:
    """As the command shows it."""
    [given] = re.findall(r"`flowrunner deploy --load (runs=\S+payload\S+)`", PAGE)
    for load in (given, f"{given},express=1"):
        assert f"${costs.total(costs.month(Load.parse(load))):.2f}" in PAGE
