"""The node http.request: what it sends, what it makes of the answer, and what it refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from flowrunner.adapters.egress import Guard
from flowrunner.adapters.http import GuardedClient
from flowrunner.errors import EgressDenied, NodeTimeout, ParamsInvalid, StepError
from flowrunner.nodes.base import Result
from flowrunner.nodes.http_errors import retry_after
from flowrunner.nodes.http_request import HttpRequestNode, HttpRequestParams
from flowrunner.ports.http import HttpRequest, HttpResponse
from pydantic import ValidationError

from tests.nodes.context import NOW, RUN, FakeContext, FakeHttp, context
from tests.servers import Received, RecordingServer, Reply, redirect

NODE = HttpRequestNode()
URL = "https://api.example.com/orders"


def sent(params: dict[str, Any], **given: Any) -> HttpRequest:
    """The request that the node makes of these parameters."""
    http = FakeHttp()
    NODE.execute(context(NODE, {"url": URL, **params}, http=http, **given))
    return http.sent[0]


def headers(params: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in sent(params).headers}


def answered(answer: HttpResponse, params: dict[str, Any] | None = None) -> Any:
    """The output for an answer."""
    result = NODE.execute(context(NODE, {"url": URL, **(params or {})}, http=FakeHttp([answer])))
    return result.output


def body_of(content: bytes, content_type: str = "", response: str = "auto") -> Any:
    headers = {"content-type": content_type} if content_type else {}
    return answered(HttpResponse(200, headers, content, URL), {"response": response})["body"]


@pytest.fixture
def client() -> Iterator[GuardedClient]:
    """The real client, with loopback opened."""
    one = GuardedClient(Guard(["127.0.0.1"]))
    yield one
    one.close()


def test_sends_a_get_by_default() -> None:
    """A URL is enough; nothing is changed by a GET, so there is no idempotency key."""
    request = sent({})
    assert (request.method, request.url, request.content) == ("GET", URL, None)
    assert dict(request.headers) == {"User-Agent": "flowrunner"}
    assert (request.timeout, request.max_redirects, request.sensitive_headers) == (30.0, 5, frozenset())


@pytest.mark.parametrize(
    ("params", "content", "content_type"),
    [
        ({"json": {"a": ["ü", 1.5, None]}}, '{"a":["ü",1.5,null]}'.encode(), "application/json"),
        ({"json": None}, b"null", "application/json"),
        ({"json": "\ud800"}, b'"\\ud800"', "application/json"),
        (
            {"form": {"a b": "c&d", "n": 1, "yes": True, "none": None}},
            b"a+b=c%26d&n=1&yes=true",
            "application/x-www-form-urlencoded",
        ),
        ({"form": {"a": "\ud800"}}, b"a=%3F", "application/x-www-form-urlencoded"),
        ({"body": "grüße"}, "grüße".encode(), "text/plain; charset=utf-8"),
        ({"body": ""}, b"", "text/plain; charset=utf-8"),
        ({"body": {"$bytes": "AP8="}}, b"\x00\xff", "application/octet-stream"),
        ({"body": None}, None, None),
    ],
)
def test_sends_each_kind_of_body(params: dict[str, Any], content: bytes | None, content_type: str | None) -> None:
    """JSON, form, text and bytes are encoded and say what they are."""
    request = sent({"method": "POST", **params})
    assert request.content == content
    assert dict(request.headers).get("Content-Type") == content_type


def _parts(request: HttpRequest) -> list[Message]:
    head = f"Content-Type: {dict(request.headers)['Content-Type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + (request.content or b""))
    assert message.is_multipart()
    return [part for part in message.get_payload() if isinstance(part, Message)]


def test_sends_multipart() -> None:
    """Fields and files become parts as RFC 7578 has them; a part may hold anything."""
    fields = {
        "text": "grüße",
        "number": 5,
        "list": [1, {"a": 2}],
        "none": None,
        "raw": {"$bytes": "AP8="},
        "file": {"filename": "a.png", "content": {"$bytes": "iVBORw=="}, "content_type": "image/png"},
        "note": {"filename": "n.txt", "content": "--boundary--\r\n"},
    }
    parts = _parts(sent({"method": "POST", "multipart": fields}))
    found = {
        part.get_param("name", header="Content-Disposition"): (
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in parts
    }
    assert found == {
        "text": (None, "grüße".encode()),
        "number": (None, b"5"),
        "list": (None, b'[1,{"a":2}]'),
        "raw": (None, b"\x00\xff"),
        "file": ("a.png", b"\x89PNG"),
        "note": ("n.txt", b"--boundary--\r\n"),
    }
    assert parts[4].get_content_type() == "image/png"


def test_names_in_multipart_break_nothing() -> None:
    """Quotes and line ends in names are encoded, so that no header can be added to a part."""
    name = 'a"; filename="evil\r\nX-Injected: 1'
    request = sent({"method": "POST", "multipart": {name: {"filename": name, "content": "x"}}})
    assert b"\r\nX-Injected" not in (request.content or b"")
    assert len(_parts(request)) == 1


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"body": {"a": 1}}, "body: must be a text"),
        ({"body": 5}, "body: must be a text"),
        ({"body": {"$bytes": "no base64!"}}, "body: \\$bytes is no base64"),
        ({"body": {"$bytes": 5}}, "body: must be a text"),
        ({"multipart": {"f": {"content": 5}}}, r"multipart\.f\.content: must be a text"),
        ({"multipart": {"f": {"$bytes": "!"}}}, r"multipart\.f: \$bytes is no base64"),
        ({"multipart": {"f": {"content": "", "content_type": "a\r\nX: y"}}}, "is no media type"),
    ],
)
def test_bodies_that_cannot_be_sent(params: dict[str, Any], says: str) -> None:
    """A body that is no text and no bytes is refused with the place and what to use instead."""
    with pytest.raises(ParamsInvalid, match=says):
        sent({"method": "POST", **params})


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"url": ""}, "url"),
        ({"method": "GE T"}, "method"),
        ({"json": 1, "body": "x"}, "one of `json`, `form`, `multipart` and `body`"),
        ({"form": {}, "multipart": {}}, "one of `json`, `form`, `multipart` and `body`"),
        ({"auth": {}}, "exactly one of"),
        ({"auth": {"bearer": None}}, "exactly one of"),
        ({"auth": {"bearer": ""}}, "bearer"),
        ({"auth": {"bearer": "a", "basic": {"username": "u", "password": "p"}}}, "exactly one of"),
        ({"auth": {"basic": {"username": "a:b", "password": "p"}}}, "username"),
        ({"auth": {"header": {}}}, "header"),
        ({"timeout": "soon"}, "is not a duration"),
        ({"timeout": 0}, "timeout"),
        ({"expect_status": ["ok"]}, "number from 100 to 599"),
        ({"expect_status": [99]}, "number from 100 to 599"),
        ({"expect_status": []}, "expect_status"),
        ({"response": "xml"}, "response"),
        ({"headers": {"a": ["b"]}}, "headers"),
        ({"verify": False}, "verify"),
    ],
)
def test_parameters_that_are_refused(params: dict[str, Any], place: str) -> None:
    """Each wrong parameter is named."""
    with pytest.raises(ValidationError, match=place):
        context(NODE, {"url": URL, **params})


@pytest.mark.parametrize(
    ("url", "query", "expected"),
    [
        (URL, {}, URL),
        (
            URL,
            {"a": 1, "b": "x y&z", "c": True, "d": None, "e": ["1", None, 2.5]},
            f"{URL}?a=1&b=x+y%26z&c=true&e=1&e=2.5",
        ),
        (f"{URL}?old=1", {"a": "ü"}, f"{URL}?old=1&a=%C3%BC"),
        (f"{URL}?", {"a": "1"}, f"{URL}?a=1"),
        (f"{URL}#part?", {"a": "1"}, f"{URL}?a=1"),
        (URL, {"a": "\ud800"}, f"{URL}?a=%3F"),
        ("http://[bad", {"a": "1"}, "http://[bad?a=1"),
        (URL, {"none": None}, URL),
    ],
)
def test_adds_the_query(url: str, query: dict[str, Any], expected: str) -> None:
    """The query is encoded and put behind the URL's own."""
    assert sent({"url": url, "query": query}).url == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"auth": {"basic": {"username": "me", "password": "ü:x"}}}, {"authorization": "Basic bWU6w7w6eA=="}),
        ({"auth": {"bearer": "t0ken"}}, {"authorization": "Bearer t0ken"}),
        ({"auth": {"header": {"X-Api-Key": "k"}}}, {"x-api-key": "k"}),
        ({"auth": {"bearer": "new"}, "headers": {"AUTHORIZATION": "old"}}, {"authorization": "Bearer new"}),
        ({"headers": {"X-N": 5, "X-B": True, "X-None": None}}, {"x-n": "5", "x-b": "true"}),
        ({"headers": {"user-agent": "mine"}}, {"user-agent": "mine"}),
    ],
)
def test_sends_headers_and_credentials(params: dict[str, Any], expected: dict[str, str]) -> None:
    """Each kind of credential becomes its header, once; a null header is left out."""
    assert headers(params) == {"user-agent": "flowrunner", **expected}


