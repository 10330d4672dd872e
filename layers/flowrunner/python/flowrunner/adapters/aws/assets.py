"""Publishing the files of an assembly to the bootstrap bucket: once each, as their keys are hashes of their content."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from botocore.exceptions import ClientError

from flowrunner.adapters.aws.assembly import Asset
from flowrunner.adapters.aws.cloud import asked, error_code
from flowrunner.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all entries, the first that a zip can have: the same files give the same bytes."""

MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class Publisher:
    """Uploads to buckets of one account.

    Each request names the account that has to own the bucket: the bootstrap bucket has a name that anybody can guess,
    and somebody else may have taken it first.
    """

    def __init__(self, s3: S3Client, account: str, say: Callable[[str], None] = lambda text: None) -> None:
        self._s3 = s3
        self._account = account
        self._say = say

    def publish(self, assets: Sequence[Asset]) -> int:
        """Upload what is not there yet; how many were uploaded."""
        new = [asset for asset in assets if not self._is_there(asset)]
        for asset in new:
            self._upload(asset)
        return len(new)

    def _is_there(self, asset: Asset) -> bool:
        with asked(f"looking for {asset.name} in {asset.bucket}"):
            try:
                self._s3.head_object(Bucket=asset.bucket, Key=asset.key, ExpectedBucketOwner=self._account)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return False
                raise
            return True

    def _upload(self, asset: Asset) -> None:
        with tempfile.TemporaryFile() if asset.zipped else _opened(asset.source) as content:
            if asset.zipped:
                pack(asset.source, content)
            size = content.seek(0, 2)
            content.seek(0)
            self._say(f"uploading {asset.name} ({shown_size(size)})")
            with asked(f"uploading {asset.name} to {asset.bucket}"):
                self._s3.upload_fileobj(
                    content, asset.bucket, asset.key, ExtraArgs={"ExpectedBucketOwner": self._account}
                )


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error


def pack(folder: Path, target: IO[bytes]) -> None:
    """Write a folder as a zip whose bytes depend on names, contents and execute bits only."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: there is no such folder")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(_files(folder), key=lambda one: one.relative_to(folder).as_posix()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
            # Readable by all, as Lambda runs the code as another user; executable if it was.
            entry.external_attr = (stat.S_IFREG | (0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as out, path.open("rb") as source:
                shutil.copyfileobj(source, out)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def shown_size(size: int) -> str:
    """A size for people."""
    return f"{size / 1024**2:.1f} MB" if size >= 1024**2 else f"{max(1, size // 1024)} KB"
