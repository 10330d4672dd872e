"""Messages as strangers write them: whatever comes in, the answer is a value or a reason, and soon."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from flowrunner.core.flow import Json
from flowrunner.nodes.mail_reading import read_message


def read(head: bytes, body: bytes = b"x") -> dict[str, Json]:
    return read_message(head + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("head", "field", "expected"),
    [
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?iso-8859-1?B?5A==?=", "subject", "Grüßeä"),
        (b"Subject: Gr\xc3\xbc\xc3\x9fe", "subject", "Grüße"),
        (b"Subject: a\xff", "subject", "a\ufffd"),
        (b"Subject: =?idna?q?abc?= =?nonsense?q?=FF?=", "subject", "abc\ufffd"),
        (b"Subject: =?utf-8?b?a?=", "subject", "=?utf-8?b?a?="),
        (b"Subject: a\x00b\r\n c", "subject", "a b c"),
        (b"Subject: one\r\nSubject: two", "subject", "one"),
        (b"From: =?utf-8?q?=C3=84da?= <a@x.example>", "from", {"name": "Äda", "address": "a@x.example"}),
        (b"From: nobody", "from", None),
        (b"From: " + b"(" * 5_000, "from", None),
        (b"To: a@x, B <b@y>", "to", [{"name": None, "address": "a@x"}, {"name": "B", "address": "b@y"}]),
        (b"Date: yesterday", "date", None),
        (b"Date: Fri, 20 Nov 99999 09:30:00 +0100", "date", None),
        (b"Date: Fri, 20 Nov 2026 09:30:00 -0000", "date", "2026-11-20T09:30:00.000Z"),
        (b"", "message_id", None),
        (b"Content-Type: text/plain; charset=idna", "text", "x"),
        (b"Content-Type: text/plain; charset=iso-8859-99", "text", "x"),
        (b"Content-Type: text/html", "html", "x"),
        (b"Content-Type: nonsense", "text", "x"),
        (b"Content-Type: multipart/mixed", "text", None),
        (b"Content-Type: multipart/mixed; boundary=b", "text", None),
    ],
)
def test_what_is_made_of_headers(head: bytes, field: str, expected: Json) -> None:
    """Decoded where it can be, and null where there is nothing."""
    assert read(head)[field] == expected


@pytest.mark.parametrize(
    ("head", "body", "says"),
    [
        (b"Content-Type: text/plain" + b';x="' * 100_000, b"", "too long"),
        (b"X: y", b"\n" * 1_100_000, "lines"),
        (b"X: y", b"Content-Type: multipart/mixed; BOUNDARY=b\r\n" * 51, "parts"),
    ],
    ids=["parameters", "lines", "parts"],
)
def test_what_would_take_too_long_is_not_parsed(head: bytes, body: bytes, says: str) -> None:
    """Python's parser takes quadratic time for these."""
    with pytest.raises(ValueError, match=says):
        read(head, body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: " + b"=?a?q?" * 200_000 + b"\r\n\r\n",
        b"To: " + b"a@x," * 200_000 + b"\r\n\r\n",
        b"From: " + b'"' * 500_000 + b"\r\n\r\n",
        b"References: " + b"<" * 500_000 + b"\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * 200,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(45)),
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 1_000_000,
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 a\n" + b"M" * 1_000_000,
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 1_000_000,
    ],
    ids=range(11),
)
def test_hostile_messages_are_soon_done(raw: bytes) -> None:
    """A value or a reason, within a time that is generous beside what quadratic work would take."""
    began = time.monotonic()
    with suppress(ValueError):
        read_message(raw)
    assert time.monotonic() - began < 60
