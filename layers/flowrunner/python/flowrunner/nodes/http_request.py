"""HTTP requests."""

from __future__ import annotations

import base64
from typing import Annotated, Literal, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, model_validator

from flowrunner.core.flow import Json
from flowrunner.nodes.base import Context, NodeType, Output, Params, Result
from flowrunner.nodes.fields import Duration
from flowrunner.nodes.http_body import as_content, form, multipart
from flowrunner.nodes.http_errors import read_body, status_error
from flowrunner.nodes.http_sending import USER_AGENT, Scalar, json_text, merged_headers, scalar_text
from flowrunner.ports.http import HttpRequest

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing on the other side (RFC 9110, 9.2.1) and so need no idempotency key."""

FOLLOWING = frozenset(
    {"accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-type"}
    | {"idempotency-key", "if-match", "if-modified-since", "if-none-match", "prefer", "range", "user-agent"}
)
"""Headers that go along when a redirect leads to another origin. An API key may be in any of the others."""

MAX_REDIRECTS = 5


def _status(value: int | str) -> str:
    text = str(value).lower()
    if len(text) != 3 or text[0] not in "12345" or not (text[1:].isdecimal() or text[1:] == "xx"):
        raise ValueError("a status is a number from 100 to 599, or a class like 2xx")
    return text


Status = Annotated[int | str, AfterValidator(_status)]


class BasicAuth(Params):
    """Name and password."""

    username: str = Field(pattern=r"^[^:]*$", description="Has no colon (RFC 7617).")
    password: str


class HttpAuth(Params):
    """One kind of credential."""

    basic: BasicAuth | None = None
    bearer: str | None = Field(None, min_length=1, description="A token, sent as `Authorization: Bearer`.")
    header: dict[str, str] | None = Field(None, min_length=1, description="Headers with a credential, like X-Api-Key.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.basic, self.bearer, self.header)) != 1:
            raise ValueError("give exactly one of `basic`, `bearer` and `header`")
        return self

    def headers(self) -> dict[str, str]:
        if self.basic is not None:
            pair = f"{self.basic.username}:{self.basic.password}".encode("utf-8", "replace")
            return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
        return self.header or {"Authorization": f"Bearer {self.bearer}"}


class HttpRequestParams(Params):
    """Parameters of `http.request`."""

    url: str = Field(min_length=1, max_length=8192, description="http:// or https://; ASCII, the rest encoded.")
    method: str = Field("GET", pattern=r"^[A-Za-z]{1,20}$")
    headers: dict[str, Scalar] = Field(default_factory=dict, description="A header that is null is left out.")
    query: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict, description="Added to the URL's own; null is left out, a list repeats the name."
    )
    json_: Json = Field(None, alias="json", description="Sent as application/json.")
    form: dict[str, Scalar] | None = Field(None, description="Sent as application/x-www-form-urlencoded.")
    multipart: dict[str, Json] | None = Field(
        None,
        description="Fields; a file is {filename, content, content_type}, with a text or {$bytes: base64}.",
    )
    body: Json = Field(None, description="Sent as it is: a text, or {$bytes: base64}.")
    auth: HttpAuth | None = Field(None, description="Not sent on to another origin by a redirect.")
    timeout: Duration = Field(
        30_000,
        gt=0,
        description="For the whole exchange, redirects included; like 500ms or 1m, or in seconds.",
        json_schema_extra={"default": "30s"},
    )
    follow_redirects: bool = Field(True, description=f"At most {MAX_REDIRECTS}, never from https to http.")
    response: Literal["auto", "json", "text", "bytes"] = Field(
        "auto", description="How the body is read; auto goes by its content type."
    )
    expect_status: list[Status] = Field(
        ["2xx", "3xx"],
        min_length=1,
        description="Statuses that are no failure: numbers, or classes like 2xx.",
    )

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if len(self.model_fields_set & {"json_", "form", "multipart", "body"}) > 1:
            raise ValueError("give one of `json`, `form`, `multipart` and `body`")
        return self


class HttpResponseOutput(Output):
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str] = Field(description="Names in lower case; values of a repeated one joined by commas.")
    body: Json = Field(description="A value, a text, {$bytes: base64}, or null when there is none.")
    url: str = Field(description="The one that answered, after redirects.")
    elapsed_ms: int


class HttpRequestNode(NodeType[HttpRequestParams]):
    """Sends an HTTP request.

    Along the edge goes the response body; `nodes.<id>.output` also has status and headers. A status that is
    not expected fails the step with `HttpStatus:<n>`, with status, headers and the first 4 KiB of the body in
    `error.details`; 408, 425, 429 and 5xx are retryable, and `Retry-After` is honoured up to a day. Methods
    that change something carry an `Idempotency-Key`, the same on every retry.

    Redirects are followed with each hop checked anew. To another origin only headers go along that are known
    to hold no credential (`Accept`, `Content-Type`, `User-Agent` and the like). `Host`, `Content-Length` and
    other headers that frame the message cannot be given.

    Only public addresses can be reached, on the ports 80, 443, 8080 and 8443, unless the setting
    `egress.allow` opens others; `egress.allow` of flow and node narrows them further. Anything else fails
    with `EGRESS_DENIED`. Without an answer the step fails with `HttpConnect` (retryable) or `NodeTimeout`
    (retryable), with a body that is too large with `VALUE_TOO_LARGE`, and with one that is not the JSON it
    should be with `InvalidResponse`.
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
        params, method = ctx.params, ctx.params.method.upper()
        content, content_type = _content(params)
        headers = merged_headers(
            {"User-Agent": USER_AGENT},
            {"Content-Type": content_type} if content_type else {},
            {} if method in SAFE else {"Idempotency-Key": ctx.run.idempotency_key},
            {name: scalar_text(value) for name, value in params.headers.items() if value is not None},
            params.auth.headers() if params.auth else {},
        )
        response = ctx.http.send(
            HttpRequest(
                method=method,
                url=_with_query(params.url, params.query),
                headers=tuple(headers.items()),
                content=content,
                timeout=min(params.timeout / 1000, ctx.time_left()),
                max_redirects=MAX_REDIRECTS if params.follow_redirects else 0,
                allow=ctx.egress,
                sensitive_headers=frozenset(map(str.lower, headers)) - FOLLOWING,
            )
        )
        if not {str(response.status), f"{response.status // 100}xx"} & set(map(str, params.expect_status)):
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


def _content(params: HttpRequestParams) -> tuple[bytes | None, str | None]:
    """The body and its type. Raises `ParamsInvalid`."""
    if "json_" in params.model_fields_set:
        return json_text(params.json_).encode(), "application/json"
    if params.form is not None:
        return form(params.form)
    if params.multipart is not None:
        return multipart(params.multipart)
    return (None, None) if params.body is None else as_content(params.body, "body")


def _with_query(url: str, query: dict[str, Scalar | list[Scalar]]) -> str:
    """The URL with `query` behind its own. It is not taken apart: that is the guard's to do."""
    pairs = [
        (name, scalar_text(item))
        for name, value in query.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    if not pairs:
        return url
    base, _, _ = url.partition("#")
    joint = "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
    return base + joint + urlencode(pairs, errors="replace")
