"""Clients of AWS: time limits, tries, and nothing read at import."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

from flowrunner.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CONNECTIONS = 16
TRIES = 4
CONNECT_SECONDS = 1
READ_SECONDS = 3
OBJECT_SECONDS = 10
"""How long one try may take. All tries together, with the pauses between them (botocore's standard mode: up to 1, 2
and 4 s), end within 25 s: a function of 60 s can still give its message back."""

PARTS = ("bucket", "queue", "slow", "region")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a store is: `dynamodb://table?bucket=name&queue=url&slow=url&region=name`.

    Without `queue` messages stay in the table; without `slow` there is one lane. The region is that of the
    environment unless it is given.
    """

    table: str
    bucket: str
    queue: str = ""
    slow: str = ""
    region: str = ""

    @classmethod
    def parse(cls, url: str) -> Location:
        """Raises `ConfigurationError`."""
        parts = urlsplit(url)
        given = parse_qs(parts.query, keep_blank_values=True)
        unknown = [name for name in given if name not in PARTS]
        if unknown:
            hint = "bucket, queue, slow and region are known"
            raise ConfigurationError(f"store.url: there is no {unknown[0]!r}", hint=hint)
        repeated = [name for name, values in given.items() if len(values) > 1]
        if repeated:
            raise ConfigurationError(f"store.url: {repeated[0]} is given twice")
        table, bucket = parts.netloc, given.get("bucket", [""])[0]
        if not table or not bucket or parts.path.strip("/"):
            raise ConfigurationError(
                "store.url: a DynamoDB store needs a table and a bucket", hint="dynamodb://table?bucket=name"
            )
        queue, slow, region = (given.get(name, [""])[0] for name in PARTS[1:])
        for name, where in (("queue", queue), ("slow", slow)):
            if where and not where.startswith(("https://", "http://")):
                raise ConfigurationError(f"store.url: {name} is the URL of a queue of SQS", hint="it begins with https")
        if slow and not queue:
            raise ConfigurationError("store.url: slow needs a queue beside it")
        return cls(table, bucket, queue, slow, region)


class Clients:
    """Makes clients of one region; botocore is imported here."""

    def __init__(self, region: str = "") -> None:
        from botocore.config import Config

        from flowrunner.adapters.aws.session import new_session

        self._session = new_session()
        # botocore knows AWS_DEFAULT_REGION only; the other SDKs, and people, AWS_REGION.
        self._region = region or os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        if self._region is None:
            raise ConfigurationError("no AWS region is known", hint="set AWS_REGION, or region= in store.url")
        # `standard` tries again what is worth it, with jitter: throttling, 5xx and broken connections.
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": TRIES},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=CONNECTIONS,
        )
        self._patient = self._config.merge(Config(read_timeout=OBJECT_SECONDS))

    @classmethod
    def for_key(cls, key: str) -> Clients:
        """Clients of the region that the ARN of a key names; for any other name of a key, of the usual region."""
        parts = key.split(":")
        return cls(parts[3] if key.startswith("arn:") and len(parts) > 3 else "")

    def dynamodb(self) -> DynamoDBClient:
        return cast("DynamoDBClient", self._client("dynamodb", self._config))

    def s3(self) -> S3Client:
        """It is made when it is first used: most steps need no bucket."""
        from flowrunner.adapters.aws.session import LazyClient

        return cast("S3Client", LazyClient(partial(self._client, "s3", self._patient)))

    def sqs(self) -> SQSClient:
        return cast("SQSClient", self._client("sqs", self._config))

    def kms(self) -> KMSClient:
        return cast("KMSClient", self._client("kms", self._config))

    def gateway(self, url: str) -> ApiGatewayManagementApiClient:
        """What sends to the connections of one stage of a WebSocket API, which `url` names."""
        where = api_behind(os.environ.get("AWS_ENDPOINT_URL", ""), url)
        made = self._client("apigatewaymanagementapi", self._config, where)
        return cast("ApiGatewayManagementApiClient", made)

    def _client(self, service: str, config: Config, url: str | None = None) -> object:
        return self._session.create_client(service, region_name=self._region, endpoint_url=url, config=config)


def api_behind(endpoint: str, url: str) -> str:
    """Where an API is reached that AWS serves at `url`: there, or with an endpoint in the environment (an emulator)
    below its path for the API, since a client that is given an endpoint of its own ignores the environment's.
    """
    if not endpoint:
        return url
    parts = urlsplit(url)
    api = (parts.hostname or "").partition(".")[0]
    return f"{endpoint.rstrip('/')}/_aws/execute-api/{api}{parts.path}"
