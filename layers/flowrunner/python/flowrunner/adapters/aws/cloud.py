"""The operator's view of AWS: who we are there, in which region, and clients for whatever a deployment needs.

Unlike `clients`, which a function of the deployment makes with its role, this is a person (or CI) with credentials
from the usual places: environment, profile, single sign-on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from flowrunner.errors import ConfigurationError, StoreError
from flowrunner.ports.installer import Place

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

CREDENTIALS_HINT = (
    "run `aws configure` or `aws sso login`, name a profile with --profile, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
WRONG = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
TRIES = 8


class CloudError(StoreError):
    """AWS refused a request, or did not answer. `details` has its code."""

    code = "CLOUD_ERROR"


def error_code(error: ClientError) -> str:
    """AWS's own name of what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Turn what boto3 raises while `what` is done into errors that say what to do."""
    try:
        yield
    except (NoCredentialsError, TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        raise ConfigurationError(f"there are no usable AWS credentials: {error}", hint=CREDENTIALS_HINT) from error
    except NoRegionError as error:
        raise ConfigurationError("no AWS region is known", hint="give --region, or set AWS_REGION") from error
    except ClientError as error:
        name = error_code(error)
        if name in EXPIRED:
            raise ConfigurationError("the AWS credentials have expired", hint="log in again") from error
        if name in WRONG:
            raise ConfigurationError(
                f"AWS does not accept these credentials ({name})", hint=CREDENTIALS_HINT
            ) from error
        said = str(error.response.get("Error", {}).get("Message", "")) or name
        hint = "these credentials lack a permission" if name in DENIED else None
        raise CloudError(f"{what}: {said}", hint=hint, code=name) from error
    except BotoCoreError as error:
        raise CloudError(f"{what}: {error}") from error


class Cloud:
    """One account and region, with the operator's credentials. Raises `ConfigurationError` when there are none."""

    def __init__(self, region: str | None = None, profile: str | None = None) -> None:
        import boto3
        from botocore.config import Config

        try:
            self._session = boto3.Session(region_name=region, profile_name=profile)
        except ProfileNotFound as error:
            raise ConfigurationError(
                str(error), hint="`aws configure list-profiles` names those that there are"
            ) from error
        if not self._session.region_name:
            raise ConfigurationError(
                "no AWS region is known", hint="give --region, set AWS_REGION, or put one into the profile"
            )
        self._config = Config(retries={"mode": "standard", "total_max_attempts": TRIES})
        with asked("who these credentials are"):
            self._caller = self._client("sts").get_caller_identity()

    @property
    def identity(self) -> str:
        """The ARN of who deploys."""
        return str(self._caller["Arn"])

    @property
    def place(self) -> Place:
        """Where everything goes."""
        partition = self.identity.split(":")[1] if self.identity.startswith("arn:") else "aws"
        return Place(str(self._caller["Account"]), str(self._session.region_name), partition)

    def cloudformation(self) -> CloudFormationClient:
        client: CloudFormationClient = self._client("cloudformation")
        return client

    def s3(self) -> S3Client:
        client: S3Client = self._client("s3")
        return client

    def ssm(self) -> SSMClient:
        client: SSMClient = self._client("ssm")
        return client

    def functions(self) -> LambdaClient:
        client: LambdaClient = self._client("lambda")
        return client

    def dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._client("dynamodb")
        return client

    def kms(self) -> KMSClient:
        client: KMSClient = self._client("kms")
        return client

    def cloudfront(self) -> Any:
        """A client without types: one call needs it."""
        return self._client("cloudfront")

    def logs(self) -> Any:
        """A client without types: one call needs it."""
        return self._client("logs")

    def concurrency(self) -> tuple[int, int]:
        """How many functions the account may run at once, and how many of these are not reserved by any."""
        with asked("asking for the account's limits"):
            limits: Any = self.functions().get_account_settings()["AccountLimit"]
        return int(limits["ConcurrentExecutions"]), int(limits["UnreservedConcurrentExecutions"])

    def _client(self, service: str) -> Any:
        make: Any = self._session.client
        return make(service, config=self._config)
