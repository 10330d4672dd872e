"""Publishing to Amazon SNS."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.aws_client import AwsParams, client
from flowrunner.nodes.aws_messages import Attributes, attributes, deduplication, text_of
from flowrunner.nodes.base import Context, NodeType, Output
from flowrunner.nodes.fields import given, presence


class AwsSnsParams(AwsParams):
    """Parameters of `aws.sns`."""

    topic_arn: str | None = Field(None, min_length=1, max_length=512, description="The topic; of a FIFO one, too.")
    target_arn: str | None = Field(None, min_length=1, max_length=512, description="Instead: one endpoint of an app.")
    phone_number: str | None = Field(None, pattern=r"^\+[0-9]{4,15}$", description="Instead: a text message to it.")
    message: Json = Field(None, description="Text, or a value, which is sent as JSON; left out: the node's input.")
    per_protocol: dict[str, str] | None = Field(
        None, description="Other texts for some protocols: {email: …, sqs: …}; `message` is for all others."
    )
    subject: str | None = Field(None, min_length=1, max_length=100, description="Of mails.")
    attributes: Attributes = Field({}, description="For filters of subscriptions: texts, numbers, lists or {$bytes}.")
    group: str | None = Field(None, min_length=1, max_length=128, description="FIFO: messages of one stay in order.")
    deduplication_id: str | None = Field(
        None, min_length=1, max_length=128, description="FIFO; left out: the step's own, so that a retry adds none."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(one is not None for one in (self.topic_arn, self.target_arn, self.phone_number)) != 1:
            raise presence("give one of `topic_arn`, `target_arn` and `phone_number`")
        if self.group is None and self.deduplication_id is not None:
            raise presence("`deduplication_id` is of FIFO topics, which need a `group`")
        return self


class AwsSnsOutput(Output):
    """What SNS said."""

    message_id: str = Field(description="Of SNS.")
    sequence_number: str | None = Field(None, description="Of a FIFO topic.")


class AwsSnsNode(NodeType[AwsSnsParams]):
    """Publishes a message to Amazon SNS: a topic, one device, or a telephone number.

    The credentials are the flow's own, never those of the server. What AWS refuses fails the step with `Aws:<Code>`
    (retryable when it throttles or is broken); an answer that is none of AWS, with `InvalidResponse`; no connection,
    with `HttpConnect`, and too late, with `NodeTimeout` (both retryable). Each request goes through the egress guard
    (`EGRESS_DENIED`).
    """

    name = "aws.sns"
    params = AwsSnsParams
    output = AwsSnsOutput
    category = "network"
    icon = "megaphone"
    example = """\
type: aws.sns
params:
  region: eu-west-1
  credentials: {access_key_id: "${secrets.AWS_KEY_ID}", secret_access_key: "${secrets.AWS_SECRET_KEY}"}
  topic_arn: arn:aws:sns:eu-west-1:123456789012:orders
  message: {order: "${input.id}", state: paid}
  attributes: {state: paid}
"""

    def execute(self, ctx: Context[AwsSnsParams]) -> AwsSnsOutput:
        params = ctx.params
        text = text_of(given(params, "message", ctx.input))
        words: dict[str, Any] = {"Message": text}
        if params.per_protocol is not None:
            words |= {"Message": text_of({**params.per_protocol, "default": text}), "MessageStructure": "json"}
        places = {"TopicArn": params.topic_arn, "TargetArn": params.target_arn, "PhoneNumber": params.phone_number}
        words |= {name: value for name, value in places.items() if value is not None}
        if params.subject is not None:
            words["Subject"] = params.subject
        if params.attributes:
            words["MessageAttributes"] = attributes(params.attributes, lists=True)
        if params.group is not None:
            words |= {
                "MessageGroupId": params.group,
                "MessageDeduplicationId": params.deduplication_id or deduplication(ctx),
            }
        with client(ctx, "sns") as aws:
            answer = aws.publish(**words)
        return AwsSnsOutput(message_id=answer["MessageId"], sequence_number=answer.get("SequenceNumber"))
