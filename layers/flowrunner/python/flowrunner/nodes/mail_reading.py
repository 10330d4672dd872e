"""Mail messages as they come in. Anybody can send one, so nothing in them is believed.

Python's parser takes quadratic time for some of what can be written (nested parts, parameters, encoded words), so a
message is looked at before it is parsed, and what is longer than mail programs write is cut or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime

from flowrunner.core.flow import Json
from flowrunner.core.times import iso_time
from flowrunner.nodes.http_errors import CHARSET, as_bytes

MAX_PARTS = 50
MAX_LINES = 500_000
MAX_PARAMETERS = 4_096
MAX_HEADER = 20_000
MAX_ADDRESSES = 500

_BOUNDARY = re.compile(rb"boundary", re.IGNORECASE)
_TYPED = re.compile(rb"(?im)^content-[^\r\n]*(?:(?:\r\n|\r|\n)[ \t][^\r\n]*)*")
_BROKEN = (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What Python's parser is known to raise for texts that are no mail."""


def read_message(raw: bytes, *, contents: bool = True) -> dict[str, Json]:
    """The message as a value: see `email.fetch`. Raises `ValueError` for one that cannot be read.

    Arguments: `contents`, whether attachments come with their content.
    """
    _look(raw)
    try:
        message = message_from_bytes(raw)
        texts, htmls, attachments = _bodies(message, contents=contents)
    except _BROKEN as error:
        raise ValueError(f"it cannot be parsed: {type(error).__name__}") from None
    sender = _addresses(message, "from")
    return {
        "message_id": header(message, "message-id").strip() or None,
        "from": sender[0] if sender else None,
        "to": sender_list(message, "to"),
        "cc": sender_list(message, "cc"),
        "reply_to": sender_list(message, "reply-to"),
        "subject": header(message, "subject"),
        "date": _date(header(message, "date")),
        "in_reply_to": header(message, "in-reply-to").strip() or None,
        "references": [*header(message, "references").split()],
        "text": "\n".join(texts) or None,
        "html": "\n".join(htmls) or None,
        "attachments": attachments,
    }


def header(message: Message, name: str) -> str:
    """The first header of that name on one line, its words decoded (RFC 2047)."""
    value = next((str(value) for key, value in message.raw_items() if key.lower() == name), "")
    return _decoded(_utf8(value))


def sender_list(message: Message, name: str) -> list[Json]:
    """The addresses of a header."""
    return [*_addresses(message, name)]


def _look(raw: bytes) -> None:
    if len(_BOUNDARY.findall(raw)) > MAX_PARTS:
        raise ValueError(f"it has more than {MAX_PARTS} parts of parts")
    if raw.count(b"\n") + raw.count(b"\r") > 2 * MAX_LINES:
        raise ValueError(f"it has more than {MAX_LINES:,} lines")
    if any(len(match[0]) > MAX_PARAMETERS for match in _TYPED.finditer(raw)):
        raise ValueError("a header about its content is too long")


def _bodies(message: Message, *, contents: bool) -> tuple[list[str], list[str], list[Json]]:
    texts: list[str] = []
    htmls: list[str] = []
    attachments: list[Json] = []
    for part in _leaves(message):
        kind, filename = part.get_content_type(), part.get_filename()
        attached = filename is not None or part.get_content_disposition() == "attachment"
        if not attached and kind in ("text/plain", "text/html"):
            (htmls if kind == "text/html" else texts).append(_text(part))
        else:
            attachments.append(_attachment(part, kind, filename, contents=contents))
    return texts, htmls, attachments


def _leaves(message: Message) -> Iterator[Message]:
    """Parts that are no containers; a message in a message is one part."""
    if message.get_content_maintype() == "multipart" and isinstance(parts := message.get_payload(), list):
        for part in parts:
            if isinstance(part, Message):
                yield from _leaves(part)
    else:
        yield message


def _attachment(part: Message, kind: str, filename: str | None, *, contents: bool) -> dict[str, Json]:
    content = _content(part)
    cid = header(part, "content-id").strip().strip("<>")
    return {
        "filename": _clean(_decoded(filename)) if filename else None,
        "content_type": kind,
        "size": len(content),
        "cid": cid or None,
        "content": as_bytes(content) if contents else None,
    }


def _content(part: Message) -> bytes:
    inner = part.get_payload()
    if isinstance(inner, list):  # a message in a message
        return b"".join(one.as_bytes() for one in inner if isinstance(one, Message))
    decoded = part.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _text(part: Message) -> str:
    return _charset_text(_content(part), part.get_content_charset()).replace("\r\n", "\n")


def _charset_text(content: bytes, charset: str | None) -> str:
    charset = (charset or "utf-8").lower()
    try:
        return content.decode(charset if CHARSET.fullmatch(charset) else "utf-8", "replace")
    except LookupError:  # such as iso-8859-99
        return content.decode("utf-8", "replace")


def _decoded(text: str) -> str:
    """Encoded words as text, on one line; what is no such word stays as it is."""
    text = text[:MAX_HEADER]
    try:
        words = decode_header(text)
    except _BROKEN:
        return _clean(text)
    return _clean(
        "".join(word if isinstance(word, str) else _charset_text(word, charset or "latin-1") for word, charset in words)
    )


def _addresses(message: Message, name: str) -> list[dict[str, Json]]:
    values = [_utf8(str(value))[:MAX_HEADER] for key, value in message.raw_items() if key.lower() == name]
    try:
        pairs = getaddresses([" ".join(value.split()) for value in values[:10]])
    except _BROKEN:
        return []
    return [
        {"name": _decoded(shown) or None, "address": _clean(address)}
        for shown, address in pairs[:MAX_ADDRESSES]
        if "@" in address
    ]


def _date(text: str) -> str | None:
    try:
        return iso_time(round(parsedate_to_datetime(text).timestamp() * 1000))
    except (*_BROKEN, OverflowError, OSError):
        return None


def _utf8(value: str) -> str:
    """A raw header: bytes that are no ASCII are UTF-8 (RFC 6532)."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _clean(text: str) -> str:
    """On one line, without control characters, and with a UTF-8 form."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split()).encode("utf-8", "replace").decode()
