"""Mail messages as they are sent: addresses, attachments, headers (RFC 5322, RFC 2045).

Nothing from outside reaches a header with a line end in it: what could break a header is refused, not repaired.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from mimetypes import MimeTypes
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.nodes.base import Params
from flowrunner.nodes.http_body import as_content
from flowrunner.nodes.mail_server import Line, one_line

MAX_RECIPIENTS = 100
MAX_BYTES = 25 * 1024 * 1024
"""Of a whole message, attachments encoded: what mail servers commonly take."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN = re.compile(rf"{_ATOM}(\.{_ATOM})*@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,"]')
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_VISIBLE = re.compile(r"[\x20-\x7e]*")
_CONTENT_TYPE = re.compile(r"([\w.+-]{1,80})/([\w.+-]{1,80})((?:; ?[\w-]{1,40}=[\w.+-]{1,80}){0,5})", re.ASCII)
_OURS = re.compile(
    r"(?i)(content|mime|resent|received|return|dkim|arc|authentication)(-.*)?"
    r"|from|sender|to|cc|bcc|reply-to|subject|date|message-id"
)
_POLICY = SMTP.clone(cte_type="7bit")
_TYPES = MimeTypes()
"""Python's own table, not the machine's: a name means the same type everywhere."""


def parse_address(text: str) -> Address:
    """`ada@example.com` or `Ada Lovelace <ada@example.com>`. Raises `ValueError`."""
    text = one_line(text.strip())
    name, address = "", text
    if text.endswith(">"):
        name, _, address = text[:-1].rpartition("<")
        name = name.strip()
        if len(name) > 1 and name[0] == name[-1] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        elif _SPECIALS.search(name):
            raise ValueError(f"{name[:80]!r} is no name; put it in double quotes, and several addresses in a list")
    if len(address) > 254 or not _PLAIN.fullmatch(address) or ".." in address:
        raise ValueError(f"{address[:80]!r} is no mail address like ada@example.com (in ASCII; several go in a list)")
    return Address(encodable(name), addr_spec=address)


def encodable(text: str) -> str:
    """The text without halves of surrogate pairs, which have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode()


def _checked(text: str) -> str:
    parse_address(text)
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else [] if value is None else value


MailAddress = Annotated[str, Field(max_length=600), AfterValidator(_checked)]
"""One address, checked."""
MailAddresses = Annotated[list[MailAddress], BeforeValidator(_listed)]
"""One address or a list of them."""


class Attachment(Params):
    """A file that goes with the message, or an image in its HTML."""

    filename: Line = Field(min_length=1, max_length=255, description="As the recipient sees it.")
    content: Json = Field(description="A text, or {$bytes: base64}. Files and URLs are not read.")
    content_type: str | None = Field(None, max_length=300, description="Left out: by the file name.")
    cid: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,100}$", description='Shown in the HTML as <img src="cid:…">, with this name.'
    )

    @field_validator("content")
    @classmethod
    def _text_or_bytes(cls, value: Json) -> Json:
        if isinstance(value, str):
            if re.match(r"\s*file:", value, re.IGNORECASE):
                raise ValueError("is a file: URL; files of the server are not read")
        elif not (isinstance(value, dict) and set(value) == {"$bytes"} and isinstance(value["$bytes"], str)):
            raise ValueError("must be a text or {$bytes: base64}")
        return value

    @field_validator("content_type")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        match = _CONTENT_TYPE.fullmatch(value) if value is not None else None
        if value is not None and (match is None or match[1].lower() in ("multipart", "message")):
            raise ValueError(f"{value[:80]!r} is no type of a file, like image/png")
        return value

    def typed(self) -> tuple[str, str, dict[str, str]]:
        """Main type, subtype and parameters."""
        guessed = _TYPES.guess_type(self.filename)[0] if self.content_type is None else None
        usual = "text/plain" if isinstance(self.content, str) else "application/octet-stream"
        match = _CONTENT_TYPE.fullmatch(self.content_type or guessed or usual)
        assert match is not None, "checked when given, and from a table else"
        given = dict(pair.strip().split("=", 1) for pair in match[3].split(";") if pair)
        return match[1], match[2], {"charset": "utf-8"} | given if match[1] == "text" else given


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Raises `ValueError` for what is no header, or one that belongs to us."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is no header name")
        if _OURS.fullmatch(name):
            raise ValueError(f"the header {name} is set by other parameters, or not by the sender")
        one_line(value)
        if not _VISIBLE.fullmatch(value) or any(len(word) > 900 for word in value.split(" ")):
            raise ValueError(f"the header {name} must be ASCII without very long words")
    return headers


@dataclass(frozen=True, slots=True)
class Draft:
    """What a message is made of; all of it was checked."""

    sender: str
    to: Sequence[str] = ()
    cc: Sequence[str] = ()
    reply_to: Sequence[str] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    headers: Iterable[tuple[str, str]] = ()


def message_id(sender: str, idempotency_key: str) -> str:
    """The same for every sending of a step, so that a second one can be recognised."""
    return f"<{idempotency_key}@{parse_address(sender).domain}>"


def compose(draft: Draft, identity: str, now: Millis) -> bytes:
    """The message in 7-bit lines. Raises `ParamsInvalid` for an attachment that is no base64."""
    message = EmailMessage(_POLICY)
    message["From"] = parse_address(draft.sender)
    for name, addresses in (("To", draft.to), ("Cc", draft.cc), ("Reply-To", draft.reply_to)):
        if addresses:
            message[name] = [parse_address(one) for one in addresses]
    message["Subject"] = encodable(draft.subject)
    message["Date"] = formatdate(now / 1000)
    if draft.text is not None or draft.html is None:
        message.set_content(encodable(draft.text or ""))
    if draft.html is not None:
        _add_html(message, draft)
    for index, one in enumerate(draft.attachments):
        if one.cid is None or draft.html is None:
            main, sub, given = one.typed()
            content, _ = as_content(one.content, f"attachments[{index}].content")
            message.add_attachment(content, main, sub, filename=encodable(one.filename), params=given)
    # Written here: the email package encodes long identifiers as words, which then identify nothing (References).
    ours = [("Message-ID", identity), *draft.headers]
    return "".join(f"{_folded(name, value)}\r\n" for name, value in ours).encode("ascii") + message.as_bytes()


def _add_html(message: EmailMessage, draft: Draft) -> None:
    html = encodable(draft.html or "")
    if draft.text is None:
        message.set_content(html, subtype="html")
    else:
        message.add_alternative(html, subtype="html")
    body = message.get_body(("html",))
    assert isinstance(body, EmailMessage), "just added"
    for index, one in enumerate(draft.attachments):
        if one.cid is not None:
            main, sub, given = one.typed()
            content, _ = as_content(one.content, f"attachments[{index}].content")
            body.add_related(
                content,
                main,
                sub,
                cid=f"<{one.cid}>",
                disposition="inline",
                filename=encodable(one.filename),
                params=given,
            )


def _folded(name: str, value: str) -> str:
    """A header, folded at spaces into lines of some 78 characters (RFC 5322, 2.2.3)."""
    lines, line = [], f"{name}:"
    for word in value.split():
        if len(line) + len(word) > 76 and not line.endswith(":"):
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line])
