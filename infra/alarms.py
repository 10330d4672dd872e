"""Alarms: few, since each costs $0.10 a month, and each one says that somebody must look."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.api import ApiStack
from infra.data import DataStack
from infra.engine import EngineStack
from infra.measures import FIVE_MINUTES, gateway_metric, own
from infra.settings import Settings

MINUTE = Duration.minutes(1)


@dataclass(frozen=True, slots=True)
class Alarm:
    """`metric` at or above `threshold` for `periods` of its periods; below it if `below`."""

    name: str
    says: str
    metric: cloudwatch.IMetric
    threshold: float = 1
    periods: int = 1
    below: bool = False

    @property
    def comparison(self) -> cloudwatch.ComparisonOperator:
        operators = cloudwatch.ComparisonOperator
        return operators.LESS_THAN_THRESHOLD if self.below else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD

    @property
    def missing(self) -> cloudwatch.TreatMissingData:
        """Nothing is good news, except of a heartbeat."""
        return cloudwatch.TreatMissingData.BREACHING if self.below else cloudwatch.TreatMissingData.NOT_BREACHING


def alarms(settings: Settings, data: DataStack, api: ApiStack, engine: EngineStack) -> list[Alarm]:
    """docs/operating-aws.md says what to do at each."""
    found = [
        Alarm(
            "dead-letters",
            "Messages were tried five times in vain.",
            # Not those that wait: the function takes them at once.
            data.dead_letters.metric_number_of_messages_received(statistic="Sum", period=MINUTE),
        ),
        Alarm(
            "dead-letters-waiting",
            "Dead letters wait, and nobody takes them.",
            data.dead_letters.metric_approximate_number_of_messages_visible(statistic="Minimum", period=MINUTE),
            periods=5,
        ),
        Alarm(
            "failed-events",
            "Something of the table's stream, or a tick of the scheduler, could not be handled and was put aside.",
            data.failed_events.metric_approximate_number_of_messages_visible(statistic="Maximum", period=MINUTE),
        ),
        Alarm(
            "queue-age",
            "Steps wait for more than five minutes to be executed.",
            data.fast.metric_approximate_age_of_oldest_message(statistic="Maximum", period=MINUTE),
            threshold=300,
            periods=3,
        ),
        Alarm(
            "executor-errors",
            "Executors crash or run out of time or memory; a step's own failure is none of these.",
            engine.executor.function.metric_errors(period=FIVE_MINUTES),
            threshold=5,
        ),
        Alarm(
            "stream-age",
            "Live events, webhooks and usage are more than five minutes late.",
            engine.stream.function.metric("IteratorAge", statistic="Maximum", period=MINUTE),
            threshold=300_000,
            periods=3,
        ),
        Alarm(
            "scheduler-silent",
            "The minute tick has not come for five minutes: no schedule, no long wait and no repair is served.",
            engine.scheduler.function.metric_invocations(period=MINUTE),
            periods=5,
            below=True,
        ),
        Alarm(
            "stuck-runs",
            "Runs stand still although nothing holds them, and sending their steps again has not helped.",
            own(settings, "StuckRuns", "scheduler"),
            periods=3,
        ),
        Alarm(
            "api-errors",
            "The API answers with 5xx.",
            gateway_metric(api.http, "5xx"),
            threshold=5,
        ),
    ]
    if data.slow:
        age = data.slow.metric_approximate_age_of_oldest_message(statistic="Maximum", period=MINUTE)
        says = "Slow steps wait for more than half an hour to be executed."
        found.append(Alarm("slow-queue-age", says, age, threshold=1800, periods=3))
    return found