def test_the_authors_content_type_wins() -> None:
    """JSON of a vendor's own type is sent as that type, once."""
    found = headers({"method": "POST", "json": {}, "headers": {"content-type": "application/vnd.api+json"}})
    assert found["content-type"] == "application/vnd.api+json"


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("GET", None, None),
        ("head", None, None),
        ("OPTIONS", None, None),
        ("POST", None, RUN.idempotency_key),
        ("put", None, RUN.idempotency_key),
        ("DELETE", None, RUN.idempotency_key),
        ("PATCH", "mine", "mine"),
    ],
)
def test_methods_that_change_something_carry_an_idempotency_key(
    method: str, given: str | None, expected: str | None
) -> None:
    """The key is the step's own, so that a retry is recognised; the author's wins."""
    found = headers({"method": method, "headers": {"IDEMPOTENCY-key": given}})
    assert found.get("idempotency-key") == expected


def test_api_keys_in_any_header_are_sensitive() -> None:
    """On a redirect to another origin only headers that are known to be harmless go along."""
    params = {
        "headers": {"X-Api-Key": "k", "Accept": "text/html", "Private-Token": "t"},
        "method": "POST",
        "json": 1,
    }
    assert sent(params).sensitive_headers == {"x-api-key", "private-token"}


@pytest.mark.parametrize(
    ("timeout", "left", "expected"),
    [("5s", 100.0, 5.0), (5, 100.0, 5.0), ("250ms", 100.0, 0.25), ("1m", 3.0, 3.0)],
)
def test_the_timeout_ends_with_the_step(timeout: Any, left: float, expected: float) -> None:
    """A request gets its own time, but no more than the step has left."""
    assert sent({"timeout": timeout}, left=left).timeout == expected


