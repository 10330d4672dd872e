"""Dashboard and alarms: what they look at, and what they cost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flowrunner.functions import observing
from flowrunner.services import cloud_costs

from infra.prices import PRICES
from tests.infra.assembly import Assembly, text

ROOT = Path(__file__).resolve().parents[2]

FREE_METRICS = 50
"""Of each of an account's first three dashboards (aws.amazon.com/cloudwatch/pricing)."""


def test_prices_are_those_of_the_cost_model() -> None:
    """The dashboard reckons with the prices that the cost page explains."""
    assert pytest.approx({name: cloud_costs.PRICES[name].each for name in PRICES}) == PRICES


def test_alarms_are_told(prod: Assembly, dev: Assembly) -> None:
    """Each of them to a topic, encrypted and over TLS only, that mails the operators; in dev there are none."""
    alarms = prod.resources("AWS::CloudWatch::Alarm")
    for alarm in alarms.values():
        assert alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"]
        assert alarm["Properties"]["AlarmName"].startswith("flowrunner-live-")
        assert alarm["Properties"]["AlarmDescription"]
    assert "KmsMasterKeyId" in prod.one("AWS::SNS::Topic")
    assert prod.one("AWS::SNS::Subscription")["Endpoint"] == "operators@example.com"
    assert "aws:SecureTransport" in json.dumps(prod.one("AWS::SNS::TopicPolicy"))
    assert not dev.resources("AWS::CloudWatch::Alarm")


def test_the_alarms(prod: Assembly) -> None:
    """What each looks at; when no figure comes that is good news, except from the minute tick."""
    found = {
        alarm["Properties"]["AlarmName"].removeprefix("flowrunner-live-"): alarm["Properties"]
        for alarm in prod.resources("AWS::CloudWatch::Alarm").values()
    }
    assert {name: sorted(set(measured(alarm))) for name, alarm in found.items()} == {
        "dead-letters": ["NumberOfMessagesReceived"],
        "dead-letters-waiting": ["ApproximateNumberOfMessagesVisible"],
        "failed-events": ["ApproximateNumberOfMessagesVisible"],
        "queue-age": ["ApproximateAgeOfOldestMessage"],
        "slow-queue-age": ["ApproximateAgeOfOldestMessage"],
        "executor-errors": ["Errors"],
        "stream-age": ["IteratorAge"],
        "scheduler-silent": ["Invocations"],
        "stuck-runs": ["StuckRuns"],
        "api-errors": ["5xx"],
    }
    assert len(found) == cloud_costs.Deployment().alarms, "each costs something, which the estimate has"
    for name, alarm in found.items():
        assert alarm["TreatMissingData"] == ("breaching" if name == "scheduler-silent" else "notBreaching")
    silent = found["scheduler-silent"]
    assert (silent["EvaluationPeriods"], silent["Period"], silent["ComparisonOperator"]) == (5, 60, "LessThanThreshold")
    assert found["stuck-runs"]["Namespace"] == "flowrunner-live", "of this stage alone"


def test_the_operators_page_says_what_to_do(prod: Assembly) -> None:
    """docs/operating-aws.md has a row for each alarm."""
    page = (ROOT / "docs" / "operating-aws.md").read_text("utf-8")
    table = page[page.index("| alarm |") :].partition("\n\n")[0]
    alarms = prod.resources("AWS::CloudWatch::Alarm").values()
    names = {alarm["Properties"]["AlarmName"].removeprefix("flowrunner-live-") for alarm in alarms}
    first = [row.split("|")[1] for row in table.splitlines()]
    assert {name for cell in first for name in re.findall(r"`([a-z-]+)`", cell)} == names


def test_an_idle_month_stays_within_three_dollars(prod: Assembly) -> None:
    """With as many queues that are asked, and as many metrics under alarm, as are deployed."""
    watched = sum(
        len(list(measured(alarm["Properties"]))) for alarm in prod.resources("AWS::CloudWatch::Alarm").values()
    )
    queues = sum("ScalingConfig" in source for source in prod.sources().values())
    lines = cloud_costs.idle_month(cloud_costs.Deployment(event_sources=queues, alarms=watched))
    assert cloud_costs.total(lines) <= 3.0, [(line.what, line.dollars) for line in lines]


def test_the_dashboard_is_free(dev: Assembly, prod: Assembly) -> None:
    """It names no more metrics than a dashboard may that costs nothing."""
    for assembly in (dev, prod):
        widgets = json.loads(text(assembly.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))["widgets"]
        named = {json.dumps(metric) for widget in widgets for metric in expanded(widget["properties"]["metrics"])}
        assert len(named) <= FREE_METRICS, len(named)
        titles = " ".join(widget["properties"]["title"] for widget in widgets)
        for wanted in ("Runs", "Steps", "Errors", "oldest message", "Estimated cost"):
            assert wanted in titles


def test_the_estimate_counts_what_a_step_needs(dev: Assembly) -> None:
    """Writes, reads, messages, invocations and their time, each at its price."""
    widgets = json.loads(text(dev.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))["widgets"]
    (cost,) = (one["properties"] for one in widgets if "cost" in one["properties"]["title"])
    named = {metric[1] for metric in cost["metrics"] if len(metric) > 1}
    assert named == {
        "ConsumedWriteCapacityUnits",
        "ConsumedReadCapacityUnits",
        "NumberOfMessagesSent",
        "Invocations",
        "Duration",
        "Count",
    }
    (formula,) = (metric[0]["expression"] for metric in cost["metrics"] if "expression" in metric[0])
    assert "* 0.625000 +" in formula
    assert formula.endswith("/ 1000000")
    assert not re.search(r"\de-\d", formula), "CloudWatch reads no such numbers"


def test_our_own_metrics_are_those_that_functions_send(dev: Assembly) -> None:
    """By the namespace that their environment names, by the names that the code gives them, and by who sends them."""
    widgets = json.loads(text(dev.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))["widgets"]
    shown = [metric for widget in widgets for metric in expanded(widget["properties"]["metrics"])]
    own = [metric for metric in shown if metric[0] == "flowrunner-dev"]
    assert len(own) == 6
    source = Path(observing.__file__).read_text()
    for _, name, *dimension in own:
        assert f'"{name}"' in source
        assert dimension == ["service", "stream"], "which counts what all of them do"
    for function in dev.functions().values():
        assert function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == "flowrunner-dev"


def measured(alarm: dict[str, Any]) -> Iterator[str]:
    """The metrics that an alarm looks at."""
    if "MetricName" in alarm:
        yield alarm["MetricName"]
    for part in alarm.get("Metrics", ()):
        if "MetricStat" in part:
            yield part["MetricStat"]["Metric"]["MetricName"]


def expanded(metrics: list[Any]) -> Iterator[Any]:
    """Metrics in full: the dashboard's notation leaves out what is the same as in the line before."""
    before: list[Any] = []
    for metric in metrics:
        if isinstance(metric[0], dict):
            continue
        plain = [part for part in metric if not isinstance(part, dict)]
        full = [before[index] if part == "." else part for index, part in enumerate(plain)] if before else plain
        if plain[:1] == ["..."]:
            full = [*before[: len(before) - len(plain) + 1], *plain[1:]]
        before = full
        yield full
