"""Sending to and receiving from queues of Amazon SQS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.aws_client import THROTTLED, AwsParams, client
from flowrunner.nodes.aws_messages import Attributes, attributes, deduplication, read_attributes, text_of
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.fields import Duration, given, presence, refuse_useless

BATCH = 10
"""Messages of one request (SQS quotas)."""

_EVERYWHERE = frozenset({"op", "queue_url", "region", "credentials", "endpoint_url", "timeout"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "send": frozenset({"body", "messages", "delay", "attributes", "group", "deduplication_id"}),
    "receive": frozenset({"limit", "wait", "visibility", "delete"}),
    "delete": frozenset({"receipts"}),
}


class Message(Params):
    """One of several messages."""

    body: Json = Field(description="Text, or a value, which is sent as JSON.")
    delay: Duration | None = Field(None, le=900_000, description="Until it can be received, up to 15m.")
    attributes: Attributes = Field({}, description="Texts, numbers, booleans or {$bytes}.")
    group: str | None = Field(None, min_length=1, max_length=128, description="FIFO: messages of one stay in order.")
    deduplication_id: str | None = Field(None, min_length=1, max_length=128, description="FIFO.")


class AwsSqsParams(AwsParams):
    """Parameters of `aws.sqs`."""

    op: Literal["send", "receive", "delete"] = Field("send", description="What to do.")
    queue_url: str = Field(pattern=r"^https?://.+$", max_length=1024, description="The queue's URL.")
    body: Json = Field(None, description="send: text, or a value, which is sent as JSON; left out: the node's input.")
    messages: list[Message] | None = Field(None, min_length=1, max_length=1_000, description="send: several instead.")
    delay: Duration | None = Field(None, le=900_000, description="send: until it can be received, up to 15m.")
    attributes: Attributes = Field({}, description="send: texts, numbers, booleans or {$bytes}.")
    group: str | None = Field(
        None, min_length=1, max_length=128, description="send, FIFO: messages of one stay in order."
    )
    deduplication_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="send, FIFO; left out: the step's own, so that a retry adds none.",
    )
    limit: int = Field(1, ge=1, le=BATCH, description="receive: how many at most.")
    wait: Duration = Field(0, le=20_000, description="receive: how long to wait for a message, up to 20s.")
    visibility: Duration | None = Field(
        None, le=43_200_000, description="receive: nobody else gets them for that long; left out, the queue's own."
    )
    delete: bool = Field(False, description="receive: remove them at once, not when a later step deletes them.")
    receipts: list[str] | None = Field(
        None, min_length=1, max_length=1_000, description="delete: `receipt` of the messages received."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refuse_useless(self, self.op, _FIELDS[self.op], _EVERYWHERE)
        if self.op == "delete" and self.receipts is None:
            raise presence("delete needs `receipts`")
        own = (_FIELDS["send"] - {"messages"}) & self.model_fields_set
        if self.messages is not None and own:
            raise presence("with `messages`, each of them has its own `body`, `delay`, `attributes` and `group`")
        return self


class AwsSqsNode(NodeType[AwsSqsParams]):
    """Sends messages to a queue of Amazon SQS, receives or deletes some.

    Outputs: `send` → `{message_id}`, with `messages` → `{message_ids}` in their order; `receive` → `{messages: [{id,
    receipt, body, attributes, sent_at, received, group}]}`, of which `body` is the text and `received` counts how often
    it was; `delete` → `{deleted}`.

    A received message comes again after its `visibility`, unless a step with `op: delete` is given its `receipt`; so a
    run that fails in between loses nothing. Of a FIFO queue nothing is sent twice within five minutes, however often
    the step is executed. When only some of `messages` or `receipts` were taken, the step fails with the code of the
    first that was not; its details say which.

    The credentials are the flow's own, never those of the server. What AWS refuses fails the step with `Aws:<Code>`
    (retryable when it throttles or is broken); an answer that is none of AWS, with `InvalidResponse`; no connection,
    with `HttpConnect`, and too late, with `NodeTimeout` (both retryable). Each request goes through the egress guard
    (`EGRESS_DENIED`).
    """

    name = "aws.sqs"
    params = AwsSqsParams
    category = "network"
    icon = "inbox"
    example = """\
type: aws.sqs
params:
  region: eu-west-1
  credentials: {access_key_id: "${secrets.AWS_KEY_ID}", secret_access_key: "${secrets.AWS_SECRET_KEY}"}
  queue_url: https://sqs.eu-west-1.amazonaws.com/123456789012/orders
  body: {order: "${input.id}"}
