"""Objects of Amazon S3, and of what speaks its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.aws_client import AwsParams, client
from flowrunner.nodes.aws_messages import decoded
from flowrunner.nodes.base import Context, NodeType, Params, Result
from flowrunner.nodes.fields import Period, given, presence, refuse_useless
from flowrunner.nodes.http_errors import read_body
from flowrunner.nodes.http_sending import json_text
from flowrunner.ports.http import HttpResponse

_EVERYWHERE = frozenset({"op", "bucket", "region", "credentials", "endpoint_url", "timeout"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "get": frozenset({"key", "version", "format"}),
    "put": frozenset({"key", "body", "content_type", "metadata", "cache_control", "storage_class", "only_if_absent"}),
    "delete": frozenset({"key", "version"}),
    "head": frozenset({"key", "version"}),
    "copy": frozenset({"key", "source"}),
    "list": frozenset({"prefix", "delimiter", "after", "limit"}),
    "presign": frozenset({"key", "method", "expires"}),
}
"""What each operation has a use for; any other parameter is a mistake that would go unnoticed."""


class Source(Params):
    """The object that is copied."""

    bucket: str | None = Field(None, min_length=3, max_length=63, description="Left out: the same.")
    key: str = Field(min_length=1, max_length=1024, description="Its name.")
    version: str | None = Field(None, min_length=1, max_length=1024, description="Left out: the latest.")


class AwsS3Params(AwsParams):
    """Parameters of `aws.s3`."""

    op: Literal["get", "put", "delete", "head", "copy", "list", "presign"] = Field(description="What to do.")
    bucket: str = Field(min_length=3, max_length=255, description="Name, or the ARN of an access point.")
    key: str | None = Field(None, min_length=1, max_length=1024, description="The object's name; not for list.")
    version: str | None = Field(None, min_length=1, max_length=1024, description="get, head, delete: one version.")
    format: Literal["auto", "json", "text", "bytes"] = Field(
        "auto", description="get: how the content is read; auto: by its content type."
    )
    body: Json = Field(
        None, description="put: text, {$bytes: base64}, or a value, which is put as JSON; left out: the node's input."
    )
    content_type: str | None = Field(
        None, pattern=r"^[\x21-\x7e][\x20-\x7e]{0,254}$", description="put; left out: by the body."
    )
    metadata: dict[str, str] = Field({}, description="put: what is kept with the object.")
    cache_control: str | None = Field(None, pattern=r"^[\x20-\x7e]{1,255}$", description="put: for browsers.")
    storage_class: str | None = Field(None, pattern=r"^[A-Z_]{1,64}$", description="put: like STANDARD_IA.")
    only_if_absent: bool = Field(False, description="put: fail (`Aws:PreconditionFailed`) when there is an object.")
    source: Source | None = Field(None, description="copy: {bucket, key} of what is copied.")
    prefix: str = Field("", max_length=1024, description="list: only keys that start with it.")
    delimiter: str = Field("", max_length=16, description="list: keys that go on after it are given as `prefixes`.")
    after: str = Field("", max_length=1024, description="list: only keys behind this one.")
    limit: int = Field(100, ge=1, le=1000, description="list: how many at most.")
    method: Literal["get", "put"] = Field("get", description="presign: what the link is for.")
    expires: Period = Field(
        3_600_000, le=604_800_000, description="presign: how long it holds.", json_schema_extra={"default": "1h"}
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        useful = _FIELDS[self.op]
        refuse_useless(self, self.op, useful, _EVERYWHERE)
        if "key" in useful and self.key is None:
            raise presence(f"{self.op} needs a `key`")
        if self.op == "copy" and self.source is None:
            raise presence("copy needs a `source`")
        return self


class AwsS3Node(NodeType[AwsS3Params]):
    """Reads, writes, lists and copies objects of Amazon S3, or makes links to them.

    Outputs: `get` → `{body, size, content_type, metadata, etag, version}`, `put` and `copy` → `{key, etag, version}`,
    `delete` → `{key}` (whether there was an object or not), `head` → `{exists, size, content_type, metadata, etag,
    version, modified}`, `list` → `{objects: [{key, size, etag, modified}], prefixes, more}` in the order of the keys
    (pass the last key as `after` when there are `more`), `presign` → `{url, expires_at}`. Times are in milliseconds.

    An object that is not there fails `get` with `Aws:NoSuchKey`. An object may have 32 MiB. A link needs no request;
    whoever has it can use it until it expires, so treat it like a password.

    The credentials are the flow's own, never those of the server. What AWS refuses fails the step with `Aws:<Code>`
    (retryable when it throttles or is broken); an answer that is none of AWS, with `InvalidResponse`; no connection,
    with `HttpConnect`, and too late, with `NodeTimeout` (both retryable). Each request goes through the egress guard
    (`EGRESS_DENIED`).
    """

    name = "aws.s3"
    params = AwsS3Params
    category = "network"
    icon = "archive"
    example = """\
