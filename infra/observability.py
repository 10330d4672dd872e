"""The dashboard, and the alarms with the topic that tells of them."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.alarms import Alarm, alarms
from infra.api import ApiStack
from infra.data import DataStack
from infra.engine import EngineStack
from infra.function import Function
from infra.measures import FIVE_MINUTES, gateway_metric, hourly_cost, own
from infra.settings import Settings

WIDTH = 8
HEIGHT = 6


class ObservabilityStack(Stack):
    """What shows how the deployment is doing. Nothing depends on it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        settings: Settings,
        data: DataStack,
        api: ApiStack,
        engine: EngineStack,
    ) -> None:
        super().__init__(scope, id, description="flowrunner: dashboard and alarms")
        self._settings = settings
        if settings.dashboard:
            self._show(data, api, engine)
        if settings.alarms:
            self._watch(alarms(settings, data, api, engine), data)

    def _watch(self, wanted: list[Alarm], data: DataStack) -> None:
        topic = sns.Topic(
            self, "Alarms", display_name=f"{self._settings.prefix} alarms", master_key=data.key, enforce_ssl=True
        )
        if self._settings.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(self._settings.alarm_email))
        for one in wanted:
            alarm = cloudwatch.Alarm(
                self,
                "".join(part.title() for part in one.name.split("-")),
                alarm_name=f"{self._settings.prefix}-{one.name}",
                alarm_description=one.says,
                metric=one.metric,
                threshold=one.threshold,
                evaluation_periods=one.periods,
                comparison_operator=one.comparison,
                treat_missing_data=one.missing,
            )
            alarm.add_alarm_action(actions.SnsAction(topic))
            alarm.add_ok_action(actions.SnsAction(topic))
        CfnOutput(self, "AlarmTopicArnOutput", value=topic.topic_arn).override_logical_id("AlarmTopicArn")

    def _show(self, data: DataStack, api: ApiStack, engine: EngineStack) -> None:
        """At most 50 metrics: so many are free on the first three dashboards of an account."""
        dashboard = cloudwatch.Dashboard(
            self, "Dashboard", dashboard_name=self._settings.prefix, default_interval=Duration.days(1)
        )
        settings = self._settings

        def told(name: str) -> cloudwatch.Metric:
            """What the function behind the table's stream counts of all runs."""
            return own(settings, name, "stream")

        dashboard.add_widgets(
            _graph("Runs", *(told(f"Runs{how}") for how in ("Started", "Completed", "Failed", "Cancelled"))),
            _graph("Steps", told("Steps"), told("StepErrors")),
            _graph("Estimated cost of the load, $ an hour", hourly_cost(settings, data, api, engine)),
        )
        queues = [*data.queues, data.dead_letters]
        dashboard.add_widgets(
            _graph(
                "Age of the oldest message, s",
                *(one.metric_approximate_age_of_oldest_message(statistic="Maximum") for one in queues),
            ),
            _graph("Messages waiting", *(one.metric_approximate_number_of_messages_visible() for one in queues)),
            _graph("Executors at work", *(_at_work(one) for one in engine.executors)),
        )
        functions = [*engine.executors, engine.dead_letter, engine.stream, engine.scheduler, api.api]
        dashboard.add_widgets(
            _graph("Errors of functions", *(one.function.metric_errors(label=one.node.id) for one in functions)),
            _graph("Throttled executors", engine.executor.function.metric_throttles()),
            _graph(
                "API",
                gateway_metric(api.http, "Count"),
                gateway_metric(api.http, "4xx"),
                gateway_metric(api.http, "5xx"),
                right=gateway_metric(api.http, "Latency", "p95"),
            ),
        )
        url = f"https://console.aws.amazon.com/cloudwatch/home?region={self.region}#dashboards/dashboard/{settings.prefix}"
        CfnOutput(self, "DashboardUrlOutput", value=url).override_logical_id("DashboardUrl")


def _graph(title: str, *metrics: cloudwatch.IMetric, right: cloudwatch.IMetric | None = None) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        right=[right] if right else None,
        width=WIDTH,
        height=HEIGHT,
        period=FIVE_MINUTES,
    )


def _at_work(function: Function) -> cloudwatch.Metric:
    return function.function.metric("ConcurrentExecutions", statistic="Maximum", label=function.node.id)