def test_narrows_what_may_be_reached() -> None:
    """The allow-lists of flow and node go along, and redirects can be switched off."""
    request = sent({"follow_redirects": False}, egress=[["*.example.com"], ["api.example.com"]])
    assert request.allow == [["*.example.com"], ["api.example.com"]]
    assert request.max_redirects == 0


@pytest.mark.parametrize(
    ("content", "content_type", "response", "expected"),
    [
        (b'{"a": [1]}', "application/json", "auto", {"a": [1]}),
        (b"\xef\xbb\xbf[1]", "application/json; charset=utf-8", "auto", [1]),
        (b'{"a": 1}', "application/problem+json", "auto", {"a": 1}),
        (b'{"a": 1}', "text/plain", "auto", '{"a": 1}'),
        (b'{"a": 1}', "text/plain", "json", {"a": 1}),
        (b"{broken", "application/json", "auto", "{broken"),
        (b"NaN", "application/json", "auto", "NaN"),
        (b"", "application/json", "auto", None),
        (b"", "", "auto", None),
        (b" \n", "application/json", "json", None),
        (b"", "text/plain", "text", ""),
        (b"", "text/plain", "bytes", {"$bytes": ""}),
        ("grüße".encode(), "text/html", "auto", "grüße"),
        ("grüße".encode("latin-1"), "text/html; charset=ISO-8859-1", "auto", "grüße"),
        ("grüße".encode("utf-16"), 'text/plain; charset="utf-16"', "auto", "grüße"),
        (b"\xff", "text/plain", "auto", "\ufffd"),
        (b"xn--", "text/plain; charset=idna", "auto", "xn--"),
        (b"abc", "text/plain; charset=hex", "auto", "abc"),
        (b"abc", "text/plain; charset=iso-8859-99", "auto", "abc"),
        (b"abc", "text/plain; charset=\0", "auto", "abc"),
        (b"<a/>", "application/xml", "auto", "<a/>"),
        (b"<a/>", "application/atom+xml", "auto", "<a/>"),
        (b"abc", "", "auto", "abc"),
        (b"\x00\xff", "", "auto", {"$bytes": "AP8="}),
        (b"\x89PNG", "image/png", "auto", {"$bytes": "iVBORw=="}),
        (b"abc", "application/pdf", "text", "abc"),
        (b"abc", "text/plain", "bytes", {"$bytes": base64.b64encode(b"abc").decode()}),
    ],
)
def test_reads_the_body(content: bytes, content_type: str, response: str, expected: Any) -> None:
    """By the content type, or as the author wants it; `auto` never fails."""
    assert body_of(content, content_type, response) == expected


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": }', "line 1, column 7"),
        (b"\xff", "not UTF-8"),
        (b"NaN", "not JSON"),
        (b"[" * 100_000, "nested"),
        (b"1" * 5_000, "not JSON"),
    ],
)
def test_an_answer_that_has_to_be_json_and_is_not(content: bytes, says: str) -> None:
    """`response: json` fails with the place in the text, and names no path of the URL."""
    with pytest.raises(StepError, match=says) as caught:
        body_of(content, "application/json", "json")
    assert (caught.value.code, caught.value.retryable) == ("InvalidResponse", False)
    assert "https://api.example.com is" in str(caught.value)


