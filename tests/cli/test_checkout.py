"""The checkout that a deployment starts from, its settings, its synthesis; the console and the first account after it."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flowrunner.adapters.aws.cloud import Cloud
from flowrunner.bootstrap import make_platform
from flowrunner.cli import checkout, first_account
from flowrunner.cli import deploy as deploying
from flowrunner.cli.checkout import find_checkout, read_context, synthesize
from flowrunner.cli.deploy import DeployOptions, run_deploy
from flowrunner.cli.exits import UsageError
from flowrunner.cli.first_account import FIRST, found, make_first_account
from flowrunner.errors import ConfigurationError, Conflict
from flowrunner.services.accounts import Owner
from flowrunner.services.authentication import Credentials
from flowrunner.services.platform import Platform
from flowrunner.settings import Settings

from tests.assemblies import BUCKET, PLACE, QUEUE, Made, write_assembly
from tests.aws import BUCKET as BLOBS
from tests.aws import TABLE, cloud
from tests.cloudformation import FakeCloudFormation

APP = """
import json, os, sys
context = json.loads(os.environ["CDK_CONTEXT_JSON"])
if context.get("stage") == "broken":
    print("context 'stage': is broken")
    sys.exit(1)
out = os.environ["CDK_OUTDIR"]
os.makedirs(out)
with open(out + "/seen.json", "w") as file:
    json.dump({"context": context, "region": os.environ["CDK_DEFAULT_REGION"], "folder": os.getcwd()}, file)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose app writes down what it was told; the CDK itself is not needed for it."""
    folder = tmp_path / "project"
    (folder / "infra").mkdir(parents=True)
    (folder / "infra/app.py").write_text(APP)
    (folder / "cdk.json").write_text(json.dumps({"app": "python infra/app.py", "context": {"a": 1, "stage": "x"}}))
    monkeypatch.setattr(checkout, "_check_node", lambda: None)
    monkeypatch.setattr(checkout, "_python", lambda folder: sys.executable)
    return folder


# -- finding it ---------------------------------------------------------------------------------------------------


def test_the_checkout_is_found_from_within(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder, below it, named, or where this program runs from."""
    (project / "docs").mkdir()
    monkeypatch.chdir(project / "docs")
    assert find_checkout(None) == project
    assert find_checkout(project) == project
    monkeypatch.chdir("/")
    if (Path(__file__).resolve().parents[2] / "infra/app.py").is_file():
        assert find_checkout(None) == Path(__file__).resolve().parents[2]


def test_without_a_checkout_it_says_what_is_needed(tmp_path: Path) -> None:
    """The installed package alone cannot be deployed."""
    with pytest.raises(UsageError, match="clone it") as caught:
        find_checkout(tmp_path)
    assert "infra/app.py" in caught.value.message


# -- its settings -------------------------------------------------------------------------------------------------


def test_settings_come_from_a_file_and_from_options(tmp_path: Path) -> None:
    """Options win; a value may hold an equals sign."""
    file = tmp_path / "prod.yaml"
    file.write_text("preset: prod\nlog_retention: 30\ncors_origins: [https://a.example.com]\n")
    assert read_context(["log_retention=7", 'environment={"A": "b=c"}'], file) == {
        "preset": "prod",
        "log_retention": "7",
        "cors_origins": ["https://a.example.com"],
        "environment": '{"A": "b=c"}',
    }
    file.write_text("")
    assert read_context([], file) == {}


def test_settings_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A pair that is none, a file that is not there, or no mapping."""
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "broken.yaml").write_text("a: [")
    for pairs, file, said in (
        (["signup"], None, "write key=value"),
        (["=open"], None, "write key=value"),
        ([], tmp_path / "nothing.yaml", "cannot be read"),
        ([], tmp_path / "broken.yaml", "cannot be read"),
        ([], tmp_path / "list.yaml", "must be a mapping"),
    ):
        with pytest.raises(UsageError, match=said):
            read_context(pairs, file)


# -- its synthesis ------------------------------------------------------------------------------------------------


def test_the_app_is_told_where_it_goes_and_how(project: Path, tmp_path: Path) -> None:
    """The context of cdk.json, under that of the call; what an earlier call wrote is gone."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.json").write_text("{}")
    synthesize(project, {"stage": "dev"}, PLACE, out)
    seen = json.loads((out / "seen.json").read_text())
    assert seen == {"context": {"a": 1, "stage": "dev"}, "region": "eu-west-1", "folder": str(project)}
    assert not (out / "old.json").exists()


