"""One Lambda function as all of ours are: runtime, layers, a role of its own, logs with an end, tracing on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import environment
from infra.bundling import function_code, layer_code, plugin_layer
from infra.grants import statement
from infra.nag import accept, wildcard
from infra.settings import Settings

RUNTIMES = {
    "3.11": lambda_.Runtime.PYTHON_3_11,
    "3.12": lambda_.Runtime.PYTHON_3_12,
    "3.13": lambda_.Runtime.PYTHON_3_13,
    "3.14": lambda_.Runtime.PYTHON_3_14,
}


class Layers:
    """The layers of one stack, each made when a function first asks for it.

    No stack takes another's: the ARN of a layer changes with its content, and CloudFormation refuses to change an
    export that is in use.
    """

    def __init__(self, scope: Construct, settings: Settings) -> None:
        self._scope = scope
        self._settings = settings
        self._made: dict[str, lambda_.LayerVersion] = {}

    def take(self, *names: str) -> list[lambda_.ILayerVersion]:
        for name in names:
            if name not in self._made:
                self._made[name] = lambda_.LayerVersion(
                    self._scope,
                    f"{name.title()}Layer",
                    code=layer_code(self._settings, name),
                    compatible_runtimes=[RUNTIMES[self._settings.python]],
                    compatible_architectures=[architecture(self._settings)],
                    description=f"{self._settings.prefix}: {name}",
                )
        return [self._made[name] for name in names]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the functions of a stack have in common."""

    settings: Settings
    key: kms.IKey
    environment: Mapping[str, str]
    layers: Layers


class Function(Construct):
    """A function made of `functions/<source>` and layers. `function` is the CDK's own construct."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        shared: Shared,
        *,
        source: str,
        description: str,
        service: str = "",
        layers: Sequence[str],
        statements: Sequence[iam.PolicyStatement],
        timeout: int,
        memory: int,
        reserved: int = 0,
        loops: bool = False,
        in_vpc: bool = False,
        more: Mapping[str, str] | None = None,
        accepted: Mapping[str, str] | None = None,
    ) -> None:
        """`service`: what logs and metrics call it; `more`: its environment beside what all have.

        `accepted`: findings about its role, with their reasons.
        """
        super().__init__(scope, id)
        settings = shared.settings
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=log_days(settings),
            encryption_key=shared.key,
            removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
        )
        network = _network(self, settings) if in_vpc and settings.vpc_id else None
        self.role = self._role(settings, statements, in_network=network is not None)
        for rule, reason in (accepted or {}).items():
            accept(self.role, rule, reason)
        self.function = lambda_.Function(
            self,
            "Function",
            code=function_code(source),
            handler="handler.handler",
            runtime=RUNTIMES[settings.python],
            architecture=architecture(settings),
            layers=shared.layers.take(*layers, *plugin_layer(settings, source)),
            description=f"{settings.prefix}: {description}",
            role=self.role,
            timeout=Duration.seconds(timeout),
            memory_size=memory,
            environment=environment.of(settings, shared.environment, service or source, more or {}),
            log_group=self.log_group,
            # START, END and REPORT of each invocation would cost more than our own lines.
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            application_log_level_v2=lambda_.ApplicationLogLevel(settings.log_level),
            reserved_concurrent_executions=reserved or None,
            # Whoever sends to the queue that invokes it is stopped after some 16 rounds unless this is allowed
            # (lambda/latest/dg/invocation-recursion.html).
            recursive_loop=lambda_.RecursiveLoop.ALLOW if loops else lambda_.RecursiveLoop.TERMINATE,
            vpc=network[0] if network else None,
            vpc_subnets=network[1] if network else None,
            security_groups=network[2] if network else None,
        )
        if settings.tracing:
            # Not through the construct, which would give the role a second policy.
            raw = self.function.node.default_child
            assert isinstance(raw, lambda_.CfnFunction), "the construct is made of one resource"
            raw.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode="Active")
        accept(
            self.function,
            "AwsSolutions-L1",
            "Python 3.13 is what is tested, and what the layers' bytecode is for; the context `python` raises it.",
        )

    def _role(self, settings: Settings, statements: Sequence[iam.PolicyStatement], *, in_network: bool) -> iam.Role:
        """A role that may write its own logs, and what `statements` say."""
        own = [statement(["logs:CreateLogStream", "logs:PutLogEvents"], [self.log_group.log_group_arn])]
        anywhere = [*(_TRACING if settings.tracing else ()), *(_NETWORKING if in_network else ())]
        if anywhere:
            own.append(statement(anywhere, ["*"]))
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "Own": iam.PolicyDocument(statements=own),
                "Work": iam.PolicyDocument(statements=[*statements]),
            },
        )
        if anywhere:
            accept(role, wildcard("*"), "X-Ray and the network interfaces of a VPC know no resources.")
        return role


_TRACING = ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
_NETWORKING = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda needs to be in a VPC (lambda/latest/dg/configuration-vpc.html)."""


_DAYS = {
    1: "ONE_DAY",
    3: "THREE_DAYS",
    5: "FIVE_DAYS",
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    120: "FOUR_MONTHS",
    150: "FIVE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
    400: "THIRTEEN_MONTHS",
    545: "EIGHTEEN_MONTHS",
    731: "TWO_YEARS",
    1096: "THREE_YEARS",
    1827: "FIVE_YEARS",
    2192: "SIX_YEARS",
    2557: "SEVEN_YEARS",
    2922: "EIGHT_YEARS",
    3288: "NINE_YEARS",
    3653: "TEN_YEARS",
}


def log_days(settings: Settings) -> logs.RetentionDays:
    """How long logs are kept."""
    return logs.RetentionDays[_DAYS[settings.log_retention]]


def architecture(settings: Settings) -> lambda_.Architecture:
    return lambda_.Architecture.ARM_64 if settings.architecture == "arm64" else lambda_.Architecture.X86_64


def _network(scope: Construct, settings: Settings) -> tuple[ec2.IVpc, ec2.SubnetSelection, list[ec2.ISecurityGroup]]:
    """The network that the context names; nothing is looked up."""
    vpc = ec2.Vpc.from_vpc_attributes(
        scope, "Vpc", vpc_id=settings.vpc_id, availability_zones=list(Stack.of(scope).availability_zones[:1])
    )
    subnets = [
        ec2.Subnet.from_subnet_id(scope, f"Subnet{index}", subnet) for index, subnet in enumerate(settings.vpc_subnets)
    ]
    for subnet in subnets:
        accept(subnet, "@aws-cdk/aws-ec2:noSubnetRouteTableId", "Nobody asks for its route table.")
    groups = [
        ec2.SecurityGroup.from_security_group_id(scope, f"Group{index}", group, mutable=False)
        for index, group in enumerate(settings.vpc_security_groups)
    ]
    return vpc, ec2.SubnetSelection(subnets=subnets), groups
