"""Taking a deployment away, with its data or without."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from flowrunner.adapters.aws import teardown
from flowrunner.adapters.aws.cloud import Cloud as Operator
from flowrunner.adapters.aws.cloud import CloudError
from flowrunner.adapters.aws.stacks import Stacks
from flowrunner.adapters.aws.teardown import Teardown, deployed, empty
from flowrunner.adapters.aws.website import content_type, publish_website
from flowrunner.errors import ConfigurationError

from tests.assemblies import table
from tests.aws import Cloud, cloud

RETAINED = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def kept(resources: Mapping[str, Any]) -> dict[str, Any]:
    """The same, made to outlive their stack."""
    return {name: {**one, **RETAINED} for name, one in resources.items()}


DATA: dict[str, Any] = {
    "Table": table(TableName="runs", DeletionProtectionEnabled=True),
    "Bucket": {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": "blobs-of-runs"},
    },
    "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": "{}"}},
    "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/flowrunner/dev"}},
}
CONSOLE: dict[str, Any] = {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "console-files"}}}


class Scene:
    """An account with a deployment, and a second stage beside it."""

    def __init__(self, aws: Cloud, data: Mapping[str, Any]) -> None:
        self.aws = aws
        self.said: list[str] = []
        self.waits: list[float] = []
        self.protected: set[str] = set()
        self.operator = Operator("eu-west-1")
        self.protection: list[tuple[str, bool]] = []
        self.client = self.operator.cloudformation()
        self.stacks = Stacks(self.client, wait=self.waits.append)
        # moto knows no termination protection.
        self.stacks.protect = lambda name, *, on: self.protection.append((name, on))  # type: ignore[method-assign]  # see above
        self.make("data", data)
        self.make("console", CONSOLE)
        self.make("engine", {"Topic": {"Type": "AWS::SNS::Topic"}})
        self.make("data", {"Topic": {"Type": "AWS::SNS::Topic"}}, stage="prod")

    def make(self, part: str, resources: Mapping[str, Any], stage: str = "dev") -> None:
        tags = {"flowrunner:stage": stage, "flowrunner:part": part}
        self.client.create_stack(
            StackName=f"flowrunner-{stage}-{part}",
            TemplateBody=json.dumps({"Resources": resources}),
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )

    def put_objects(self, bucket: str, count: int) -> None:
        """With an older version and the mark of a deletion."""
        self.aws.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for index in range(count):
            self.aws.s3.put_object(Bucket=bucket, Key=f"{index}", Body=b"1")
        self.aws.s3.put_object(Bucket=bucket, Key="0", Body=b"2")
        self.aws.s3.delete_object(Bucket=bucket, Key="1")

    def destroy(self, *, with_data: bool) -> None:
        found = deployed(self.stacks, "flowrunner", "dev")
        found = [replace(one, protected=one.name in self.protected) for one in found]
        doomed = [one for one in found if with_data or one.tags["flowrunner:part"] != "data"]
        Teardown(self.operator, self.stacks, self.said.append, self.waits.append).destroy(doomed, with_data=with_data)

    def names(self) -> list[str]:
        return [one.name for one in self.stacks.tagged({})]


@pytest.fixture
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


@pytest.fixture(params=["retained", "deleted with its stack"])
def scene(aws: Cloud, request: pytest.FixtureRequest) -> Scene:
    """As `prod` and as `dev` make it."""
    return Scene(aws, kept(DATA) if request.param == "retained" else DATA)


def test_stacks_go_before_those_that_they_need(scene: Scene) -> None:
    """Only those of the stage, and of the name."""
    names = [one.name for one in deployed(scene.stacks, "flowrunner", "dev")]
    assert names == ["flowrunner-dev-console", "flowrunner-dev-engine", "flowrunner-dev-data"]
    assert deployed(scene.stacks, "other", "dev") == []


def test_data_stays_unless_it_is_asked_for(scene: Scene) -> None:
    """The console's bucket is emptied, so that its stack can go."""
    scene.aws.s3.put_object(Bucket="console-files", Key="index.html", Body=b"x")
    scene.destroy(with_data=False)
    assert sorted(scene.names()) == ["flowrunner-dev-data", "flowrunner-prod-data"]
    assert scene.aws.dynamodb.describe_table(TableName="runs")["Table"]["DeletionProtectionEnabled"]
    buckets = {one["Name"] for one in scene.aws.s3.list_buckets()["Buckets"]}
    assert "blobs-of-runs" in buckets
    assert "console-files" not in buckets