"""

    def execute(self, ctx: Context[AwsSqsParams]) -> Result:
        with client(ctx, "sqs") as aws:
            match ctx.params.op:
                case "send":
                    return Result(_send(aws, ctx))
                case "receive":
                    return Result({"messages": _receive(aws, ctx.params)})
                case "delete":
                    return Result({"deleted": _delete(aws, ctx.params.queue_url, ctx.params.receipts or [])})


def _send(aws: Any, ctx: Context[AwsSqsParams]) -> dict[str, Json]:
    params = ctx.params
    one = Message(
        body=given(params, "body", ctx.input),
        delay=params.delay,
        attributes=params.attributes,
        group=params.group,
        deduplication_id=params.deduplication_id,
    )
    entries = [_entry(ctx, message, index) for index, message in enumerate(params.messages or [one])]
    if params.messages is None:
        return {"message_id": aws.send_message(QueueUrl=params.queue_url, **entries[0])["MessageId"]}
    sent: dict[int, str] = {}
    for start, some in _batches(entries):
        batch = [{"Id": str(start + at), **entry} for at, entry in enumerate(some)]
        answer = aws.send_message_batch(QueueUrl=params.queue_url, Entries=batch)
        sent |= {int(done["Id"]): done["MessageId"] for done in answer.get("Successful", ())}
        _check(answer, "message", done=len(sent))
    return {"message_ids": [sent[index] for index in range(len(entries))]}


def _entry(ctx: Context[AwsSqsParams], message: Message, index: int) -> dict[str, Any]:
    words: dict[str, Any] = {"MessageBody": text_of(message.body)}
    if message.delay is not None:
        words["DelaySeconds"] = _seconds(message.delay)
    if message.attributes:
        words["MessageAttributes"] = attributes(message.attributes)
    if message.group is not None:
        words["MessageGroupId"] = message.group
    if message.deduplication_id is not None:
        words["MessageDeduplicationId"] = message.deduplication_id
    elif ctx.params.queue_url.endswith(".fifo"):
        words["MessageDeduplicationId"] = deduplication(ctx, index)
    return words


def _receive(aws: Any, params: AwsSqsParams) -> list[Json]:
    words: dict[str, Any] = {"MaxNumberOfMessages": params.limit, "WaitTimeSeconds": _seconds(params.wait)}
    if params.visibility is not None:
        words["VisibilityTimeout"] = _seconds(params.visibility)
    answer = aws.receive_message(
        QueueUrl=params.queue_url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"], **words
    )
    messages = answer.get("Messages", [])
    if params.delete and messages:
        _delete(aws, params.queue_url, [one["ReceiptHandle"] for one in messages])
    return [_received(one) for one in messages]


def _received(message: Mapping[str, Any]) -> dict[str, Json]:
    system = message.get("Attributes", {})
    return {
        "id": message["MessageId"],
        "receipt": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": read_attributes(message.get("MessageAttributes", {})),
        "sent_at": int(system.get("SentTimestamp") or 0),
        "received": int(system.get("ApproximateReceiveCount") or 1),
        "group": system.get("MessageGroupId"),
    }


def _delete(aws: Any, queue: str, receipts: list[str]) -> int:
    for start, some in _batches(receipts):
        entries = [{"Id": str(start + at), "ReceiptHandle": receipt} for at, receipt in enumerate(some)]
        _check(aws.delete_message_batch(QueueUrl=queue, Entries=entries), "receipt", done=start)
    return len(receipts)


def _check(answer: Mapping[str, Any], what: str, done: int) -> None:
    """Raises `StepError` when a part of a batch was refused."""
    failed = answer.get("Failed", ())
    if failed:
        first = failed[0]
        code = str(first["Code"])
        raise StepError(
            f"AWS: {what} {first['Id']} was refused: {str(first.get('Message') or code)[:500]}",
            code=f"Aws:{code[:100]}",
            retryable=not first.get("SenderFault", True) or code in THROTTLED,
            failed=[int(one["Id"]) for one in failed],
            done=done,
        )


def _batches(entries: list[Any]) -> Iterator[tuple[int, list[Any]]]:
    for start in range(0, len(entries), BATCH):
        yield start, entries[start : start + BATCH]


def _seconds(millis: int) -> int:
    return -(-millis // 1000)
