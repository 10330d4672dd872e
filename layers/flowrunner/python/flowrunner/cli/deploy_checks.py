"""What is looked at before anything is deployed: the bootstrap, and the limits that would stop it half-way."""

from __future__ import annotations

from collections.abc import Callable

from flowrunner.cli.remote.options import confirm
from flowrunner.errors import ConfigurationError, StoreError
from flowrunner.ports.installer import Installer, Undertaking

QUOTA = "L-B99A9384"
"""Of Service Quotas: concurrent executions."""


def check_bootstrap(
    installer: Installer, tell: Callable[[str], None], *, wanted: bool, yes: bool, dry_run: bool
) -> None:
    """The CDK's bootstrap is there, or is made now. Raises `ConfigurationError`, `UsageError`, `DeploymentFailed`."""
    if installer.prepared():
        return
    where = f"account {installer.place.account}, {installer.place.region}"
    if dry_run:
        raise ConfigurationError(
            f"{where} is not bootstrapped for the CDK, and a dry run changes nothing",
            hint="deploy with --bootstrap, or run `cdk bootstrap`",
        )
    if not wanted:
        confirm(f"{where} is not bootstrapped for the CDK: make the stack CDKToolkit with a bucket?", yes=yes)
    tell("bootstrapping")
    installer.prepare()


def check_concurrency(undertaking: Undertaking, tell: Callable[[str], None]) -> None:
    """The account has the concurrent executions that the functions reserve. Raises `ConfigurationError`.

    Without the permission to ask it says so, and goes on: AWS refuses what is too much, half-way.
    """
    try:
        found = undertaking.concurrency()
    except StoreError as error:
        tell(f"the account's limit on concurrent executions is not known: {error}")
        return
    if found is None or found.wanted <= found.reservable:
        return
    raise ConfigurationError(
        f"the functions reserve {found.wanted} concurrent executions, but of the account's {found.limit} only "
        f"{found.reservable} can be reserved: Lambda keeps some free",
        hint=f"ask for more (Service Quotas, Lambda, {QUOTA}), or deploy with -c reserved_concurrency=0 "
        "-c slow_reserved_concurrency=0",
    )