def test_with_data_everything_goes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protection is lifted, all versions are removed in pages, and the key is left some days for second thoughts."""
    monkeypatch.setattr(teardown, "AT_ONCE", 2)
    scene.put_objects("blobs-of-runs", 5)
    scene.protected.add("flowrunner-dev-data")
    scene.destroy(with_data=True)
    assert scene.protection == [("flowrunner-dev-data", False)]
    assert scene.names() == ["flowrunner-prod-data"]
    assert scene.aws.dynamodb.list_tables()["TableNames"] == []
    assert "blobs-of-runs" not in {one["Name"] for one in scene.aws.s3.list_buckets()["Buckets"]}
    kms = scene.operator.kms()
    states = [kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"]["KeyState"] for one in kms.list_keys()["Keys"]]
    assert set(states) <= {"PendingDeletion"}  # moto removes one at once when it is CloudFormation that does
    assert scene.operator.logs().describe_log_groups()["logGroups"] == []
    assert "blobs-of-runs: 7 objects removed" in scene.said


def test_a_key_is_left_for_second_thoughts(aws: Cloud) -> None:
    """Without it no backup of the data can ever be read."""
    scene = Scene(aws, kept(DATA))
    scene.destroy(with_data=True)
    kms = scene.operator.kms()
    states = [kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"]["KeyState"] for one in kms.list_keys()["Keys"]]
    assert states == ["PendingDeletion"]
    assert "cancel-key-deletion" in " ".join(scene.said)


def test_what_is_gone_already_is_in_nobodys_way(aws: Cloud) -> None:
    """An interrupted call had removed it before its stack."""
    scene = Scene(aws, kept(DATA))
    aws.dynamodb.update_table(TableName="runs", DeletionProtectionEnabled=False)
    aws.dynamodb.delete_table(TableName="runs")
    aws.s3.delete_bucket(Bucket="blobs-of-runs")
    kms = scene.operator.kms()
    for one in kms.list_keys()["Keys"]:
        kms.schedule_key_deletion(KeyId=one["KeyId"])
    scene.operator.logs().delete_log_group(logGroupName="/flowrunner/dev")
    scene.destroy(with_data=True)
    assert scene.names() == ["flowrunner-prod-data"]


def test_an_object_that_cannot_be_removed_is_named(aws: Cloud) -> None:
    """S3 answers 200 all the same."""
    s3 = boto3.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="locked", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="locked", Key="a", Body=b"")

    def refuse(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Errors"] = [{"Key": "a", "Message": "locked until 2030"}]

    s3.meta.events.register("after-call.s3.DeleteObjects", refuse)
    with pytest.raises(CloudError, match="locked/a cannot be removed: locked until 2030"):
        empty(s3, "locked")


# -- the console's files, which come and go with it ------------------------------------------------------------------


def site(folder: Path) -> Path:
    """A website as vite builds one."""
    (folder / "assets").mkdir()
    (folder / "assets/index-3f2a.js").write_text("start()")
    (folder / "assets/index-3f2a.css").write_text("body {}")
    (folder / "index.html").write_text("<html>")
    (folder / "logo.svg").write_text("<svg/>")
    return folder


def test_the_first_page_comes_last(aws: Cloud, tmp_path: Path) -> None:
    """A browser that gets it finds everything that it names; hashed files are kept for ever, the rest is asked for."""
    aws.s3.create_bucket(Bucket="site", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    order: list[str] = []
    operator = Operator("eu-west-1")
    s3 = operator.s3()
    s3.meta.events.register("before-call.s3.PutObject", lambda params, **_: order.append(params["url_path"]))
    operator.s3 = lambda: s3  # type: ignore[method-assign]  # to see the order of its requests
    assert publish_website(operator, site(tmp_path), "site", "", "1", order.append) == 4
    assert order[-2].endswith("index.html")
    script = aws.s3.get_object(Bucket="site", Key="assets/index-3f2a.js")
    assert (script["ContentType"], script["CacheControl"]) == (
        "text/javascript; charset=utf-8",
        "public, max-age=31536000, immutable",
    )
    assert aws.s3.get_object(Bucket="site", Key="index.html")["CacheControl"] == "no-cache"


def test_the_documents_come_with_the_console(aws: Cloud, tmp_path: Path) -> None:
    """Under a folder of their own; the console's first page is the last file all the same."""
    aws.s3.create_bucket(Bucket="site", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    (tmp_path / "console").mkdir()
    (tmp_path / "docs").mkdir()
    said: list[str] = []
    docs = site(tmp_path / "docs")
    assert publish_website(Operator("eu-west-1"), site(tmp_path / "console"), "site", "", "1", said.append, docs) == 8
    assert aws.s3.get_object(Bucket="site", Key="docs/index.html")["CacheControl"] == "no-cache"
    script = aws.s3.get_object(Bucket="site", Key="docs/assets/index-3f2a.js")
    assert script["CacheControl"] == "public, max-age=31536000, immutable"


def test_the_distribution_forgets_what_it_has(aws: Cloud, tmp_path: Path) -> None:
    """By an invalidation of everything."""
    calls: list[Any] = []

    class Front:
        def create_invalidation(self, **given: Any) -> None:
            calls.append(given)

    aws.s3.create_bucket(Bucket="site", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    operator = Operator("eu-west-1")
    operator.cloudfront = Front  # type: ignore[method-assign]  # moto's has no distribution of that id
    publish_website(operator, site(tmp_path), "site", "E1", "label", lambda text: None)
    assert calls == [
        {
            "DistributionId": "E1",
            "InvalidationBatch": {"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": "label"},
        }
    ]


def test_a_folder_that_holds_no_website_is_refused(aws: Cloud, tmp_path: Path) -> None:
    """Before anything is uploaded."""
    with pytest.raises(ConfigurationError, match=r"holds no index\.html"):
        publish_website(Operator("eu-west-1"), tmp_path, "site", "", "1", lambda text: None)


def test_media_types_do_not_depend_on_the_machine() -> None:
    """A browser does not run a script that is not called one."""
    assert [content_type(name) for name in ("a.js", "a.json", "a.svg", "a.png", "a.unknown-ending")] == [
        "text/javascript; charset=utf-8",
        "application/json; charset=utf-8",
        "image/svg+xml",
        "image/png",
        "application/octet-stream",
    ]
