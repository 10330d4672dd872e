"""From requests to inputs, and from outputs to answers."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from flowrunner.errors import InvalidInput
from flowrunner.services.hook_values import SAFE_HEADERS, answer_of, fields_of, read_body, seen_headers


def coded(content: bytes) -> dict[str, str]:
    return {"$bytes": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b"", None),
        ("application/json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("Application/CloudEvents+JSON; charset=utf-8", b"[1]", [1]),
        ("application/x-www-form-urlencoded", b"a=1&b=x+y&a=2&c=", {"a": ["1", "2"], "b": "x y", "c": ""}),
        ("text/plain", "grüße".encode(), "grüße"),
        ("text/plain; charset=iso-8859-1", "grüße".encode("latin-1"), "grüße"),
        ("text/plain; charset=koi8-r", b"\xc1", coded(b"\xc1")),
        ("application/octet-stream", b"\x00\xff", coded(b"\x00\xff")),
        ("multipart/form-data; boundary=x", b'{"filepath": "/etc/passwd"}', coded(b'{"filepath": "/etc/passwd"}')),
        ("", b"{}", coded(b"{}")),
    ],
)
def test_bodies(content_type: str, body: bytes, value: Any) -> None:
    """The content type chooses the one way in which a body is read."""
    assert read_body(content_type, body) == value


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": "\xff"}'),
        ("application/json", b'{"a":1e999999}'),
        ("application/json", b'{"a": NaN}'),
        ("application/json", b'{"a": 1, "a": 2}'),
        ("application/json", b'"\\ud800"'),
        ("application/json", b"[" * 65 + b"]" * 65),
        ("application/json", b"[" * 100_000 + b"]" * 100_000),
        ("application/json", b"{"),
        ("application/x-www-form-urlencoded", b"a=\xff"),
        ("application/x-www-form-urlencoded", b"a=1&" * 1_001),
        ("text/plain", b"\xff"),
    ],
)
def test_bad_bodies(content_type: str, body: bytes) -> None:
    """A body that is not what its type says is refused."""
    with pytest.raises(InvalidInput):
        read_body(content_type, body)


def test_queries() -> None:
    """A query is read like a form; bad escapes cannot make text that no store holds."""
    assert fields_of("a=%41&a=b&=&x", "query") == {"a": ["A", "b"], "": "", "x": ""}
    assert fields_of("a=%ff%ed%a0%80", "query")["a"].encode()


def test_credentials_are_withheld() -> None:
    """A flow sees no header with which somebody else could send as the sender."""
    headers = {"authorization": "x", "cookie": "x", "stripe-signature": "x", "x-token": "x", "user-agent": "curl"}
    assert seen_headers(headers, "X-Token") == {"user-agent": "curl"}
    assert "x-token" in seen_headers(headers, None)


@pytest.mark.parametrize(
    ("output", "status", "content", "kind"),
    [
        (None, 200, b"", None),
        ({"reply": {"status": 201}}, 200, b'{"reply":{"status":201}}', "application/json"),
        ({"status": 201, "body": {"a": 1}}, 201, b'{"a":1}', "application/json"),
        ({"status": 200, "body": "hi"}, 200, b"hi", "text/plain; charset=utf-8"),
        ({"status": 200, "body": coded(b"\x89PNG")}, 200, b"\x89PNG", "application/octet-stream"),
        ({"status": 200, "body": {"$bytes": "*"}}, 200, b'{"$bytes":"*"}', "application/json"),
        ({"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<b>"}, 200, b"<b>", "text/html"),
        ({"status": 204, "body": "x"}, 204, b"", None),
        ({"status": 404}, 404, b"", None),
        ({"status": 200, "headers": None}, 200, b"", None),
        # What only looks like an answer is a value like any other.
        ({"status": 199}, 200, b'{"status":199}', "application/json"),
        ({"status": 600}, 200, b'{"status":600}', "application/json"),
        ({"status": True}, 200, b'{"status":true}', "application/json"),
        ({"status": "done"}, 200, b'{"status":"done"}', "application/json"),
        ({"status": 200, "headers": []}, 200, b"", None),
        ({"status": 200, "headers": ["x"]}, 200, b'{"status":200,"headers":["x"]}', "application/json"),
        ({"status": 200, "total": 3}, 200, b'{"status":200,"total":3}', "application/json"),
    ],
)
def test_answers(output: Any, status: int, content: bytes, kind: str | None) -> None:
    """An output of status, headers and body is the answer; any other is the body of a 200."""
    answer = answer_of(output)
    assert (answer.status, answer.content, answer.headers.get("content-type")) == (status, content, kind)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("X-Order", "17", True),
        ("X-Count", 17, True),
        ("Location", "https://example.com/", True),
        ("Cache-Control", "no-store", True),
        ("Set-Cookie", "session=1", False),
        ("Connection", "close", False),
        ("Transfer-Encoding", "chunked", False),
        ("Content-Length", "5", False),
        ("Content-Encoding", "gzip", False),
        ("Content-Security-Policy", "default-src *", False),
        ("Clear-Site-Data", "*", False),
        ("Strict-Transport-Security", "max-age=0", False),
        ("Service-Worker-Allowed", "/", False),
        ("X-Accel-Redirect", "/etc/passwd", False),
        ("X-Sendfile", "/etc/passwd", False),
        ("X-Frame-Options", "ALLOWALL", False),
        ("X-Content-Type-Options", "sniff", False),
        ("X-Correlation-Id", "forged", False),
        ("X-A\r\nSet-Cookie", "a", False),
        ("X-A", "a\r\nSet-Cookie: b", False),
        ("X-A", "a\nb", False),
        ("X-A", "ü", False),
        ("X-A", True, False),
        ("X-A", None, False),
    ],
)
def test_headers_of_answers(name: str, value: Any, sent: bool) -> None:
    """A flow sets headers of its own answer, none that act on the origin, the connection or a proxy in between."""
    headers = answer_of({"status": 200, "headers": {name: value}}).headers
    assert (name.lower() in headers) is sent
    assert set(headers) <= {name.lower(), *SAFE_HEADERS}


def test_pages_of_flows_have_no_origin() -> None:
    """console-09: what a flow answers with is sandboxed, whatever it sets itself."""
    answer = answer_of({
        "status": 200,
        "headers": {"Content-Type": "text/html", "content-security-policy": "default-src *"},
        "body": "<script>fetch('/v1/runs')</script>",
    })  # fmt: skip
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "content-security-policy" not in answer.headers