def test_what_the_app_complains_about_is_shown(project: Path, tmp_path: Path) -> None:
    """Its own words: they name the setting."""
    with pytest.raises(ConfigurationError, match="context 'stage': is broken"):
        synthesize(project, {"stage": "broken"}, PLACE, tmp_path / "out")
    (project / "cdk.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"cdk\.json cannot be read"):
        synthesize(project, {}, PLACE, tmp_path / "out")


def test_a_machine_without_node_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None at all, or one that is too old."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"nodejs\.org"):
        checkout._check_node()
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v16.3.0\n")
    node.chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"is v16\.3\.0"):
        checkout._check_node()
    node.write_text("#!/bin/sh\necho v22.1.0\n")
    checkout._check_node()


def test_the_cdk_comes_from_the_checkouts_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this interpreter has none; without that it says how to get it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="uv sync"):
        checkout._python(tmp_path)
    (tmp_path / ".venv/lib/python3.13/site-packages/aws_cdk").mkdir(parents=True)
    assert checkout._python(tmp_path) == str(tmp_path / ".venv/bin/python")


# -- from a checkout to a console ---------------------------------------------------------------------------------


OPTIONS = DeployOptions(
    stage="dev",
    preset=None,
    region="eu-west-1",
    profile=None,
    context=(),
    settings=None,
    project=None,
    app=None,
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


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloudFormation]:
    """A bootstrapped account, with a bucket for the console."""
    fake = FakeCloudFormation()
    monkeypatch.setattr(Cloud, "cloudformation", lambda self: fake)
    with cloud() as made:
        for name in (BUCKET, "console-files"):
            made.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        Cloud("eu-west-1").ssm().put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
        yield fake