def test_the_output_has_everything_and_the_payload_is_the_body() -> None:
    """Status, headers, body, the URL that answered, and the time it took."""
    answer = HttpResponse(201, {"content-type": "application/json"}, b'{"id": 7}', f"{URL}/7", 0.0124)
    assert answered(answer) == {
        "status": 201,
        "headers": {"content-type": "application/json"},
        "body": {"id": 7},
        "url": f"{URL}/7",
        "elapsed_ms": 12,
    }
    assert HttpRequestNode.payload == "body"


def test_head_has_no_body() -> None:
    """The answer to HEAD describes a body that is not there."""
    assert answered(HttpResponse(200, {"content-type": "application/json"}, b""), {"method": "HEAD"})["body"] is None


@pytest.mark.parametrize(
    ("status", "expect", "passes"),
    [
        (200, None, True),
        (204, None, True),
        (304, None, True),
        (400, None, False),
        (404, [404], True),
        (404, ["404"], True),
        (404, ["2xx", "4XX"], True),
        (200, [404], False),
        (302, ["2xx"], False),
        (599, ["5xx"], True),
    ],
)
def test_expected_statuses_pass(status: int, expect: list[Any] | None, passes: bool) -> None:
    """2xx and 3xx unless told; numbers and classes otherwise."""
    params = {} if expect is None else {"expect_status": expect}
    if passes:
        assert answered(HttpResponse(status), params)["status"] == status
    else:
        with pytest.raises(StepError) as caught:
            answered(HttpResponse(status), params)
        assert caught.value.code == f"HttpStatus:{status}"


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (400, 401, 404, 409, 410)),
        *((status, True) for status in (408, 425, 429, 500, 501, 502, 503, 504, 599)),
    ],
)
def test_which_statuses_may_be_tried_again(status: int, retryable: bool) -> None:
    """Overload and faults of the server are worth another try; a refusal is not."""
    with pytest.raises(StepError) as caught:
        answered(HttpResponse(status, url=URL))
    assert caught.value.retryable is retryable


