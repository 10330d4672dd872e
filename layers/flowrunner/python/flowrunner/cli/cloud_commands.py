"""The commands that deploy to AWS, put into the program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowrunner.cli.exits import reported
from flowrunner.cli.remote.options import Json, Yes

Stage = Annotated[str, typer.Option(help="Which deployment: several stages live in one account.")]
Region = Annotated[str | None, typer.Option(help="The AWS region; default: of the profile, or AWS_REGION.")]
AwsProfile = Annotated[str | None, typer.Option("--profile", help="A profile of the AWS configuration.")]
Role = Annotated[str, typer.Option("--role-arn", help="A role that CloudFormation acts in, instead of as you.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]


def add_cloud_commands(app: typer.Typer) -> None:
    """Add both."""
    app.command()(deploy)
    app.command()(destroy)


@reported
def deploy(
    stage: Stage = "dev",
    preset: Annotated[
        str | None, typer.Option(help="dev or prod: the defaults; prod for stages whose name begins so.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", "-c", help="key=value, a setting of the stacks; may be repeated.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="A YAML file with such settings.")] = None,
    region: Region = None,
    profile: AwsProfile = None,
    load: Annotated[
        str, typer.Option(help="For the estimate of a month: runs=100000,steps=10, also payload, work_ms, express=1.")
    ] = "",
    owner: Annotated[
        str | None, typer.Option(help="The user name of the first account's owner; default: yours.")
    ] = None,
    account: Annotated[str, typer.Option(help="The name of the first account.")] = "Main",
    no_account: Annotated[bool, typer.Option("--no-account", help="Make no account.")] = False,
    bootstrap: Annotated[
        bool, typer.Option("--bootstrap", help="Bootstrap the region for the CDK if need be.")
    ] = False,
    allow_replacement: Annotated[
        bool, typer.Option("--allow-replacement", help="Also when a table, a bucket or a key is replaced or removed.")
    ] = False,
    role: Role = "",
    project: Annotated[Path | None, typer.Option(help="The checkout; default: around the current folder.")] = None,
    app: Annotated[Path | None, typer.Option(help="A folder that was synthesized already (cdk.out).")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Deploy to AWS: show what changes and what a month costs, ask, deploy, make the first account, print the URL."""
    from flowrunner.cli.deploy import DeployOptions, run_deploy

    options = DeployOptions(
        stage=stage,
        preset=preset,
        region=region,
        profile=profile,
        context=tuple(context or ()),
        settings=settings,
        project=project,
        app=app,
        load=load,
        owner=owner,
        account=account,
        role=role,
        bootstrap=bootstrap,
        allow_replacement=allow_replacement,
        no_account=no_account,
        dry_run=dry_run,
        yes=yes,
        json=json,
    )
    raise typer.Exit(run_deploy(options))


@reported
def destroy(
    stage: Stage = "dev",
    name: Annotated[str, typer.Option(help="What the stacks' names begin with.")] = "flowrunner",
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Also the table, the bucket and the key: flows, runs, secrets, all.")
    ] = False,
    confirm: Annotated[
        str | None, typer.Option(help="With --delete-data: the stage's name, instead of typing it.")
    ] = None,
    region: Region = None,
    profile: AwsProfile = None,
    role: Role = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take a deployment away. What holds data stays, and is used again by the next deploy, unless --delete-data."""
    from flowrunner.cli.destroy import DestroyOptions, run_destroy

    options = DestroyOptions(stage, name, region, profile, role, delete_data, confirm, dry_run, yes, json)
    raise typer.Exit(run_destroy(options))
