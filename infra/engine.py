"""What runs the steps: executors behind the queues, dead letters, the table's stream, and the minute tick."""

from __future__ import annotations

import json

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import environment, grants
from infra.api import ApiStack
from infra.bundling import extra_layer
from infra.data import DataStack
from infra.function import Function, Layers, Shared
from infra.nag import accept, wildcard
from infra.settings import Settings

HELPER_TIMEOUT = 60
DEAD_LETTERS_AT_ONCE = 2
"""As few as Lambda allows: what was poison once is not tried in a crowd."""

STREAM_BATCH = 100
STREAM_WINDOW = 1
STREAM_TRIES = 10
STREAM_AGE = 3600

STREAM_FILTERS: tuple[dict[str, object], ...] = (
    {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"Keys": {"sk": {"S": ["0H"]}}}},
    {
        "eventName": ["MODIFY"],
        "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "S#"}]}}, "NewImage": {"st": {"S": ["r"]}}},
    },
)
"""Heads, of which a commit writes one, and rows of steps that say something while they run."""


class EngineStack(Stack):
    """The event sources, and the functions behind them."""

    def __init__(self, scope: Construct, id: str, settings: Settings, data: DataStack, api: ApiStack) -> None:
        super().__init__(scope, id, description="flowrunner: the engine")
        self._settings = settings
        self._data = data
        self._api = api
        base = environment.base(settings, store_url=data.store_url, key_arn=data.key.key_arn, public_url=api.public_url)
        self._shared = Shared(settings, data.key, base, Layers(self, settings))
        # Of the queues: whoever disables these stops all work. (What the stream tells of is not kept for long.)
        self.sources: list[lambda_.EventSourceMapping] = []
        self.executor = self._executor("Executor", data.fast, slow=False)
        self.executor_slow = self._executor("ExecutorSlow", data.slow, slow=True) if data.slow else None
        self.dead_letter = self._dead_letter()
        self.stream = self._stream()
        self.scheduler = self._scheduler()
        ids = ",".join(source.event_source_mapping_id for source in self.sources)
        CfnOutput(self, "EventSourceIdsOutput", value=ids).override_logical_id("EventSourceIds")

    @property
    def executors(self) -> list[Function]:
        return [self.executor, self.executor_slow] if self.executor_slow else [self.executor]

    def _working(self) -> list[iam.PolicyStatement]:
        """What it takes to commit a step."""
        data = self._data
        return [*data.storing(), grants.vault(data.key), grants.sending(*data.queues)]

    def _executor(self, id: str, queue: sqs.IQueue, *, slow: bool) -> Function:
        settings = self._settings
        lanes = "all" if not settings.slow_queue else "slow" if slow else "fast"
        made = Function(
            self,
            id,
            self._shared,
            source="executor",
            service="executor-slow" if slow else "executor",
            description="executes slow steps" if slow else "executes steps",
            # Steps that talk to models are slow ones, so only the lane that takes these needs the clients of models.
            layers=(
                *("flowrunner", "core", *(() if lanes == "fast" else ("ai",))),
                *extra_layer(settings, "fast" if lanes == "fast" else "slow"),
            ),
            statements=[*self._working(), grants.taking(queue)],
            timeout=settings.slow_timeout if slow else settings.executor_timeout,
            memory=settings.executor_memory,
            reserved=settings.slow_reserved_concurrency if slow else settings.reserved_concurrency,
            loops=True,
            in_vpc=True,
            more={"FLOWRUNNER_WORKER__LANE": lanes},
            accepted=self._data.accepted(self),
        )
        most = settings.slow_max_concurrency if slow else settings.max_concurrency
        self._serve(made, queue, settings.batch_size, most)
        return made

    def _dead_letter(self) -> Function:
        made = Function(
            self,
            "DeadLetter",
            self._shared,
            source="dead_letter",
            service="dead-letter",
            description="gives up on steps that cannot be executed",
            layers=("flowrunner", "core"),
            statements=[*self._working(), grants.taking(self._data.dead_letters)],
            timeout=HELPER_TIMEOUT,
            memory=self._settings.helper_memory,
            accepted=self._data.accepted(self),
        )
        self._serve(made, self._data.dead_letters, 1, DEAD_LETTERS_AT_ONCE)
        return made

    def _serve(self, function: Function, queue: sqs.IQueue, batch: int, most: int) -> None:
        self.sources.append(
            lambda_.EventSourceMapping(
                function,
                "Source",
                target=function.function,
                event_source_arn=queue.queue_arn,
                batch_size=batch,
                max_concurrency=most,
                report_batch_item_failures=True,
                enabled=not self._settings.paused,
            )
        )

    def _stream(self) -> Function:
        table, failed = self._data.table, self._data.failed_events
        arn = table.table_stream_arn
        assert arn is not None, "the table has a stream"
        actions = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
        made = Function(
            self,
            "Stream",
            self._shared,
            source="stream",
            description="tells of what happened: live events, webhooks, usage",
            layers=("flowrunner", "core"),
            statements=[
                *self._data.storing(),
                grants.vault(self._data.key),
                grants.statement(actions, [arn]),
                grants.statement(["dynamodb:ListStreams"], ["*"]),
                grants.sending(failed),
                self._api.pushing(self),
            ],
            timeout=HELPER_TIMEOUT,
            memory=self._settings.helper_memory,
            more={"FLOWRUNNER_LIVE__SOCKET_URL": self._api.push_url},
            accepted=self._data.accepted(self) | self._api.accepted(self),
        )
        accept(
            made.role,
            wildcard("*"),
            "ListStreams, without which Lambda does not take the stream, knows no resources.",
        )
        self._follow(made, arn, failed)
        return made

    def _follow(self, function: Function, stream_arn: str, failed: sqs.IQueue) -> None:
        source = lambda_.EventSourceMapping(
            function,
            "Source",
            target=function.function,
            event_source_arn=stream_arn,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=STREAM_BATCH,
            max_batching_window=Duration.seconds(STREAM_WINDOW),
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            retry_attempts=STREAM_TRIES,
            max_record_age=Duration.seconds(STREAM_AGE),
            filters=[{"pattern": json.dumps(pattern)} for pattern in STREAM_FILTERS],
        )
        raw = source.node.default_child
        assert isinstance(raw, lambda_.CfnEventSourceMapping), "the construct is made of one resource"
        raw.destination_config = lambda_.CfnEventSourceMapping.DestinationConfigProperty(
            on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=failed.queue_arn)
        )

    def _scheduler(self) -> Function:
        failed = self._data.failed_events
        made = Function(
            self,
            "Scheduler",
            self._shared,
            source="scheduler",
            description="does each minute what is due",
            layers=("flowrunner", "core"),
            statements=[
                *self._working(),
                grants.measuring(*self._data.queues),
                grants.sending(failed),
                self._api.pushing(self),
            ],
            timeout=HELPER_TIMEOUT,
            memory=self._settings.helper_memory,
            more={"FLOWRUNNER_LIVE__SOCKET_URL": self._api.push_url},
            accepted=self._data.accepted(self) | self._api.accepted(self),
        )
        lambda_.CfnEventInvokeConfig(
            made,
            "Tries",
            function_name=made.function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=60,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=failed.queue_arn)
            ),
        )
        self._tick(made, failed)
        return made

    def _tick(self, function: Function, failed: sqs.IQueue) -> None:
        """At the beginning of each minute, so that schedules start within seconds of their time.

        The next tick makes up for one that failed.
        """
        # The ARN of the group, never of a schedule (scheduler/latest/UserGuide/cross-service-confused-deputy-prevention
        # .html): with another condition the scheduler may not assume the role.
        group = self.format_arn(service="scheduler", resource="schedule-group", resource_name="default")
        role = iam.Role(
            function,
            "TickRole",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": self.account, "aws:SourceArn": group}},
            ),
            inline_policies={
                "Tick": iam.PolicyDocument(
                    statements=[
                        grants.statement(["lambda:InvokeFunction"], [function.function.function_arn]),
                        grants.sending(failed),
                        grants.key_through_services(self._data.key, "sqs"),
                    ]
                )
            },
        )
        scheduler.CfnSchedule(
            function,
            "Tick",
            description=f"{self._settings.prefix}: what is due each minute",
            schedule_expression="cron(* * * * ? *)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            state="DISABLED" if self._settings.paused else "ENABLED",
            target=scheduler.CfnSchedule.TargetProperty(
                arn=function.function.function_arn,
                role_arn=role.role_arn,
                input="{}",
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=0, maximum_event_age_in_seconds=60
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=failed.queue_arn),
            ),
        )
