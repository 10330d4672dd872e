"""`flowrunner deploy` and `destroy`, against moto and a CloudFormation that takes its time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flowrunner.adapters.aws.cloud import Cloud, CloudError
from flowrunner.cli.deploy import DeployOptions, run_deploy
from flowrunner.cli.destroy import DestroyOptions, run_destroy
from flowrunner.cli.exits import UsageError
from flowrunner.errors import ConfigurationError, DeploymentFailed, InvalidInput, NotFound

from tests.assemblies import ACCOUNT, BUCKET, QUEUE, Made, table, write_assembly
from tests.aws import cloud
from tests.cloudformation import ChangeSet, FakeCloudFormation

TAGS = {"flowrunner:stage": "dev"}
DATA = Made("flowrunner-dev-data", {"Table": table()}, tags={**TAGS, "flowrunner:part": "data"})
API = Made("flowrunner-dev-api", QUEUE, tags={**TAGS, "flowrunner:part": "api"}, needs=["flowrunner-dev-data"])
RESERVING = {"F": {"Type": "AWS::Lambda::Function", "Properties": {"ReservedConcurrentExecutions": 150}}}

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudFormation]:
    """An account that is bootstrapped, with nothing in it."""
    fake = FakeCloudFormation()
    monkeypatch.setattr(Cloud, "cloudformation", lambda self: fake)
    for name in ("AWS_REGION", "AWS_PROFILE"):
        monkeypatch.setenv(name, "")  # so that it is put back even where the command sets it
        monkeypatch.delenv(name)
    with cloud() as made:
        made.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        Cloud("eu-west-1").ssm().put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
        yield fake


@pytest.fixture
def options(tmp_path: Path) -> DeployOptions:
    """Of a call that asks nothing, for stacks that were synthesized already."""
    return DeployOptions(
        stage="dev",
        preset=None,
        region="eu-west-1",
        profile=None,
        context=(),
        settings=None,
        project=None,
        app=write_assembly(tmp_path / "cdk.out", API, DATA),
        load="",
        owner=None,
        account="Main",
        role="",
        bootstrap=False,
        allow_replacement=False,
        no_account=True,
        dry_run=False,
        yes=True,
        json=False,
    )


DESTROY = DestroyOptions("dev", "flowrunner", "eu-west-1", None, "", False, None, False, True, False)


def test_it_shows_the_diff_and_the_costs_and_deploys(
    aws: FakeCloudFormation, options: DeployOptions, capsys: Shown
) -> None:
    """What changes and what happens on standard error, the result on standard output."""
    assert run_deploy(options, aws.wait) == 0
    shown = capsys.readouterr()
    assert f"account {ACCOUNT}, eu-west-1, as arn:aws:" in shown.err
    assert "+ flowrunner-dev-data: new, 1 resources: 1 DynamoDB::Table" in shown.err
    assert "Estimated month, idle: $1.9" in shown.err
    assert "CREATE_COMPLETE" in shown.err
    assert {name: one.status for name, one in aws.stacks.items()} == {
        "flowrunner-dev-data": "CREATE_COMPLETE",
        "flowrunner-dev-api": "CREATE_COMPLETE",
    }


def test_the_result_can_be_read_by_programs(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """Without what stacks only export for each other."""
    api = aws.add("flowrunner-dev-api", "CREATE_COMPLETE", template={"Resources": {}})
    api.outputs = {"ApiUrl": "https://x.example.com", "ExportsOutputRefQueue": "q"}
    run_deploy(replace(options, json=True), aws.wait)
    found = json.loads(capsys.readouterr().out)
    assert found["url"] == "https://x.example.com"
    assert found["outputs"]["flowrunner-dev-api"] == {"ApiUrl": "https://x.example.com"}
    assert found["account"] is None


def test_the_urls_are_printed(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """Those that people need."""
    api = aws.add("flowrunner-dev-api", "CREATE_COMPLETE", template={"Resources": {}})
    api.outputs = {"ApiUrl": "https://x.example.com", "StoreUrl": "dynamodb://t?bucket=b"}
    run_deploy(options, aws.wait)
    assert capsys.readouterr().out == "ApiUrl        https://x.example.com\n"


def test_a_load_is_estimated(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """Item by item; one that cannot be read is refused before anything is asked."""
    run_deploy(replace(options, load="runs=1000000,steps=10"), aws.wait)
    shown = capsys.readouterr().err
    assert "Estimated month with runs=1000000,steps=10: $" in shown
    assert "10,000,000 steps" in shown
    with pytest.raises(InvalidInput):
        run_deploy(replace(options, load="walks=1"), aws.wait)


def test_alarms_cost_by_the_metric(
    aws: FakeCloudFormation, options: DeployOptions, tmp_path: Path, capsys: Shown
) -> None:
    """One that watches a sum of two costs twice."""
    alarms = {
        "One": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}},
        "Sum": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {"Metrics": [{"Expression": "a + b"}, {"MetricStat": {}}, {"MetricStat": {}}]},
        },
    }
    app = write_assembly(tmp_path / "more", Made("flowrunner-dev-observability", alarms))
    run_deploy(replace(options, app=app, dry_run=True), aws.wait)
    assert "0.30  3 alarms" in capsys.readouterr().err


def test_a_dry_run_changes_nothing(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """And tells programs what it would do."""
    assert run_deploy(replace(options, dry_run=True, json=True), aws.wait) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["stack"], one["new"]) for one in found["changes"]] == [
        ("flowrunner-dev-data", True),
        ("flowrunner-dev-api", True),
    ]
    assert found["month_usd"] > 1
    assert (aws.stacks, aws.calls) == ({}, [])


def test_losses_are_red_and_refused_before_anything_is_done(
    aws: FakeCloudFormation, options: DeployOptions, capsys: Shown
) -> None:
    """The table that would be replaced is named."""
    aws.add("flowrunner-dev-data", "CREATE_COMPLETE", template={"Resources": {}})
    replaced = {
        "Action": "Modify",
        "Replacement": "True",
        "LogicalResourceId": "Table",
        "ResourceType": "AWS::DynamoDB::Table",
        "PolicyAction": "ReplaceAndRetain",
        "Details": [{"Target": {"Attribute": "Properties", "Name": "KeySchema"}}],
    }
    aws.next_change_set = ChangeSet("", pages=[[replaced]])
    with pytest.raises(DeploymentFailed, match="this would take away what holds data"):
        run_deploy(options, aws.wait)
    assert (
        "! replace     DynamoDB::Table Table (KeySchema); what it was stays in the account  HOLDS DATA"
        in capsys.readouterr().err
    )
    assert aws.calls == ["plan flowrunner-dev-data UPDATE", "discard flowrunner-dev-data"]


def test_without_a_yes_nothing_is_done(
    aws: FakeCloudFormation, options: DeployOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where nobody can be asked, one has to say --yes; what changes nothing asks nothing."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="--yes says it"):
        run_deploy(replace(options, yes=False), aws.wait)
    assert aws.stacks == {}
    run_deploy(options, aws.wait)
    for name, made in (("flowrunner-dev-data", DATA), ("flowrunner-dev-api", API)):
        aws.stacks[name].template = {"Resources": made.resources, "Outputs": {}}
        aws.stacks[name].tags = dict(made.tags)
    assert run_deploy(replace(options, yes=False), aws.wait) == 0


def test_ctrl_c_says_how_to_go_on(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """CloudFormation goes on by itself."""

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    assert run_deploy(options, interrupt) == 130
    assert "the same command waits for it" in capsys.readouterr().err
    assert run_deploy(options, aws.wait) == 0


# -- what is looked at before -------------------------------------------------------------------------------------


def test_a_region_that_is_not_bootstrapped_is(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """With --bootstrap, or a yes; a dry run says so."""
    Cloud("eu-west-1").ssm().delete_parameter(Name="/cdk-bootstrap/hnb659fds/version")
    with pytest.raises(ConfigurationError, match="not bootstrapped"):
        run_deploy(replace(options, dry_run=True), aws.wait)
    run_deploy(replace(options, bootstrap=True), aws.wait)
    assert aws.stacks["CDKToolkit"].status == "CREATE_COMPLETE"
    assert "bootstrapping" in capsys.readouterr().err


def test_an_old_bootstrap_is_for_the_cdk(aws: FakeCloudFormation, options: DeployOptions) -> None:
    """It may belong to others, so that it is not ours to change."""
    ssm = Cloud("eu-west-1").ssm()
    ssm.put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="3", Type="String", Overwrite=True)
    with pytest.raises(ConfigurationError, match="is version 3"):
        run_deploy(options, aws.wait)


def test_too_much_concurrency_is_refused_before_anything_is_done(
    aws: FakeCloudFormation, options: DeployOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New accounts have 10; what the stacks have reserved already counts as theirs."""
    wanted = replace(options, app=write_assembly(tmp_path / "more", Made("flowrunner-dev-engine", RESERVING)))
    monkeypatch.setattr(Cloud, "concurrency", lambda self: (200, 200))
    with pytest.raises(ConfigurationError, match="of the account's 200 only 100 can be reserved"):
        run_deploy(wanted, aws.wait)
    assert aws.stacks == {}
    monkeypatch.setattr(Cloud, "concurrency", lambda self: (250, 250))
    assert run_deploy(wanted, aws.wait) == 0
    aws.stacks["flowrunner-dev-engine"].template = {"Resources": RESERVING}
    monkeypatch.setattr(Cloud, "concurrency", lambda self: (250, 100))
    assert run_deploy(wanted, aws.wait) == 0


