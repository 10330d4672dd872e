"""Invoking functions of AWS Lambda."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

from pydantic import Field

from flowrunner.core.flow import Json
from flowrunner.errors import StepError
from flowrunner.nodes.aws_client import AwsParams, client
from flowrunner.nodes.base import Context, NodeType, Output
from flowrunner.nodes.fields import given
from flowrunner.nodes.http_sending import json_text
from flowrunner.nodes.json_parse import parse_json

SHOWN = 4_096
"""Characters of what a function's error says, and of its log."""


class AwsLambdaParams(AwsParams):
    """Parameters of `aws.lambda`."""

    function: str = Field(pattern=r"^[A-Za-z0-9_.:$-]{1,256}$", description="Name or ARN.")
    qualifier: str | None = Field(None, min_length=1, max_length=128, description="A version or alias.")
    payload: Json = Field(None, description="What the function is given; left out: the node's input.")
    invocation: Literal["wait", "event"] = Field("wait", description="event: Lambda calls it later; no answer.")
    client_context: dict[str, Json] | None = Field(None, description="Passed on beside the payload.")


class AwsLambdaOutput(Output):
    """What came of it."""

    payload: Json = Field(None, description="What the function gave; null with `invocation: event`.")
    status: int = Field(description="200, or 202 for an event.")
    version: str | None = Field(None, description="The version that was executed.")


class AwsLambdaNode(NodeType[AwsLambdaParams]):
    """Invokes a function of AWS Lambda.

    A function that fails, fails the step with `FunctionError`: its `details` hold `type`, `function_message` and `log`,
    the last 4 KB of what it wrote. What it gives travels along the edge.

    A call that was given up by `timeout` may still be executed to its end.

    The credentials are the flow's own, never those of the server. What AWS refuses fails the step with `Aws:<Code>`
    (retryable when it throttles or is broken); an answer that is none of AWS, with `InvalidResponse`; no connection,
    with `HttpConnect`, and too late, with `NodeTimeout` (both retryable). Each request goes through the egress guard
    (`EGRESS_DENIED`).
    """

    name = "aws.lambda"
    params = AwsLambdaParams
    output = AwsLambdaOutput
    category = "network"
    icon = "cloud"
    payload = "payload"
    example = """\
type: aws.lambda
params:
  region: eu-west-1
  credentials: {access_key_id: "${secrets.AWS_KEY_ID}", secret_access_key: "${secrets.AWS_SECRET_KEY}"}
  function: resize-image
  payload: {image: "${input.image}", width: 640}
  timeout: 50s
"""

    def execute(self, ctx: Context[AwsLambdaParams]) -> AwsLambdaOutput:
        params = ctx.params
        wait = params.invocation == "wait"
        words: dict[str, Any] = {
            "FunctionName": params.function,
            "InvocationType": "RequestResponse" if wait else "Event",
            "Payload": json_text(given(params, "payload", ctx.input)).encode(),
        }
        if wait:
            words["LogType"] = "Tail"
        if params.qualifier is not None:
            words["Qualifier"] = params.qualifier
        if params.client_context is not None:
            words["ClientContext"] = base64.b64encode(json_text(params.client_context).encode()).decode()
        with client(ctx, "lambda") as aws:
            answer = aws.invoke(**words)
            text = answer["Payload"].read().decode("utf-8", "replace")
        payload = _parsed(text)
        if answer.get("FunctionError"):
            raise _function_error(payload, answer)
        return AwsLambdaOutput(payload=payload, status=answer["StatusCode"], version=answer.get("ExecutedVersion"))


def _parsed(text: str) -> Json:
    if not text.strip():
        return None
    try:
        return parse_json(text)
    except StepError as error:
        raise StepError(f"what the function gave is {error.message}", code="InvalidResponse") from None


def _function_error(payload: Json, answer: dict[str, Any]) -> StepError:
    told = payload if isinstance(payload, dict) else {}
    kind, message = str(told.get("errorType") or answer["FunctionError"]), str(told.get("errorMessage") or "")
    try:
        log = base64.b64decode(answer.get("LogResult") or "").decode("utf-8", "replace")
    except binascii.Error:
        log = ""
    return StepError(
        f"the function failed: {kind[:200]}" + (f": {message[:1_000]}" if message else ""),
        code="FunctionError",
        type=kind[:200],
        function_message=message[:SHOWN],
        log=log[-SHOWN:],
    )
