"""What is looked at before anything is deployed: the bootstrap, and the limits that would stop it half-way."""

from __future__ import annotations

from collections.abc import Callable

from flowrunner.adapters.aws.assembly import Assembly
from flowrunner.adapters.aws.changes import reserved_concurrency
from flowrunner.adapters.aws.cloud import Cloud, CloudError
from flowrunner.adapters.aws.stacks import Stacks
from flowrunner.adapters.aws.toolkit import VERSION, bootstrap, bootstrapped
from flowrunner.cli.deploy_report import say
from flowrunner.cli.remote.options import confirm
from flowrunner.errors import ConfigurationError

UNRESERVED = 100
"""Lambda keeps so many concurrent executions of an account free of reservations
(docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html)."""
QUOTA = "L-B99A9384"


def check_bootstrap(cloud: Cloud, stacks: Stacks, *, wanted: bool, yes: bool, dry_run: bool) -> None:
    """The CDK's bootstrap is there, or is made now. Raises `ConfigurationError`, `UsageError`, `DeploymentFailed`."""
    version = bootstrapped(cloud.ssm())
    if version >= VERSION:
        return
    where = f"account {cloud.place.account}, {cloud.place.region}"
    if version:
        raise ConfigurationError(f"the CDK's bootstrap of {where} is version {version}", hint="run `cdk bootstrap`")
    if dry_run:
        raise ConfigurationError(
            f"{where} is not bootstrapped for the CDK, and a dry run changes nothing",
            hint="deploy with --bootstrap, or run `cdk bootstrap`",
        )
    if not wanted:
        confirm(f"{where} is not bootstrapped for the CDK: make the stack CDKToolkit with a bucket?", yes=yes)
    say("bootstrapping")
    bootstrap(stacks)


def check_concurrency(cloud: Cloud, stacks: Stacks, assembly: Assembly, tell: Callable[[str], None]) -> None:
    """The account has the concurrent executions that the functions reserve. Raises `ConfigurationError`.

    Without the permission to ask it says so, and goes on: AWS refuses what is too much, half-way.
    """
    wanted = reserved_concurrency(stack.template() for stack in assembly.stacks)
    if not wanted:
        return
    try:
        limit, free = cloud.concurrency()
        mine = reserved_concurrency(stacks.template(stack.name) for stack in assembly.stacks)
    except CloudError as error:
        tell(f"the account's limit on concurrent executions is not known: {error}")
        return
    if free + mine - wanted >= UNRESERVED:
        return
    raise ConfigurationError(
        f"the functions reserve {wanted} concurrent executions, but of the account's {limit} only "
        f"{max(0, free + mine - UNRESERVED)} can be reserved: Lambda keeps {UNRESERVED} free",
        hint=f"ask for more (Service Quotas, Lambda, {QUOTA}), or deploy with -c reserved_concurrency=0 "
        "-c slow_reserved_concurrency=0",
    )


def alarms_of(assembly: Assembly) -> int:
    """How many metrics the stacks' alarms watch: each costs, and an alarm on a sum has several."""
    resources = [one for stack in assembly.stacks for one in stack.template().get("Resources", {}).values()]
    alarms = [one.get("Properties", {}) for one in resources if one.get("Type") == "AWS::CloudWatch::Alarm"]
    return sum(max(1, sum("MetricStat" in metric for metric in alarm.get("Metrics", ()))) for alarm in alarms)
