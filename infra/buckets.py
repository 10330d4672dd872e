"""Buckets: private, over TLS only, under the deployment's key; and one for the logs of who reads them."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.nag import accept
from infra.settings import Settings

LOG_DAYS = 90


def private_bucket(
    scope: Construct,
    id: str,
    settings: Settings,
    *,
    key: kms.IKey | None = None,
    access_logs: s3.IBucket | None = None,
    prefix: str = "",
    keep: bool = True,
) -> s3.Bucket:
    """A bucket whose objects can be brought back for as long as the table can be restored.

    Without a `key` S3's own encrypts, which is enough for what anybody may read. `keep`: as the deployment keeps data.
    """
    bucket = s3.Bucket(
        scope,
        id,
        encryption=s3.BucketEncryption.KMS if key else s3.BucketEncryption.S3_MANAGED,
        encryption_key=key,
        bucket_key_enabled=True if key else None,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        lifecycle_rules=[
            s3.LifecycleRule(
                abort_incomplete_multipart_upload_after=Duration.days(1),
                noncurrent_version_expiration=Duration.days(settings.backup_days),
                expired_object_delete_marker=True,
            )
        ],
        server_access_logs_bucket=access_logs,
        server_access_logs_prefix=prefix if access_logs else None,
        removal_policy=RemovalPolicy.RETAIN if keep and settings.keep_data else RemovalPolicy.DESTROY,
    )
    if access_logs is None:
        accept(bucket, "AwsSolutions-S1", "Logs of access are switched on by `access_logs`, as in the preset prod.")
    return bucket


def log_bucket(scope: Construct, id: str, settings: Settings) -> s3.Bucket:
    """Where S3 and CloudFront put their logs of access; neither can write under a key of ours."""
    bucket = s3.Bucket(
        scope,
        id,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_PREFERRED,  # CloudFront's logs come with an ACL
        enforce_ssl=True,
        minimum_tls_version=1.2,
        lifecycle_rules=[
            s3.LifecycleRule(
                expiration=Duration.days(LOG_DAYS), abort_incomplete_multipart_upload_after=Duration.days(1)
            )
        ],
        removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
    )
    accept(bucket, "AwsSolutions-S1", "It holds the logs of access; logging it into itself would never end.")
    return bucket
