"""What is kept: the key, the table, the bucket, the queues."""

from __future__ import annotations

import json
from typing import Any

from flowrunner.adapters.aws import schema
from flowrunner.adapters.aws.clients import Location

from tests.infra.assembly import Assembly, Resource, on_aws, text

KEPT = ("AWS::KMS::Key", "AWS::DynamoDB::Table", "AWS::S3::Bucket")


def test_the_table_is_the_one_that_the_adapter_knows(dev: Assembly) -> None:
    """Keys, indexes and what they hold, as `schema.definition` makes them elsewhere."""
    table = dev.one("AWS::DynamoDB::Table")
    wanted = schema.definition("")
    assert table["KeySchema"] == wanted["KeySchema"]
    assert table["BillingMode"] == wanted["BillingMode"]
    assert by_name(table["AttributeDefinitions"]) == by_name(wanted["AttributeDefinitions"])
    assert by_name(table["GlobalSecondaryIndexes"]) == by_name(wanted["GlobalSecondaryIndexes"])
    assert table["TimeToLiveSpecification"] == {"AttributeName": schema.EXPIRES, "Enabled": True}


def test_the_table_is_safe(dev: Assembly, prod: Assembly) -> None:
    """Encrypted under our key, restorable to the second, told of by a stream; and in prod not to be deleted."""
    for assembly, days in ((dev, 7), (prod, 35)):
        table = assembly.one("AWS::DynamoDB::Table")
        recovery = table["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": days}
        assert table["SSESpecification"]["SSEType"] == "KMS"
        assert "Key" in text(table["SSESpecification"]["KMSMasterKeyId"])
        assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert prod.one("AWS::DynamoDB::Table")["DeletionProtectionEnabled"] is True
    assert dev.one("AWS::DynamoDB::Table")["DeletionProtectionEnabled"] is False


def test_a_restored_table_takes_the_place_of_the_own(dev: Assembly, restored: Assembly) -> None:
    """Of everything that reads and writes; the own one stays, with the exports that CloudFormation would not let go."""
    assert set(restored.templates["data"]["Resources"]) == set(dev.templates["data"]["Resources"])
    exports = {one["Export"]["Name"] for one in dev.templates["data"]["Outputs"].values() if "Export" in one}
    assert {
        one["Export"]["Name"] for one in restored.templates["data"]["Outputs"].values() if "Export" in one
    } >= exports
    assert text(restored.templates["data"]["Outputs"]["StoreUrl"]["Value"]).startswith("dynamodb://runs-of-yesterday?")
    for part in ("api", "engine"):
        assert "table/runs-of-yesterday" in json.dumps(restored.templates[part])
        assert "ExportsOutputFnGetAttTable" not in json.dumps(restored.templates[part])
        assert "ExportsOutputFnGetAttTable" in json.dumps(dev.templates[part])
    assert "table/runs-of-yesterday/stream/2026" in json.dumps(restored.sources()["Stream"])


def test_prod_keeps_what_it_has(dev: Assembly, prod: Assembly) -> None:
    """In prod key, table and bucket outlive their stack, which cannot be deleted by mistake; in dev nothing is left."""
    for assembly, fate in ((dev, "Delete"), (prod, "Retain")):
        for type in KEPT:
            for resource in assembly.resources(type, "data").values():
                assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == fate
    assert prod.manifest["flowrunner-live-data"]["properties"]["terminationProtection"] is True
    assert dev.manifest["flowrunner-dev-data"]["properties"]["terminationProtection"] is False


def test_the_key_is_renewed_and_lent_with_conditions(dev: Assembly) -> None:
    """It rotates; beside the account's own policies only logs and alarms use it, each under a condition."""
    key = dev.one("AWS::KMS::Key")
    assert key["EnableKeyRotation"] is True
    for statement in key["KeyPolicy"]["Statement"]:
        if "Service" in statement["Principal"]:
            assert statement["Condition"], statement
            assert "kms:*" not in statement["Action"]
        else:
            assert text(statement["Principal"]["AWS"]).endswith(":<AWS::AccountId>:root")
    services = {
        text(one["Principal"]["Service"]) for one in key["KeyPolicy"]["Statement"] if "Service" in one["Principal"]
    }
    assert services == {"logs.amazonaws.com", "cloudwatch.amazonaws.com"}


