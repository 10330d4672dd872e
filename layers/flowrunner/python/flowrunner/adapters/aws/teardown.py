"""Taking a deployment away: everything but its data, or that as well.

What is kept on purpose (a table with deletion protection, a bucket that a stack retains) goes only when it is asked
for, and then before its stack, so that an interrupted call finds it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from flowrunner.adapters.aws.cloud import Cloud, CloudError, asked, error_code
from flowrunner.adapters.aws.stacks import EVERY, Stacks
from flowrunner.ports.installer import DATA, PART_TAG, STAGE_TAG, Found

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ORDER = ("observability", "console", "engine", "api", DATA)
"""A stack is deleted before those that it refers to."""

KEY = "AWS::KMS::Key"
KEY_DAYS = 30
"""How long KMS keeps a key that is to be deleted: the longest, for second thoughts."""
AT_ONCE = 1000
"""Objects that S3 deletes in one request."""
GONE = frozenset({"ResourceNotFoundException", "NoSuchBucket", "NotFoundException", "404"})


def deployed(stacks: Stacks, name: str, stage: str) -> list[Found]:
    """The stacks of a stage, in the order in which they can be deleted."""
    found = [one for one in stacks.tagged({STAGE_TAG: stage}) if one.name.startswith(f"{name}-{stage}-")]
    order = {part: index for index, part in enumerate(ORDER)}
    return sorted(found, key=lambda one: order.get(one.tags.get(PART_TAG, ""), -1))


class Teardown:
    """See the module. `say` hears what is done."""

    def __init__(
        self, cloud: Cloud, stacks: Stacks, say: Callable[[str], None], wait: Callable[[float], object]
    ) -> None:
        self._cloud = cloud
        self._stacks = stacks
        self._say = say
        self._wait = wait

    def destroy(self, found: Sequence[Found], *, with_data: bool) -> None:
        """Delete these stacks in this order. Raises `DeploymentFailed` and `CloudError`; calling it again goes on."""
        for stack in found:
            retained = self._prepare(stack, with_data=with_data)
            if stack.protected:
                self._stacks.protect(stack.name, on=False)
            self._say(f"{stack.name}: deleting" + (f", {retained} resources stay" if retained else ""))
            self._stacks.delete(stack)

    def _prepare(self, stack: Found, *, with_data: bool) -> int:
        """Make what CloudFormation does not delete by itself ready for it, or remove it; how many things stay."""
        template = self._stacks.template(stack.name).get("Resources", {})
        stay = 0
        resources = self._stacks.resources(stack.name)
        for logical, kind, physical in sorted(resources, key=lambda one: one[1] == KEY):  # the rest may need the key
            policy = str(template.get(logical, {}).get("DeletionPolicy", ""))
            retained = policy.startswith("Retain")
            if retained and not with_data:
                stay += 1
            elif physical:
                self._remove(kind, physical, whole=retained)
        return stay

    def _remove(self, kind: str, physical: str, *, whole: bool) -> None:
        """What stands in the way of deleting a resource goes; `whole`: the resource, too."""
        match kind:
            case "AWS::S3::Bucket":
                self._gone(lambda: self._bucket(physical, whole=whole), physical)
            case "AWS::DynamoDB::Table":
                self._gone(lambda: self._table(physical, whole=whole), physical)
            case "AWS::KMS::Key" if whole:
                self._gone(lambda: self._key(physical), physical)
            case "AWS::Logs::LogGroup" if whole:
                self._gone(lambda: self._cloud.logs().delete_log_group(logGroupName=physical), physical)

    def _gone(self, remove: Callable[[], object], what: str) -> None:
        with asked(f"removing {what}"):
            try:
                remove()
            except ClientError as error:
                if error_code(error) not in GONE:
                    raise

    def _bucket(self, name: str, *, whole: bool) -> None:
        s3 = self._cloud.s3()
        count = empty(s3, name)
        if count:
            self._say(f"{name}: {count} objects removed")
        if whole:
            s3.delete_bucket(Bucket=name)
            self._say(f"{name}: removed")

    def _table(self, name: str, *, whole: bool) -> None:
        dynamodb = self._cloud.dynamodb()
        if dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            self._say(f"{name}: deletion protection lifted")
        while dynamodb.describe_table(TableName=name)["Table"].get("TableStatus") == "UPDATING":
            self._wait(EVERY)
        if whole:
            dynamodb.delete_table(TableName=name)
            self._say(f"{name}: removed")

    def _key(self, key: str) -> None:
        kms = self._cloud.kms()
        if kms.describe_key(KeyId=key)["KeyMetadata"].get("KeyState") == "PendingDeletion":
            return
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=KEY_DAYS)
        self._say(f"{key}: KMS deletes it in {KEY_DAYS} days; until then `aws kms cancel-key-deletion` keeps it")


def empty(s3: S3Client, bucket: str) -> int:
    """Remove every object, all its versions and the marks of deletions, page by page; how many there were."""
    count = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        objects: Any = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        for start in range(0, len(objects), AT_ONCE):
            batch = objects[start : start + AT_ONCE]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise CloudError(f"{bucket}/{error.get('Key')} cannot be removed: {error.get('Message')}")
            count += len(batch)
    return count
