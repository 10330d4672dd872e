"""An installation on moto for functions: what its stacks would have made, their environment, and Lambda's events."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowrunner.adapters.aws.clients import Clients
    from mypy_boto3_sqs import SQSClient

REGION = "eu-west-1"
TABLE = "flowrunner"
BUCKET = "flowrunner-blobs"
ACCOUNT = "123456789012"


@dataclass
class Installation:
    """Its queues and key. `environment` is that of all functions."""

    sqs: SQSClient
    queues: dict[str, str]
    environment: dict[str, str]

    def messages(self, lane: str = "fast", limit: int = 1) -> list[dict[str, Any]]:
        """What SQS has to deliver, as records of an event; they are hidden from then on."""
        answer = self.sqs.receive_message(
            QueueUrl=self.queues[lane], MaxNumberOfMessages=limit, MessageSystemAttributeNames=["All"]
        )
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message.get("Attributes", {})),
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{lane}",
                "awsRegion": REGION,
            }
            for message in answer.get("Messages", ())
        ]

    def done(self, lane: str, records: list[dict[str, Any]]) -> None:
        """What the event source does with messages that did not fail."""
        for record in records:
            self.sqs.delete_message(QueueUrl=self.queues[lane], ReceiptHandle=record["receiptHandle"])


def install(clients: Clients) -> Installation:
    """Make the queues and the key; the table and the bucket are made elsewhere."""
    sqs = clients.sqs()
    queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("fast", "slow", "dead")}
    key = clients.kms().create_key()["KeyMetadata"]["Arn"]
    store = f"dynamodb://{TABLE}?bucket={BUCKET}&queue={queues['fast']}&slow={queues['slow']}&region={REGION}"
    environment = {
        "FLOWRUNNER_STORE__URL": store,
        "FLOWRUNNER_VAULT__KMS_KEY": key,
        "FLOWRUNNER_PUBLIC_URL": "https://flows.example.com",
        "FLOWRUNNER_ACCOUNTS__SIGNUP": "open",
        "FLOWRUNNER_USAGE__BY": "stream",
        "FLOWRUNNER_LIVE__DELIVERY": "poll",
        "FLOWRUNNER_API__MAX_WAIT": "20s",
        "FLOWRUNNER_LOG__FORMAT": "json",
        "AWS_LAMBDA_FUNCTION_NAME": "flowrunner-test",
    }
    return Installation(sqs, queues, environment)


def http_event(
    method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None, query: str = ""
) -> dict[str, Any]:
    """A request as API Gateway's HTTP API hands it on (payload format 2.0)."""
    content = None if body is None else base64.b64encode(body.encode()).decode()
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "flows.example.com", "x-forwarded-proto": "https", **(headers or {})},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "a1b2c3",
            "domainName": "flows.example.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.7",
                "userAgent": "tests",
            },
            "requestId": "r1",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1_700_000_000_000,
        },
        "isBase64Encoded": content is not None,
        **({"body": content} if content is not None else {}),
    }


@dataclass
class Context:
    """Lambda's context object, with time left."""

    left: int = 60_000
    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    function_name: str = "flowrunner-test"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:flowrunner-test"

    def get_remaining_time_in_millis(self) -> int:
        return self.left
