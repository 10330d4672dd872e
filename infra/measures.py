"""The metrics that alarms and the dashboard look at: those of AWS's services, and a few of flowrunner's own."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as gateway
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.api import ApiStack
from infra.data import INDEXES, DataStack
from infra.engine import EngineStack
from infra.function import Function
from infra.prices import PRICES, REQUESTS_PER_MESSAGE
from infra.settings import Settings

FIVE_MINUTES = Duration.minutes(5)


def own(settings: Settings, name: str, service: str) -> cloudwatch.Metric:
    """A metric of flowrunner's (`flowrunner.functions.observing`), of the function that sends it."""
    return cloudwatch.Metric(
        namespace=settings.prefix,
        metric_name=name,
        dimensions_map={"service": service},
        statistic="Sum",
        period=FIVE_MINUTES,
    )


def gateway_metric(api: gateway.IApi, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    """A metric of an API, HTTP or WebSocket."""
    return cloudwatch.Metric(
        namespace="AWS/ApiGateway",
        metric_name=name,
        dimensions_map={"ApiId": api.api_id},
        statistic=statistic,
        period=FIVE_MINUTES,
    )


def hourly_cost(settings: Settings, data: DataStack, api: ApiStack, engine: EngineStack) -> cloudwatch.MathExpression:
    """What the load costs in an hour, in dollars: most of the bill, without what an idle deployment costs."""
    hour = Duration.hours(1)
    table = {"TableName": data.table.table_name}
    written = [table, *(table | {"GlobalSecondaryIndexName": name} for name in INDEXES)]
    terms: list[tuple[cloudwatch.IMetric, float]] = [
        *((_consumed("ConsumedWriteCapacityUnits", one), PRICES["write_units"]) for one in written),
        (_consumed("ConsumedReadCapacityUnits", table), PRICES["read_units"]),
    ]
    message = REQUESTS_PER_MESSAGE * PRICES["queue_requests"] + PRICES["fair_messages"]
    terms += [(queue.metric_number_of_messages_sent(period=hour), message) for queue in data.queues]
    for function, memory in _billed(settings, api, engine):
        terms.append((function.function.metric_invocations(period=hour), PRICES["invocations"]))
        terms.append((_milliseconds(function), PRICES["gb_seconds"] / 1000 * memory / 1024))
    terms.append((gateway_metric(api.http, "Count"), PRICES["api_requests"]))
    names = [f"m{index}" for index in range(len(terms))]
    # Prices of a million: CloudWatch reads no 6.25e-07.
    priced = (f"FILL({name}, 0) * {price * 1e6:.6f}" for name, (_, price) in zip(names, terms, strict=True))
    return cloudwatch.MathExpression(
        expression=f"({' + '.join(priced)}) / 1000000",
        using_metrics={name: metric for name, (metric, _) in zip(names, terms, strict=True)},
        label="dollars an hour",
        period=hour,
    )


def _billed(settings: Settings, api: ApiStack, engine: EngineStack) -> Sequence[tuple[Function, int]]:
    """The functions that the load makes work most, with their memory in MB."""
    return [*((one, settings.executor_memory) for one in engine.executors), (api.api, settings.api_memory)]


def _milliseconds(function: Function) -> cloudwatch.Metric:
    return function.function.metric_duration(statistic="Sum", period=Duration.hours(1))


def _consumed(name: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=name,
        dimensions_map=dimensions,
        statistic="Sum",
        period=Duration.hours(1),
    )
