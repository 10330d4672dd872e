"""Publishing assets: once each, the same bytes for the same files, and only to a bucket of our own."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from flowrunner.adapters.aws.assembly import Asset
from flowrunner.adapters.aws.assets import Publisher, pack, shown_size
from flowrunner.adapters.aws.cloud import Cloud, CloudError
from flowrunner.errors import ConfigurationError

from tests.assemblies import ACCOUNT, BUCKET
from tests.aws import cloud

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def s3() -> Iterator[S3Client]:
    with cloud():
        client = Cloud("eu-west-1").s3()
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client


def code(folder: Path) -> Path:
    """Some files, one of them executable."""
    (folder / "package").mkdir(parents=True)
    (folder / "handler.py").write_text("def handler(event, context): ...\n")
    (folder / "package/run").write_text("#!/bin/sh\n")
    (folder / "package/run").chmod(0o700)
    return folder


def zipped(folder: Path) -> bytes:
    target = io.BytesIO()
    pack(folder, target)
    return target.getvalue()


def test_a_folder_gives_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    """Times, order and the rights of others do not count."""
    one, two = code(tmp_path / "one"), code(tmp_path / "two")
    os.utime(two / "handler.py", (0, 0))
    (two / "handler.py").chmod(0o600)
    assert zipped(one) == zipped(two)
    (two / "handler.py").write_text("changed")
    assert zipped(one) != zipped(two)


def test_a_zip_has_files_that_everybody_can_read(tmp_path: Path) -> None:
    """Lambda runs the code as another user; what was executable still is."""
    with zipfile.ZipFile(io.BytesIO(zipped(code(tmp_path)))) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        assert modes == {"handler.py": 0o644, "package/run": 0o755}
        assert archive.read("package/run") == b"#!/bin/sh\n"


def test_assets_are_uploaded_once(s3: S3Client, tmp_path: Path) -> None:
    """The second time nothing is sent: a key is a hash of what it holds."""
    said: list[str] = []
    publisher = Publisher(s3, ACCOUNT, said.append)
    (tmp_path / "template.json").write_text("{}")
    assets = [
        Asset("code", code(tmp_path / "code"), True, BUCKET, "1.zip"),
        Asset("template", tmp_path / "template.json", False, BUCKET, "2.json"),
    ]
    assert publisher.publish(assets) == 2
    assert publisher.publish(assets) == 0
    assert said == ["uploading code (1 KB)", "uploading template (1 KB)"]
    assert s3.get_object(Bucket=BUCKET, Key="2.json")["Body"].read() == b"{}"
    with zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=BUCKET, Key="1.zip")["Body"].read())) as archive:
        assert archive.testzip() is None


def test_each_request_names_the_owner(s3: S3Client, tmp_path: Path) -> None:
    """Anybody can guess the bucket's name: nothing is sent to one that another account has made."""
    owners: list[str] = []

    def watch(params: dict[str, Any], **_: Any) -> None:
        owners.append(params["headers"].get("x-amz-expected-bucket-owner"))

    s3.meta.events.register("before-call.s3", watch)
    (tmp_path / "t").write_text("{}")
    Publisher(s3, ACCOUNT).publish([Asset("t", tmp_path / "t", False, BUCKET, "t")])
    assert owners == [ACCOUNT, ACCOUNT]


def test_what_cannot_be_read_is_named(s3: S3Client, tmp_path: Path) -> None:
    """A file or folder that is not there any more."""
    publisher = Publisher(s3, ACCOUNT)
    for asset in (
        Asset("file", tmp_path / "nothing", False, BUCKET, "a"),
        Asset("folder", tmp_path / "nothing", True, BUCKET, "b"),
    ):
        with pytest.raises(ConfigurationError, match="nothing"):
            publisher.publish([asset])


def test_what_aws_refuses_is_named(s3: S3Client, tmp_path: Path) -> None:
    """A bucket that is not there, or not ours."""
    (tmp_path / "t").write_text("{}")

    def answer(code: str) -> Any:
        def head(**_: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "HeadObject")

        return head

    # What S3 says of an object in a bucket that is not there: only the upload finds out.
    missing, denied = answer("404"), answer("403")
    s3.meta.events.register("before-call.s3.HeadObject", missing)
    with pytest.raises(CloudError, match="uploading it to no-such-bucket: The specified bucket does not exist"):
        Publisher(s3, ACCOUNT).publish([Asset("it", tmp_path / "t", False, "no-such-bucket", "t")])
    s3.meta.events.unregister("before-call.s3.HeadObject", missing)
    s3.meta.events.register("before-call.s3.HeadObject", denied)
    with pytest.raises(CloudError, match="lack a permission"):
        Publisher(s3, ACCOUNT).publish([Asset("it", tmp_path / "t", False, BUCKET, "t")])


def test_sizes_are_for_people() -> None:
    """In the unit that fits."""
    assert [shown_size(size) for size in (0, 4096, 30 * 1024**2)] == ["1 KB", "4 KB", "30.0 MB"]