def test_the_error_shows_the_answer_but_neither_url_nor_session() -> None:
    """Status, headers and the first 4 KiB are details; the text is one printable line without path or cookies."""
    body = "über\x1b[2J\r\nlog\u2028line <b>" + "x" * 10_000
    answer = HttpResponse(
        500,
        {"x-id": "7", "set-cookie": "hunter2"},
        body.encode(),
        "https://api.example.com/hunter2?key=hunter2",
    )
    with pytest.raises(StepError) as caught:
        answered(answer)
    error = caught.value
    assert error.message.startswith("https://api.example.com answered 500: über [2J log line <b>xxx")
    assert len(error.message) < 300
    assert error.message.isprintable()
    assert (error.details["status"], error.details["headers"]) == (500, {"x-id": "7"})
    assert len(error.details["body"].encode()) == 4096
    assert "hunter2" not in json.dumps(error.details) + str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("9" * 400, 86_400.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Fri, 14 Nov 2098 22:00:00 GMT", 86_400.0),
        ("Fri, 14 Nov 99999 22:00:00 GMT", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
    ],
)
def test_reads_retry_after(value: str, seconds: float | None) -> None:
    """Seconds or a date (RFC 9110, 10.2.3), at most a day and never before now; rubbish is no wish."""
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_a_refusal_hands_on_the_wish_of_the_server() -> None:
    """`Retry-After` reaches the retry policy; without one there is no wish."""
    for given, expected in (({"retry-after": "7"}, 7.0), ({}, None)):
        with pytest.raises(StepError) as caught:
            answered(HttpResponse(429, given))
        assert caught.value.retry_after == expected


def test_over_the_wire(client: GuardedClient) -> None:
    """Node, client and server together: a request with query, JSON and token, and its answer."""

    def route(request: Received) -> Reply:
        body = json.dumps({"got": json.loads(request.body), "q": request.query}).encode()
        return Reply(201, body, (("Content-Type", "application/json"),))

    params = {"method": "post", "query": {"page": 2}, "json": {"a": "ü"}, "auth": {"bearer": "t"}}
    with RecordingServer(route) as server:
        ctx = context(NODE, {"url": f"{server.url}/x", **params}, http=client)
        result = NODE.execute(ctx)
    assert isinstance(result, Result)
    assert result.output["body"] == {"got": {"a": "ü"}, "q": {"page": "2"}}
    request = server.requests[0]
    assert request.headers["authorization"] == "Bearer t"
    assert request.headers["idempotency-key"] == RUN.idempotency_key


def _run(client: GuardedClient, params: dict[str, Any], **given: Any) -> Any:
    ctx: FakeContext[HttpRequestParams] = context(NODE, params, http=client, **given)
    return NODE.execute(ctx).output


def test_a_key_does_not_follow_to_another_origin(client: GuardedClient) -> None:
    """A server that redirects elsewhere does not make us hand the API key to that place."""
    with RecordingServer() as elsewhere, RecordingServer(lambda _: redirect(elsewhere.url)) as server:
        _run(client, {"url": server.url, "headers": {"X-Api-Key": "k", "Accept": "text/html"}})
    assert "x-api-key" not in elsewhere.requests[0].headers
    assert elsewhere.requests[0].headers["accept"] == "text/html"


def test_what_the_client_refuses_fails_the_step(client: GuardedClient) -> None:
    """Denied places, injected headers and slow servers come out as the errors that the port names."""
    with RecordingServer(lambda _: Reply(chunks=iter([b"x"] * 1000), pause=0.05)) as server:
        with pytest.raises(NodeTimeout):
            _run(client, {"url": server.url, "timeout": "200ms"})
        with pytest.raises(ParamsInvalid):
            _run(client, {"url": server.url, "headers": {"X": "a\r\nY: b"}})
        with pytest.raises(EgressDenied):
            _run(client, {"url": server.url}, egress=[["api.example.com"]])
    with pytest.raises(EgressDenied):
        _run(client, {"url": "http://169.254.169.254/"})
