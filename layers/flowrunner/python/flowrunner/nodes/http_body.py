"""Request bodies other than JSON: forms, multipart, text and bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from flowrunner.core.flow import Json
from flowrunner.errors import ParamsInvalid
from flowrunner.nodes.http_sending import Scalar, json_text, scalar_text

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; *[\w-]+=(\"[^\"\r\n]*\"|[\w.+-]+))*", re.ASCII)


def form(fields: Mapping[str, Scalar]) -> tuple[bytes, str]:
    """An application/x-www-form-urlencoded body; null fields are left out."""
    pairs = [(name, scalar_text(value)) for name, value in fields.items() if value is not None]
    return urlencode(pairs, errors="replace").encode("ascii"), "application/x-www-form-urlencoded"


def as_content(value: Json, where: str) -> tuple[bytes, str]:
    """A text or `{$bytes: base64}` as bytes, with its type. Raises `ParamsInvalid` naming `where`."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace"), "text/plain; charset=utf-8"
    if isinstance(value, dict) and set(value) == {"$bytes"} and isinstance(value["$bytes"], str):
        try:
            return base64.b64decode(value["$bytes"], validate=True), "application/octet-stream"
        except ValueError as error:
            raise ParamsInvalid(f"{where}: $bytes is no base64: {error}") from None
    raise ParamsInvalid(f"{where}: must be a text or {{$bytes: base64}}", hint="to send JSON, use `json`")


def multipart(fields: Mapping[str, Json]) -> tuple[bytes, str]:
    """A multipart/form-data body (RFC 7578). Raises `ParamsInvalid`.

    The boundary is a hash of the content, so that a retry sends the same bytes and no part can hold it.
    """
    parts = [_part(name, value) for name, value in fields.items() if value is not None]
    boundary = hashlib.sha256(b"\0".join(parts)).hexdigest()[:48]
    body = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    return body + b"--%b--\r\n" % boundary.encode(), f"multipart/form-data; boundary={boundary}"


def _part(name: str, value: Json) -> bytes:
    where, head = f"multipart.{name}", f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, dict) and "content" in value:
        content, kind = as_content(value["content"], f"{where}.content")
        kind = str(value.get("content_type", kind))
        if not _MEDIA_TYPE.fullmatch(kind):
            raise ParamsInvalid(f"{where}.content_type: {kind[:80]!r} is no media type like image/png")
        head += f'; filename="{_quoted(str(value.get("filename", name)))}"\r\nContent-Type: {kind}'
    elif isinstance(value, dict) and "$bytes" in value:
        content, _ = as_content(value, where)
    elif isinstance(value, str):
        content = value.encode("utf-8", "replace")
    else:
        content = json_text(value).encode()
    return head.encode("utf-8", "replace") + b"\r\n\r\n" + content


def _quoted(text: str) -> str:
    """Text inside a quoted parameter: quotes and line ends percent-encoded (WHATWG HTML, form submission)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