@pytest.fixture
def contexts(aws: FakeCloudFormation, project: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each synthesis was told; it gives a console stack when there is a console."""
    told: list[dict[str, Any]] = []

    def fake_synthesis(folder: Path, context: dict[str, Any], place: Any, out: Path) -> None:
        assert (folder, place) == (project, PLACE)
        told.append(dict(context))
        tags = {"flowrunner:stage": "dev", "flowrunner:part": "console"}
        api = Made("flowrunner-dev-api", {"Queue": {**QUEUE["Queue"], "Metadata": {"for": context.get("console_url")}}})
        console = [Made("flowrunner-dev-console", QUEUE, tags=tags)] if "console" in context else []
        write_assembly(out, api, *console)

    monkeypatch.setattr(deploying, "synthesize", fake_synthesis)
    return told


def built(project: Path) -> None:
    """A console that was built."""
    (project / "build/console").mkdir(parents=True)
    (project / "build/console/index.html").write_text("<html>")


def test_the_preset_follows_the_stage(contexts: list[dict[str, Any]], project: Path, aws: FakeCloudFormation) -> None:
    """Unless it is given, by an option or in the file."""
    file = project / "deploy.yaml"
    file.write_text("preset: dev\n")
    options = replace(OPTIONS, project=project, dry_run=True)
    for one in (
        options,
        replace(options, stage="prod"),
        replace(options, stage="prod", settings=file),
        replace(options, preset="prod"),
    ):
        run_deploy(one, aws.wait)
    assert [(one["stage"], one["preset"]) for one in contexts] == [
        ("dev", "dev"),
        ("prod", "prod"),
        ("prod", "dev"),
        ("dev", "prod"),
    ]
    assert "console" not in contexts[0]


def test_a_built_console_is_deployed_and_the_api_told_its_origin(
    contexts: list[dict[str, Any]], project: Path, aws: FakeCloudFormation
) -> None:
    """CloudFront gives the origin at the first deployment; the second call knows it from the start."""
    built(project)
    (project / "build/docs").mkdir()
    (project / "build/docs/index.html").write_text("<html>docs")
    outputs = {"ConsoleUrl": "https://d1.cloudfront.net", "ConsoleBucket": "console-files"}
    original: Any = aws.execute_change_set

    def execute(**given: Any) -> None:
        original(**given)
        if given["StackName"] == "flowrunner-dev-console":
            aws.stacks["flowrunner-dev-console"].outputs = outputs
            aws.stacks["flowrunner-dev-console"].tags = {"flowrunner:stage": "dev", "flowrunner:part": "console"}

    aws.execute_change_set = execute  # type: ignore[assignment,method-assign]  # a stack's outputs come with its making
    options = replace(OPTIONS, project=project)
    assert run_deploy(options, aws.wait) == 0
    assert [one.get("console_url") for one in contexts] == [None, "https://d1.cloudfront.net"]
    assert contexts[0]["console"] == str(project / "build/console")
    page = Cloud("eu-west-1").s3().get_object(Bucket="console-files", Key="index.html")
    assert page["Body"].read() == b"<html>"
    page = Cloud("eu-west-1").s3().get_object(Bucket="console-files", Key="docs/index.html")
    assert page["Body"].read() == b"<html>docs"
    contexts.clear()
    assert run_deploy(options, aws.wait) == 0
    assert [one["console_url"] for one in contexts] == ["https://d1.cloudfront.net"]


# -- the first account --------------------------------------------------------------------------------------------


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = make_platform(Settings.model_validate({"store": {"url": "memory:"}}), {})
    yield made
    made.close()


def logs_in(platform: Platform, username: str, password: str) -> bool:
    from flowrunner.errors import Unauthenticated

    try:
        basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        platform.authenticator.authenticate(Credentials(authorization=f"Basic {basic}"))
    except Unauthenticated:
        return False
    return True


def test_the_first_account_is_made_once(platform: Platform) -> None:
    """Its password is told once, and works."""
    made = found(platform, "Main", "ada")
    assert made is not None
    assert made.password not in repr(made)
    assert logs_in(platform, "ada", made.password)
    assert found(platform, "Main", "ada") is None


def test_a_password_that_nobody_saw_is_made_anew(platform: Platform) -> None:
    """The call that made the account died before it could show it."""
    platform.accounts.bootstrap(FIRST, "Main", Owner("ada", "correct horse battery"))
    made = found(platform, "Main", "somebody")
    assert made is not None
    assert made.owner == "ada"
    assert logs_in(platform, "ada", made.password)


def test_a_user_name_that_is_taken_is_refused(platform: Platform) -> None:
    """A stranger who signed up may have it: they keep it, with their password."""
    platform.accounts.create("Strangers", Owner("ada", "correct horse battery"))
    with pytest.raises(Conflict):
        found(platform, "Main", "ada")
    assert logs_in(platform, "ada", "correct horse battery")


def test_it_is_made_in_the_store_that_was_deployed(aws: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the URL and the key from the stacks' outputs, and whatever the settings of this machine say."""
    monkeypatch.setenv("FLOWRUNNER_STORE__URL", "sqlite:///nowhere.db")
    operator = Cloud("eu-west-1")
    key = operator.kms().create_key()["KeyMetadata"]["Arn"]
    outputs = {"StoreUrl": f"dynamodb://{TABLE}?bucket={BLOBS}&region=eu-west-1", "KeyArn": key}
    made = make_first_account(outputs, "Main", "ada")
    assert made is not None
    assert (made.account, made.owner, len(made.password)) == ("Main", "ada", 20)
    assert make_first_account(outputs, "Main", "ada") is None


def test_deploy_shows_the_account_or_why_there_is_none(
    aws: FakeCloudFormation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The password once, with the next command; or that it has to be made by hand."""
    app = write_assembly(tmp_path / "out", Made("flowrunner-dev-api", QUEUE))
    made = first_account.Made("Main", "ada", "secret-word")
    options = replace(OPTIONS, app=app, no_account=False, owner="ada")
    monkeypatch.setattr(deploying, "make_first_account", lambda outputs, name, owner: made)
    run_deploy(options, aws.wait)
    assert "user ada, password secret-word  (shown this once)" in capsys.readouterr().out
    run_deploy(replace(options, json=True), aws.wait)
    assert json.loads(capsys.readouterr().out)["account"] == {
        "account": "Main",
        "owner": "ada",
        "password": "secret-word",
    }

    def denied(*_: Any) -> Any:
        raise Conflict("the user name is taken")

    monkeypatch.setattr(deploying, "make_first_account", denied)
    assert run_deploy(options, aws.wait) == 0
    assert "the first account was not made: the user name is taken" in capsys.readouterr().err
