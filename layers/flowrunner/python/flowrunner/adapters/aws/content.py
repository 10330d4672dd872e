"""What is stored as bytes: compressed, and kept elsewhere when it is large (claim check).

The first byte says how: as it is, compressed, in an item beside, or in an object of the bucket.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from flowrunner.adapters.aws.keys import BODIES, Key, escape, run_pk
from flowrunner.adapters.aws.table import Table, code_of, octets, translated
from flowrunner.core.ids import AccountId, RunId
from flowrunner.errors import StoreError, ValueLost
from flowrunner.ports.clock import Draws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RAW, DEFLATED, BESIDE, OBJECT = b"\0", b"\1", b"\2", b"\3"

IN_ITEM = 200 * 1024
"""Compressed bytes above which content goes to the bucket: an item holds 400 KB in all."""

DELETE_AT_ONCE = 1000


def pack(raw: bytes) -> bytes:
    """Content as an attribute holds it, compressed if that helps."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(raw) + deflate.flush()
    return DEFLATED + packed if len(packed) < len(raw) else RAW + raw


def unpack(stored: bytes) -> bytes:
    """What `pack` was given."""
    if stored[:1] == DEFLATED:
        return zlib.decompress(stored[1:], -15)
    assert stored[:1] == RAW, "content that is kept elsewhere is read through `Contents`"
    return stored[1:]


class Contents:
    """Packs content, and puts it into the bucket or an item beside when it is too large for its place."""

    def __init__(self, table: Table, s3: S3Client, bucket: str, draws: Draws) -> None:
        self._table = table
        self._s3 = s3
        self._bucket = bucket
        self._draws = draws

    def keep(self, account: AccountId, raw: bytes, run: RunId | None = None, limit: int = IN_ITEM) -> bytes:
        """Content for an attribute. Of more than `limit` bytes, an object of its own is made, which `drop` removes."""
        packed = pack(raw)
        if len(packed) <= limit:
            return packed
        name = (_run_folder(account, run) if run is not None else f"{_folder(account)}things/") + self._draws.new_id()
        with translated("S3"):
            self._s3.put_object(Bucket=self._bucket, Key=name, Body=packed)
        return OBJECT + name.encode()

    def keep_beside(self, account: AccountId, run: RunId, raw: bytes, limit: int) -> bytes:
        """Content that goes with a run. Between `limit` and what an item holds it gets an item of the run beside.

        Its name is its hash, so doing this again changes nothing. It goes when the run does.
        """
        packed = pack(raw)
        if len(packed) <= limit:
            return packed
        if len(packed) > IN_ITEM:
            return self.keep(account, raw, run)
        digest = hashlib.sha256(raw).digest()[:16]
        beside = _beside(account, run, digest)
        self._table.put({"pk": beside.pk, "sk": beside.sk, "b": packed})
        return BESIDE + digest

    def read(self, stored: bytes, account: AccountId, run: RunId | None = None) -> bytes:
        """What was kept. Raises `ValueLost` if it is gone."""
        if stored[:1] == OBJECT:
            return unpack(self._object(stored[1:].decode()))
        if stored[:1] != BESIDE:
            return unpack(stored)
        assert run is not None, "only what goes with a run is kept beside"
        item = self._table.get(_beside(account, run, stored[1:]))
        if item is None:
            raise ValueLost(f"a part of run {run} is missing")
        return unpack(octets(item, "b"))

    def read_all(self, account: AccountId, run: RunId, stored: Mapping[Key, bytes]) -> dict[Key, bytes]:
        """The same for several of a run, in fewer requests."""
        beside = {key: _beside(account, run, one[1:]) for key, one in stored.items() if one[:1] == BESIDE}
        items = self._table.get_all(beside.values())
        found: dict[Key, bytes] = {}
        for key, one in stored.items():
            if key not in beside:
                found[key] = self.read(one, account, run)
            elif beside[key] in items:
                found[key] = unpack(octets(items[beside[key]], "b"))
            else:
                raise ValueLost(f"a part of run {run} is missing")
        return found

    def drop(self, *stored: bytes) -> None:
        """Remove the objects of what is not needed any more."""
        names = [one[1:].decode() for one in stored if one[:1] == OBJECT]
        self._delete(names)

    def drop_run(self, account: AccountId, run: RunId) -> None:
        """Remove all objects of a run, also those that a crash or a lost race left without a reference."""
        self._drop_all(_run_folder(account, run))

    def drop_account(self, account: AccountId) -> None:
        """The same of an account."""
        self._drop_all(_folder(account))

    def _drop_all(self, folder: str) -> None:
        while True:
            with translated("S3"):
                page = self._s3.list_objects_v2(Bucket=self._bucket, Prefix=folder)
            names = [one["Key"] for one in page.get("Contents", [])]
            if not names:
                return
            self._delete(names)

    def _delete(self, names: list[str]) -> None:
        for start in range(0, len(names), DELETE_AT_ONCE):
            some = names[start : start + DELETE_AT_ONCE]
            with translated("S3"):
                answer = self._s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": name} for name in some], "Quiet": True}
                )
            if answer.get("Errors"):
                raise StoreError(f"S3 did not delete an object: {answer['Errors'][0].get('Code')}")

    def _object(self, name: str) -> bytes:
        with translated("S3"):
            try:
                return self._s3.get_object(Bucket=self._bucket, Key=name)["Body"].read()
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    raise ValueLost(f"the object {name} is missing from the bucket") from None
                raise


def is_object(stored: bytes) -> bool:
    """Whether content is kept in the bucket."""
    return stored[:1] == OBJECT


def _folder(account: AccountId) -> str:
    return escape(account).replace("/", "%2F") + "/"


def _run_folder(account: AccountId, run: RunId) -> str:
    return f"{_folder(account)}run-{escape(run).replace('/', '%2F')}/"


def _beside(account: AccountId, run: RunId, digest: bytes) -> Key:
    return Key(run_pk(account, run), f"{BODIES}{digest.hex()}")
