"""docs/observability.md says what there is: metrics, quotas, prices."""

from __future__ import annotations

import re
from pathlib import Path

from flowrunner.services import costs
from flowrunner.settings import QuotaSettings

from tests.engine.harness import bench
from tests.telemetry.test_metrics import measured

PAGE = (Path(__file__).resolve().parents[2] / "docs/observability.md").read_text("utf-8")


def test_every_metric_is_on_the_page_and_none_besides() -> None:
    """Under the name by which Prometheus knows it."""
    rows = {match[1] for match in re.finditer(r"^\| `(flowrunner_\w+)", PAGE, re.MULTILINE)}
    with bench() as b:
        metrics = measured(b)
        served = {
            f"{family.name}_total" if family.type == "counter" else family.name
            for family in metrics.registry.collect()
            if family.name.startswith("flowrunner_")
        }
    assert rows == served


def test_quotas_and_their_defaults_are_on_the_page() -> None:
    """Every setting of the section, with the number that it has."""
    [section] = re.findall(r"### Quotas\n(.*?)\n### ", PAGE, re.DOTALL)
    for name, field in QuotaSettings.model_fields.items():
        assert name in section
        assert f"{field.default:,}" in section


def test_the_prices_add_up() -> None:
    """The sums below the table are those of the table."""
    table = [row.split("|")[2:4] for row in PAGE.splitlines() if row.startswith("| ") and "$" in row]
    step = run = 0.0
    for price, use in table:
        cost = float(re.findall(r"\$([\d.]+)", price)[0])
        if "GB-seconds" in price:
            step, run = step + cost * 0.07 * 0.5, run + cost * 0.07 * 0.5
        step += sum(cost * int(units) for units in re.findall(r"a step: (\d+)", use))
        run += sum(cost * int(units) for units in re.findall(r"a run: (\d+)", use))
    assert (round(step, 3), round(run, 3)) == (round(costs.STEP, 3), round(costs.RUN, 3))
    assert f"${costs.STEP:.2f} for a million steps" in PAGE
    assert f"${costs.RUN:.2f} for a million runs" in PAGE
    assert f"${costs.COMPUTE_MS:.4f} for 1,000 seconds" in PAGE