def test_a_limit_that_may_not_be_asked_for_stops_nobody(
    aws: FakeCloudFormation, options: DeployOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    """It is said, and AWS decides."""

    def denied(self: Cloud) -> Any:
        raise CloudError("not authorized to perform: lambda:GetAccountSettings")

    monkeypatch.setattr(Cloud, "concurrency", denied)
    app = write_assembly(tmp_path / "more", Made("flowrunner-dev-engine", RESERVING))
    assert run_deploy(replace(options, app=app), aws.wait) == 0
    assert "the account's limit on concurrent executions is not known: not authorized" in capsys.readouterr().err


def test_the_region_comes_from_the_option_or_the_environment(
    aws: FakeCloudFormation, options: DeployOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_REGION, too, which boto3 does not know; without any of them it says what to do."""
    with monkeypatch.context() as here:  # AWS in this process has variables of its own, for longer than this test
        here.setenv("AWS_REGION", "eu-west-1")
        here.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert run_deploy(replace(options, region=None), aws.wait) == 0
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            here.delenv(name)
        with pytest.raises(ConfigurationError, match="no AWS region is known"):
            run_deploy(replace(options, region=None), aws.wait)


def test_missing_credentials_say_what_to_do(
    options: DeployOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A profile that is not there, and no credentials at all."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="aws sso login"):
        run_deploy(options)
    with pytest.raises(ConfigurationError, match="aws configure list-profiles"):
        run_deploy(replace(options, profile="nobody"))


def test_a_named_profile_is_the_one_that_is_used(
    aws: FakeCloudFormation, options: DeployOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also by the programs and the store that are opened later, whatever credentials the environment has."""
    (tmp_path / "credentials").write_text("[other]\naws_access_key_id = other\naws_secret_access_key = other\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    run_deploy(replace(options, profile="other", dry_run=True), aws.wait)
    assert os.environ["AWS_PROFILE"] == "other"
    assert "AWS_ACCESS_KEY_ID" not in os.environ


# -- the way back -------------------------------------------------------------------------------------------------


def test_destroy_keeps_the_data(aws: FakeCloudFormation, options: DeployOptions, capsys: Shown) -> None:
    """And deploy finds it again."""
    run_deploy(options, aws.wait)
    for made in (DATA, API):
        aws.stacks[made.name].tags = dict(made.tags)
    assert run_destroy(replace(DESTROY, dry_run=True), aws.wait) == 0
    assert aws.stacks["flowrunner-dev-api"].status == "CREATE_COMPLETE"
    assert run_destroy(replace(DESTROY, json=True), aws.wait) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"deleted": ["flowrunner-dev-api"], "kept": ["flowrunner-dev-data"]}
    assert "--delete-data takes it, too" in shown.err
    assert aws.stacks["flowrunner-dev-data"].status == "CREATE_COMPLETE"
    aws.stacks.pop("flowrunner-dev-api")
    assert run_deploy(options, aws.wait) == 0
    assert aws.stacks["flowrunner-dev-api"].status == "CREATE_COMPLETE"


def test_data_is_only_deleted_by_name(aws: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    """--yes is not enough, and neither is another name; typed at a terminal or given as an option."""
    aws.add("flowrunner-dev-data", "CREATE_COMPLETE", tags=dict(DATA.tags))
    doomed = replace(DESTROY, delete_data=True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="--confirm STAGE"):
        run_destroy(doomed, aws.wait)
    with pytest.raises(UsageError, match="not the name of the stage"):
        run_destroy(replace(doomed, confirm="prod"), aws.wait)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "yes")
    with pytest.raises(UsageError, match="not the name of the stage"):
        run_destroy(doomed, aws.wait)
    assert aws.stacks["flowrunner-dev-data"].status == "CREATE_COMPLETE"
    monkeypatch.setattr("builtins.input", lambda prompt: "dev")
    assert run_destroy(doomed, aws.wait) == 0
    assert aws.stacks["flowrunner-dev-data"].status == "DELETE_COMPLETE"


def test_there_is_nothing_to_destroy(aws: FakeCloudFormation, capsys: Shown) -> None:
    """A stage that is not there, and one of which only the data is left."""
    with pytest.raises(NotFound, match="no stage dev"):
        run_destroy(DESTROY, aws.wait)
    aws.add("flowrunner-dev-data", "CREATE_COMPLETE", tags=dict(DATA.tags))
    assert run_destroy(replace(DESTROY, yes=False), aws.wait) == 0
    assert aws.calls == []


def test_an_interrupted_destroy_goes_on(aws: FakeCloudFormation) -> None:
    """A stack that is being deleted is waited for."""
    aws.add("flowrunner-dev-api", "CREATE_COMPLETE", tags=dict(API.tags))

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    assert run_destroy(DESTROY, interrupt) == 130
    assert run_destroy(DESTROY, aws.wait) == 0
    assert aws.stacks["flowrunner-dev-api"].status == "DELETE_COMPLETE"


# -- as they are called -------------------------------------------------------------------------------------------


def test_each_option_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of both commands; the exit code is what the work answers."""
    from flowrunner.cli.main import app
    from typer.testing import CliRunner

    seen: list[Any] = []

    def remember(options: Any) -> int:
        seen.append(options)
        return 130

    monkeypatch.setattr("flowrunner.cli.deploy.run_deploy", remember)
    monkeypatch.setattr("flowrunner.cli.destroy.run_destroy", remember)
    words = (
        "deploy --stage prod --preset dev --region eu-west-1 --profile me -c a=1 --context b=2 --settings s.yaml "
        "--project p --app out --load runs=1 --owner ada --account Acme --role-arn arn --bootstrap "
        "--allow-replacement --no-account --dry-run --yes --json"
    )
    assert CliRunner().invoke(app, words.split()).exit_code == 130
    assert seen.pop() == DeployOptions(
        stage="prod",
        preset="dev",
        region="eu-west-1",
        profile="me",
        context=("a=1", "b=2"),
        settings=Path("s.yaml"),
        project=Path("p"),
        app=Path("out"),
        load="runs=1",
        owner="ada",
        account="Acme",
        role="arn",
        bootstrap=True,
        allow_replacement=True,
        no_account=True,
        dry_run=True,
        yes=True,
        json=True,
    )
    words = (
        "destroy --stage prod --name mine --region eu-west-1 --profile me --role-arn arn --delete-data "
        "--confirm prod --dry-run --yes --json"
    )
    assert CliRunner().invoke(app, words.split()).exit_code == 130
    assert seen == [DestroyOptions("prod", "mine", "eu-west-1", "me", "arn", True, "prod", True, True, True)]


def test_what_is_refused_is_told_with_its_exit_code(aws: FakeCloudFormation) -> None:
    """No such stage: 4; a load that is none: 2."""
    from flowrunner.cli.main import app
    from typer.testing import CliRunner

    missing = CliRunner().invoke(app, ["destroy", "--stage", "nothing", "--region", "eu-west-1"])
    assert (missing.exit_code, "no stage nothing" in missing.output) == (4, True)
    assert CliRunner().invoke(app, ["deploy", "--load", "x", "--region", "eu-west-1"]).exit_code == 2