type: aws.s3
params:
  region: eu-west-1
  credentials: {access_key_id: "${secrets.AWS_KEY_ID}", secret_access_key: "${secrets.AWS_SECRET_KEY}"}
  op: put
  bucket: reports
  key: "orders/${input.id}.json"
  body: "${input}"
"""

    def execute(self, ctx: Context[AwsS3Params]) -> Result:
        params = ctx.params
        with client(ctx, "s3") as aws:
            match params.op:
                case "get":
                    return Result(_get(aws, params))
                case "put":
                    return Result(_put(aws, params, given(params, "body", ctx.input)))
                case "delete":
                    aws.delete_object(**_place(params))
                    return Result({"key": params.key})
                case "head":
                    return Result(_head(aws, params))
                case "copy":
                    return Result(_copy(aws, params))
                case "list":
                    return Result(_list(aws, params))
                case "presign":
                    return Result(_presign(aws, params, ctx.now()))


def _place(params: AwsS3Params) -> dict[str, Any]:
    words: dict[str, Any] = {"Bucket": params.bucket, "Key": params.key}
    return words if params.version is None else words | {"VersionId": params.version}


def _get(aws: Any, params: AwsS3Params) -> dict[str, Json]:
    answer = aws.get_object(**_place(params))
    content = answer["Body"].read()
    kind = answer.get("ContentType", "")
    read = HttpResponse(200, {"content-type": kind}, content, f"s3://{params.bucket}")
    return {"body": read_body(read, params.format), "size": len(content), **_about(answer)}


def _about(answer: Mapping[str, Any]) -> dict[str, Json]:
    return {
        "content_type": answer.get("ContentType"),
        "metadata": answer.get("Metadata", {}),
        "etag": _etag(answer),
        "version": answer.get("VersionId"),
    }


def _put(aws: Any, params: AwsS3Params, body: Json) -> dict[str, Json]:
    content, kind = _content(body)
    words = {
        "ContentType": params.content_type or kind,
        "CacheControl": params.cache_control,
        "StorageClass": params.storage_class,
        "IfNoneMatch": "*" if params.only_if_absent else None,
        "Metadata": params.metadata or None,
    }
    given_words = {name: value for name, value in words.items() if value is not None}
    answer = aws.put_object(**_place(params), Body=content, **given_words)
    return {"key": params.key, "etag": _etag(answer), "version": answer.get("VersionId")}


def _content(body: Json) -> tuple[bytes, str]:
    match body:
        case str():
            return body.encode("utf-8", "replace"), "text/plain; charset=utf-8"
        case {"$bytes": str(text), **rest} if not rest:
            return decoded(text, "body"), "application/octet-stream"
    return json_text(body).encode(), "application/json"


def _head(aws: Any, params: AwsS3Params) -> dict[str, Json]:
    from botocore.exceptions import ClientError

    try:
        answer = aws.head_object(**_place(params))
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
            raise
        return {"exists": False}
    modified = int(answer["LastModified"].timestamp() * 1000)
    return {"exists": True, "size": answer.get("ContentLength"), **_about(answer), "modified": modified}


def _copy(aws: Any, params: AwsS3Params) -> dict[str, Json]:
    assert params.source is not None, "the model has seen to it"
    source = {"Bucket": params.source.bucket or params.bucket, "Key": params.source.key}
    if params.source.version is not None:
        source["VersionId"] = params.source.version
    answer = aws.copy_object(**_place(params), CopySource=source)
    return {"key": params.key, "etag": _etag(answer.get("CopyObjectResult", {})), "version": answer.get("VersionId")}


def _list(aws: Any, params: AwsS3Params) -> dict[str, Json]:
    words = {"Prefix": params.prefix, "Delimiter": params.delimiter, "StartAfter": params.after}
    answer = aws.list_objects_v2(
        Bucket=params.bucket, MaxKeys=params.limit, **{name: value for name, value in words.items() if value}
    )
    objects = [
        {
            "key": one["Key"],
            "size": one["Size"],
            "etag": _etag(one),
            "modified": int(one["LastModified"].timestamp() * 1000),
        }
        for one in answer.get("Contents", ())
    ]
    prefixes = [one["Prefix"] for one in answer.get("CommonPrefixes", ())]
    return {"objects": objects, "prefixes": prefixes, "more": bool(answer.get("IsTruncated"))}


def _presign(aws: Any, params: AwsS3Params, now: int) -> dict[str, Json]:
    url = aws.generate_presigned_url(
        f"{params.method}_object",
        Params={"Bucket": params.bucket, "Key": params.key},
        ExpiresIn=max(params.expires // 1000, 1),
    )
    return {"url": url, "expires_at": now + params.expires}


def _etag(answer: Mapping[str, Any]) -> str | None:
    tag = answer.get("ETag")
    return tag.strip('"') if isinstance(tag, str) else None
