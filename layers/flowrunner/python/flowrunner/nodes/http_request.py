"""HTTP requests."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, model_validator

from flowrunner.core.durations import parse_duration
from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.http_errors import read_body, status_error
from flowrunner.ports.http import HttpRequest

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing on the other side (RFC 9110, 9.2.1) and so need no idempotency key."""

Scalar = str | int | float | bool | None
Duration = Annotated[int, BeforeValidator(parse_duration)]


class BasicAuth(Params):
    username: str
    password: str


class HttpAuth(Params):
    basic: BasicAuth | None = None
    bearer: str | None = None
    header: dict[str, str] | None = Field(None, description="Any header with a credential, such as X-Api-Key.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.basic, self.bearer, self.header)) != 1:
            raise ValueError("give exactly one of `basic`, `bearer` and `header`")
        return self


class HttpRequestParams(Params):
    url: str = Field(min_length=1, max_length=8192, description="http:// or https://")
    method: str = Field("GET", pattern=r"^[A-Za-z]{1,20}$")
    headers: dict[str, Scalar] = Field(default_factory=dict)
    query: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict, description="Added to the URL's own.")
    json_: Json = Field(None, alias="json", description="Sent as application/json.")
    form: dict[str, Scalar] | None = Field(None, description="Sent as application/x-www-form-urlencoded.")
    multipart: dict[str, Json] | None = Field(
        None, description="Fields; a file is {filename, content, content_type}, content a text or {$bytes}."
    )
    body: Json = Field(None, description='Sent as it is: a text, or {"$bytes": base64}.')
    auth: HttpAuth | None = None
    timeout: Duration = Field(30_000, gt=0, description="For the whole exchange.")
    follow_redirects: bool = True
    response: Literal["auto", "json", "text", "bytes"] = Field("auto", description="How the body is read.")
    expect_status: list[Annotated[int | str, Field(union_mode="left_to_right")]] = Field(
        default_factory=lambda: ["2xx", "3xx"], description="Statuses that are no failure: numbers, or like 2xx."
    )

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        given = [name for name in ("json_", "form", "multipart", "body") if name in self.model_fields_set]
        if len(given) > 1:
            raise ValueError("give one of `json`, `form`, `multipart` and `body`")
        return self


class HttpResponseOutput(Output):
    status: int
    headers: dict[str, str]
    body: Json
    url: str
    elapsed_ms: int


class HttpRequestNode(NodeType[HttpRequestParams]):
    """Sends an HTTP request.

    Along the edge goes the response body; `nodes.<id>.output` also has status and headers. A status that is not
    expected fails the step with `HttpStatus:<n>`, with status, headers and the first 4 KiB of the body in
    `error.details`; 408, 425, 429 and 5xx are retryable, and `Retry-After` is honoured. Methods that change something
    carry an `Idempotency-Key`, the same on every retry. Private addresses cannot be reached (see docs/security.md).
    """

    name = "http.request"
    params = HttpRequestParams
    output = HttpResponseOutput
    category = "network"
    icon = "globe"
    payload = "body"
    example = """\
type: http.request
params:
  url: https://api.example.com/orders/${input.order_id}
  headers: {Authorization: "Bearer ${secrets.API_KEY}"}
retry: {max_attempts: 4, delay: 500ms}
"""

    def execute(self, ctx: Context[HttpRequestParams]) -> Result:
        params = ctx.params
        method = params.method.upper()
        headers = {name: _text(value) for name, value in params.headers.items() if value is not None}
        content, content_type = _content(params)
        names = {name.lower() for name in headers}
        if content_type and "content-type" not in names:
            headers["Content-Type"] = content_type
        if method not in SAFE and "idempotency-key" not in names:
            headers["Idempotency-Key"] = ctx.run.idempotency_key
        if "user-agent" not in names:
            headers["User-Agent"] = "flowrunner"
        secret_headers = _authorize(headers, params.auth)
        response = ctx.http.send(
            HttpRequest(
                method=method,
                url=_with_query(params.url, params.query),
                headers=tuple(headers.items()),
                content=content,
                timeout=min(params.timeout / 1000, ctx.time_left()),
                max_redirects=5 if params.follow_redirects else 0,
                allow=ctx.egress,
                sensitive_headers=secret_headers,
            )
        )
        if not _expected(response.status, params.expect_status):
            raise status_error(response, ctx.now())
        return Result(
            {
                "status": response.status,
                "headers": dict(response.headers),
                "body": None if method == "HEAD" else read_body(response, params.response),
                "url": response.url,
                "elapsed_ms": round(response.elapsed * 1000),
            }
        )


def _authorize(headers: dict[str, str], auth: HttpAuth | None) -> frozenset[str]:
    """Add the credentials; answers the names of headers that must not follow to another origin."""
    if auth is None:
        return frozenset()
    if auth.basic is not None:
        pair = f"{auth.basic.username}:{auth.basic.password}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
    elif auth.bearer is not None:
        headers["Authorization"] = f"Bearer {auth.bearer}"
    headers.update(auth.header or {})
    return frozenset(name.lower() for name in auth.header or {})


def _content(params: HttpRequestParams) -> tuple[bytes | None, str | None]:
    given = params.model_fields_set
    if "json_" in given:
        return json.dumps(params.json_, ensure_ascii=False).encode(), "application/json"
    if params.form is not None:
        fields = {name: _text(value) for name, value in params.form.items() if value is not None}
        return urlencode(fields).encode(), "application/x-www-form-urlencoded"
    if params.multipart is not None:
        return _multipart(params.multipart)
    if "body" not in given or params.body is None:
        return None, None
    if isinstance(params.body, str):
        return params.body.encode(), "text/plain; charset=utf-8"
    return _bytes(params.body, "body"), "application/octet-stream"


def _multipart(fields: dict[str, Json]) -> tuple[bytes, str]:
    """A multipart/form-data body (RFC 7578)."""
    boundary = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(fields, sort_keys=True, default=str)).hex
    body = bytearray()
    for name, value in fields.items():
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        content = value
        if isinstance(value, dict) and "content" in value:
            head += f'; filename="{_quoted(str(value.get("filename", name)))}"'
            head += f"\r\nContent-Type: {_quoted(str(value.get('content_type', 'application/octet-stream')))}"
            content = value["content"]
        data = content.encode() if isinstance(content, str) else _part(content, name)
        body += f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
    return bytes(body + f"--{boundary}--\r\n".encode()), f"multipart/form-data; boundary={boundary}"


def _part(content: Json, name: str) -> bytes:
    if isinstance(content, dict) and "$bytes" in content:
        return _bytes(content, f"multipart.{name}")
    return json.dumps(content, ensure_ascii=False).encode()


def _bytes(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value["$bytes"], validate=True)
    except (TypeError, KeyError, binascii.Error):
        raise ParamsInvalid(f'{where} is a text, or {{"$bytes": base64}}') from None


def _quoted(text: str) -> str:
    """Text inside a quoted header parameter: quotes and line ends percent-encoded (WHATWG, form submission)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _with_query(url: str, query: dict[str, Scalar | list[Scalar]]) -> str:
    pairs = [
        (name, _text(item))
        for name, value in query.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    if not pairs:
        return url
    parts = urlsplit(url)
    joined = "&".join(part for part in (parts.query, urlencode(pairs)) if part)
    return urlunsplit(parts._replace(query=joined))


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expected(status: int, expected: list[int | str]) -> bool:
    return any(str(status) == str(want) or f"{status // 100}xx" == str(want).lower() for want in expected)
