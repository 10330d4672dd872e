"""Calling the AWS accounts of flows. botocore is imported when a step runs.

botocore writes, signs and reads; it does not send. Every request goes through the guarded HTTP client of the step, in
the place of botocore's own, so that an endpoint is checked like any other address. The credentials are the step's:
nothing is taken from the process, its environment, its files or the metadata service, which hold the keys of whoever
runs this server.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from flowrunner.errors import ParamsInvalid, StepError
from flowrunner.nodes.base import Context, Params
from flowrunner.nodes.fields import Period, presence
from flowrunner.nodes.http_errors import retry_after
from flowrunner.ports.http import HttpRequest

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.session import Session

SERVICES = ("events", "lambda", "s3", "sns", "sqs", "sts")
MAX_RECEIVED = 32 * 1024 * 1024
"""Bytes of one answer."""

THROTTLED = frozenset(
    {
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
        *("TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown"),
        *(
            "BandwidthLimitExceeded",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "TransactionInProgressException",
        ),
        *("EC2ThrottledException", "RequestTimeout", "RequestTimeoutException", "KmsThrottled", "InternalException"),
    }
)
"""Codes after which the same may succeed (AWS SDKs and Tools Reference Guide, "Retry behavior")."""

_NOT_SENT = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "x-amzn-trace-id"})
"""What the HTTP client writes itself, and what would tell of the invocation that this step runs in."""

_making = Lock()


class AwsCredentials(Params):
    """Keys of an IAM user, or temporary ones; with a role, they are used to assume it."""

    access_key_id: str = Field(min_length=1, max_length=128, description="Of an IAM user, or of a session.")
    secret_access_key: str = Field(min_length=1, max_length=256, description="From the vault: ${secrets.NAME}.")
    session_token: str | None = Field(None, min_length=1, max_length=16_384, description="Of temporary credentials.")
    role_arn: str | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$",
        max_length=600,
        description="A role that is assumed with the keys; the call is then made as this role.",
    )
    external_id: str | None = Field(
        None,
        min_length=2,
        max_length=1224,
        pattern=r"^[A-Za-z0-9_+=,.@:/-]+$",
        description="What the role's trust policy asks for, if it does.",
    )

    @model_validator(mode="after")
    def _of_a_role(self) -> Self:
        if self.external_id is not None and self.role_arn is None:
            raise presence("`external_id` needs a `role_arn`")
        return self


class AwsParams(Params):
    """What all calls of AWS need."""

    region: str = Field(pattern=r"^[a-z]{2}[a-z0-9-]{3,30}$", description="Like eu-west-1.")
    credentials: AwsCredentials = Field(description="{access_key_id, secret_access_key, session_token, role_arn}.")
    endpoint_url: str | None = Field(None, description="Another place than AWS's own that speaks the same protocol.")
    timeout: Period = Field(
        30_000, description="For all of it; like 500ms or 1m, or in seconds.", json_schema_extra={"default": "30s"}
    )


@contextmanager
def client(ctx: Context[Any], service: str) -> Iterator[Any]:
    """A client of botocore's for a service, as the step's parameters (`AwsParams`) say.

    Raises `StepError` with code `Aws:<Code>` for what AWS refuses, `InvalidResponse` for an answer that is none of
    AWS, `ParamsInvalid` for what it would never take, and what the guarded HTTP client raises.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
    except ImportError as error:
        raise StepError("the AWS SDK (the package boto3) is not installed here", code="NotInstalled") from error
    wire = _Wire(ctx)
    try:
        keys = _keys(ctx, wire)
        yield wire.client(service, keys)
    except ClientError as error:
        raise failure(error.response, ctx.now()) from None
    except (ResponseParserError, AttributeError, LookupError, TypeError, ValueError) as error:
        # botocore checks little of what it reads: a field that is missing or of another kind ends like this.
        raise StepError(f"the answer is not one of AWS ({type(error).__name__})", code="InvalidResponse") from error
    except BotoCoreError as error:
        raise ParamsInvalid(" ".join(str(error).split())[:1_000]) from None


def failure(response: Mapping[str, Any], now: int) -> StepError:
    """What a flow sees of an error that AWS answered with."""
    error, about = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, status = str(error.get("Code") or "Unknown"), int(about.get("HTTPStatusCode") or 0)
    headers = about.get("HTTPHeaders") or {}
    details: dict[str, Any] = {
        "status": status,
        "request_id": about.get("RequestId") or headers.get("x-amzn-requestid"),
    }
    return StepError(
        f"AWS: {str(error.get('Message') or code)[:1_000]}",
        code=f"Aws:{code[:100]}",
        retryable=status >= 500 or status == 429 or code in THROTTLED,
        retry_after=retry_after(headers, now),
        **{name: value for name, value in details.items() if value},
    )


