"""The CDK's bootstrap of an account and region: a bucket for assets, and a parameter with a version.

`cdk bootstrap` makes more (roles, a container registry), which we do not use. Ours has the same names and the same
logical ids, so that `cdk bootstrap` can take it over later and add the rest
(its lib/api/bootstrap/bootstrap-template.yaml).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flowrunner.adapters.aws.cloud import asked
from flowrunner.adapters.aws.stacks import Stacks
from flowrunner.errors import DeploymentFailed

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

STACK = "CDKToolkit"
PARAMETER = "/cdk-bootstrap/hnb659fds/version"
BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
VERSION = 6
"""The oldest that today's templates accept."""


def bootstrapped(ssm: SSMClient) -> int:
    """The version of the bootstrap that is there; 0 for none."""
    with asked("looking for the CDK's bootstrap"):
        try:
            return int(ssm.get_parameter(Name=PARAMETER)["Parameter"].get("Value", "0"))
        except ssm.exceptions.ParameterNotFound:
            return 0


def bootstrap(stacks: Stacks) -> None:
    """Make it. Raises `DeploymentFailed`, also when there is a stack of that name that is none of ours."""
    found = stacks.settle(STACK)
    if found is not None:
        raise DeploymentFailed(
            f"there is a stack {STACK}, but no parameter {PARAMETER}", hint="run `cdk bootstrap`, which repairs it"
        )
    stacks.create(STACK, json.dumps(template()))


def template() -> dict[str, Any]:
    """The stack's template: a private, encrypted, versioned bucket, by TLS only, and the version."""
    arn: Any = {"Fn::GetAtt": ["StagingBucket", "Arn"]}
    return {
        "Description": "What deployments with the AWS CDK need: the part of `cdk bootstrap` that flowrunner uses",
        "Resources": {
            "StagingBucket": {
                "Type": "AWS::S3::Bucket",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "BucketName": {"Fn::Sub": BUCKET},
                    "BucketEncryption": {
                        "ServerSideEncryptionConfiguration": [
                            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                        ]
                    },
                    "PublicAccessBlockConfiguration": {
                        "BlockPublicAcls": True,
                        "BlockPublicPolicy": True,
                        "IgnorePublicAcls": True,
                        "RestrictPublicBuckets": True,
                    },
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Id": "CleanupOldVersions",
                                "Status": "Enabled",
                                "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                            },
                            {
                                "Id": "AbortIncompleteMultipartUploads",
                                "Status": "Enabled",
                                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                            },
                        ]
                    },
                },
            },
            "StagingBucketPolicy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": {
                    "Bucket": {"Ref": "StagingBucket"},
                    "PolicyDocument": {
                        "Id": "AccessControl",
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Sid": "AllowSSLRequestsOnly",
                                "Action": "s3:*",
                                "Effect": "Deny",
                                "Principal": "*",
                                "Resource": [arn, {"Fn::Sub": "${StagingBucket.Arn}/*"}],
                                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            }
                        ],
                    },
                },
            },
            "CdkBootstrapVersion": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {
                    "Type": "String",
                    "Name": PARAMETER,
                    "Value": str(VERSION),
                },
            },
        },
        "Outputs": {
            "BucketName": {"Value": {"Ref": "StagingBucket"}},
            "BucketDomainName": {"Value": {"Fn::GetAtt": ["StagingBucket", "RegionalDomainName"]}},
            "BootstrapVersion": {"Value": str(VERSION)},
        },
    }