def test_buckets_are_private(prod: Assembly, console: Assembly) -> None:
    """No public access, TLS only, uploads that were given up removed, old versions for as long as the table's past."""
    for assembly in (prod, console):
        for id, resource in assembly.resources("AWS::S3::Bucket").items():
            bucket = resource["Properties"]
            assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
            assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            rules = bucket["LifecycleConfiguration"]["Rules"]
            assert any("AbortIncompleteMultipartUpload" in rule for rule in rules), id
            assert id in denied_without_tls(assembly, "AWS::S3::BucketPolicy"), id
    objects = prod.one("AWS::S3::Bucket", "Objects")
    (encryption,) = objects["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert encryption["BucketKeyEnabled"] is True
    assert objects["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = objects["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 35}
    assert "ExpirationInDays" not in rule, "what a run needs must not expire under it"
    assert objects["LoggingConfiguration"]["LogFilePrefix"] == "objects/"


def test_queues_keep_messages_long_enough(dev: Assembly, full: Assembly) -> None:
    """Hidden for six times the function's timeout, tried five times, kept for 14 days, encrypted, over TLS only."""
    for assembly, slow in ((dev, True), (full, False)):
        queues = assembly.resources("AWS::SQS::Queue")
        for id, resource in queues.items():
            queue = resource["Properties"]
            assert queue["MessageRetentionPeriod"] == 14 * 86_400
            assert queue["ReceiveMessageWaitTimeSeconds"] == 20
            assert queue["KmsDataKeyReusePeriodSeconds"] >= 3600
            assert "KmsMasterKeyId" in queue
            assert "FifoQueue" not in queue, "fair queues are standard ones"
            assert id in denied_without_tls(assembly, "AWS::SQS::QueuePolicy")
        names = {id.rstrip("0123456789ABCDEF") for id in queues}
        assert len(queues) == (4 if slow else 3), names


def test_steps_that_fail_for_good_are_put_aside(dev: Assembly) -> None:
    """Fast and slow share one queue of dead letters: each queue that is asked for messages costs all month."""
    fast, slow = (dev.one("AWS::SQS::Queue", name) for name in ("Fast", "Slow"))
    assert fast["RedrivePolicy"] == slow["RedrivePolicy"]
    assert fast["RedrivePolicy"]["maxReceiveCount"] == 5
    assert text(fast["RedrivePolicy"]["deadLetterTargetArn"]).startswith("<DeadLetters")
    assert (fast["VisibilityTimeout"], slow["VisibilityTimeout"]) == (360, 5400)


def test_outputs_are_those_that_others_read(dev: Assembly) -> None:
    """`flowrunner deploy` and the end-to-end tests find things by these names."""
    assert set(dev.outputs("data")) == {
        "TableName",
        "BucketName",
        "QueueUrl",
        "SlowQueueUrl",
        "DeadLetterQueueUrl",
        "FailedEventsQueueUrl",
        "KeyArn",
        "StoreUrl",
    }
    assert set(dev.outputs("api")) == {"ApiUrl", "WebSocketUrl"}
    assert set(dev.outputs("engine")) == {"EventSourceIds"}
    assert set(dev.outputs("observability")) == {"DashboardUrl"}


def test_the_store_url_is_one(dev: Assembly, full: Assembly) -> None:
    """The adapter understands the URL of the outputs; without a slow queue it names none."""
    with_slow = Location.parse(on_aws(dev.outputs("data")["StoreUrl"]))
    assert with_slow.table.startswith("Table")
    assert with_slow.bucket.startswith("Objects")
    assert "Fast" in with_slow.queue
    assert "Slow" in with_slow.slow
    assert with_slow.region == "us-east-1"
    assert Location.parse(on_aws(full.outputs("data")["StoreUrl"])).slow == ""


def by_name(things: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes or indexes by their name."""
    return {str(one.get("IndexName") or one["AttributeName"]): one for one in things}


def denied_without_tls(assembly: Assembly, type: str) -> str:
    """The policies that deny everything that comes without TLS, as text."""
    policies: list[Resource] = [resource["Properties"] for resource in assembly.resources(type).values()]
    return json.dumps(
        [
            policy
            for policy in policies
            if any(
                one["Effect"] == "Deny" and one.get("Condition", {}).get("Bool") == {"aws:SecureTransport": "false"}
                for one in policy["PolicyDocument"]["Statement"]
            )
        ]
    )