def _keys(ctx: Context[Any], wire: _Wire) -> Mapping[str, Any]:
    """The credentials of the call: those given, or those of the role that they may assume."""
    given: AwsCredentials = ctx.params.credentials
    keys = {
        "aws_access_key_id": given.access_key_id,
        "aws_secret_access_key": given.secret_access_key,
        "aws_session_token": given.session_token,
    }
    if given.role_arn is None:
        return keys
    # Shown in the other account's log (CloudTrail): which run this is.
    name = f"flowrunner-{hashlib.sha256(ctx.run.id.encode()).hexdigest()[:16]}"
    words = {"RoleArn": given.role_arn, "RoleSessionName": name, "DurationSeconds": 900}
    if given.external_id is not None:
        words["ExternalId"] = given.external_id
    assumed = wire.client("sts", keys).assume_role(**words)["Credentials"]
    return {
        "aws_access_key_id": assumed["AccessKeyId"],
        "aws_secret_access_key": assumed["SecretAccessKey"],
        "aws_session_token": assumed["SessionToken"],
    }


class _Wire:
    """Makes clients whose requests go through the step's HTTP client."""

    def __init__(self, ctx: Context[Any]) -> None:
        self._ctx = ctx
        self._params: AwsParams = ctx.params
        self._seconds = min(self._params.timeout / 1000, ctx.time_left())
        self._deadline = time.monotonic() + self._seconds

    def client(self, service: str, keys: Mapping[str, Any]) -> Any:
        from botocore.config import Config

        url = self._params.endpoint_url
        settings: dict[str, Any] = {"ignore_configured_endpoint_urls": True}  # boto3-stubs do not know it
        config = Config(
            **settings,
            signature_version="s3v4" if service == "s3" else None,  # links would be signed in the old way
            retries={"mode": "standard", "total_max_attempts": 1},  # trying again is the flow's: `retry`
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Another server has rarely a host name for each bucket.
            s3={"addressing_style": "path" if url else "virtual", "us_east_1_regional_endpoint": "regional"},
        )
        with _making:
            try:
                made = _session().create_client(
                    service, region_name=self._params.region, endpoint_url=url, config=config, **keys
                )
            except ValueError as error:
                raise ParamsInvalid(f"endpoint_url: {str(error)[:200]}") from None
        events: Any = made.meta.events  # a handler may answer, which the types do not say
        events.register_first("before-send", self._send)
        return made

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        from botocore.awsrequest import AWSResponse

        response = self._ctx.http.send(
            HttpRequest(
                method=request.method,
                url=request.url,
                headers=[
                    (name, _text(value)) for name, value in request.headers.items() if name.lower() not in _NOT_SENT
                ],
                content=_content(request.body),
                timeout=max(self._deadline - time.monotonic(), 0.001),
                max_bytes=MAX_RECEIVED,
                allow=self._ctx.egress,
                stop=self._ctx.cancelled,
            )
        )
        headers = dict(response.headers)
        if request.method != "HEAD":  # the body may have been unpacked on the way
            headers.pop("content-length", None)
        return AWSResponse(request.url, response.status, _headers(headers), _Body(response.content))


class _Body(io.BytesIO):
    """An answer's body as botocore reads one."""

    def stream(self, amount: int = 65_536, **_: Any) -> Iterator[bytes]:
        while piece := self.read(amount):
            yield piece


def _headers(headers: Mapping[str, str]) -> Any:
    from botocore.awsrequest import HeadersDict

    return HeadersDict(headers)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _content(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str | bytearray):
        return body.encode() if isinstance(body, str) else bytes(body)
    content: bytes = body.read()
    return content


@cache
def _session() -> Session:
    """The session for all flows: it knows no credentials, and reads neither environment nor files."""
    from botocore.configprovider import (
        BOTOCORE_DEFAUT_SESSION_VARIABLES,
        DEFAULT_S3_CONFIG_VARS,
        ConfigChainFactory,
        ConfigValueStore,
        SectionConfigProvider,
    )
    from botocore.loaders import Loader
    from botocore.session import Session

    class Models(Loader):
        """Looks into no folders of the home directory, and not through all services for one."""

        def list_available_services(self, type_name: str) -> list[str]:
            return list(SERVICES)

    session = Session()
    vars(session)["_config"] = {"profiles": {}}  # else it is read from the home directory
    factory = ConfigChainFactory(session=session, environ={})

    def chains(table: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: factory.create_config_chain(
                instance_name=name,
                env_var_names=entry[1],
                config_property_names=entry[0],
                default=entry[2],
                conversion_func=entry[3],
            )
            for name, entry in table.items()
        }

    mapping = chains(BOTOCORE_DEFAUT_SESSION_VARIABLES)
    mapping["s3"] = SectionConfigProvider("s3", session, chains(DEFAULT_S3_CONFIG_VARS))
    session.register_component("config_store", ConfigValueStore(mapping=mapping))
    models = Models([Models.BUILTIN_DATA_PATH], include_default_search_paths=False)
    session.register_component("data_loader", models)
    return session
