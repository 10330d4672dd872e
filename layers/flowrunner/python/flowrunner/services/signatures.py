"""Signatures of inbound webhooks: is a request from whom the hook trusts, and which message is it?

Pure functions of the raw bytes, the headers and the moment. A scheme answers the message's id, by which a repetition is
known, or None when the sender gives none. Nothing is ever accepted for want of a secret (CVE-2026-21894).

Secrets: a value may hold several, one per line, while a sender moves from the old one to the new.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowrunner.core.ids import Millis
from flowrunner.core.json_text import BadJson, parse_json
from flowrunner.errors import Unauthenticated

TOLERANCE_SECONDS = 300
"""How far a signed time may be from ours, in either direction, the end included."""

MAX_SIGNATURES = 10
"""Signatures in one header that are looked at; more are refused, since each costs a hash of the body."""

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)
"""Lengths of a Standard Webhooks secret."""

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,255}", re.ASCII)
"""Printable ASCII without the dot, which divides what is signed."""
_DELIVERY_ID = re.compile(r"[!-~]{1,255}", re.ASCII)


class BadSignature(Unauthenticated):
    """The signature is not valid."""

    code = "BAD_SIGNATURE"

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """For logs: `missing_header`, `id`, `timestamp`, `too_many_signatures`, `signature` or `config`."""


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived: headers with names in lower case, the body as it was sent, and when."""

    headers: Mapping[str, str]
    body: bytes
    now: Millis

    def header(self, name: str) -> str:
        """The value of a header that must be there. Raises `BadSignature`."""
        value = self.headers.get(name, "").strip()
        if not value:
            raise BadSignature("missing_header", f"the header {name} is missing")
        return value

    def signed_time(self, text: str) -> str:
        """A signed time in seconds, when it is near enough. Raises `BadSignature`."""
        if _SECONDS.fullmatch(text) is None:
            raise BadSignature("timestamp", "the timestamp is no number of seconds")
        if abs(self.now // 1000 - int(text)) > TOLERANCE_SECONDS:
            raise BadSignature("timestamp", f"the timestamp is more than {TOLERANCE_SECONDS // 60} minutes from now")
        return text

    def delivery_id(self, name: str) -> str | None:
        """The value of a header that names the message, if there is a usable one."""
        value = self.headers.get(name, "").strip()
        return value if _DELIVERY_ID.fullmatch(value) else None


def verify(scheme: str, secret: str, received: Received, header: str | None = None) -> str | None:
    """The message's id, None if it has none. Raises `BadSignature` unless the request has a valid signature.

    Arguments: `scheme` as in `verify.scheme` of a trigger; `secret`, the secret's value; `header`, the name of the
    header with a shared secret.
    """
    secrets = [line.strip() for line in secret.split("\n") if line.strip()]
    if not secrets:
        raise BadSignature("config")
    if scheme == "shared-secret":
        return _shared_secret(secrets, received, (header or "").lower())
    return _SCHEMES[scheme](secrets, received)


def unsigned_id(received: Received) -> str | None:
    """The message's id of a request that nothing signs: `Idempotency-Key` or `webhook-id`."""
    return received.delivery_id("idempotency-key") or received.delivery_id("webhook-id")


def _standard_webhooks(secrets: Sequence[str], received: Received) -> str:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    keys = [key for text in secrets for part in text.split() if (key := _standard_key(part))]
    if not keys:
        raise BadSignature("config")
    message, header = received.header("webhook-id"), received.header("webhook-signature")
    if _MESSAGE_ID.fullmatch(message) is None:
        raise BadSignature("id", "webhook-id is at most 255 printable characters without a dot")
    moment = received.signed_time(received.header("webhook-timestamp"))
    candidates = _few(header.split(" "))
    given = [_base64(text.removeprefix("v1,")) for text in candidates if text.startswith("v1,")]
    content = b".".join((message.encode(), moment.encode(), received.body))
    _require_one([_hmac(key, content) for key in keys], given)
    return message


def _standard_key(text: str) -> bytes | None:
    """The key of `whsec_<base64>`; None for what is none. Its padding may be missing."""
    if not text.startswith(PREFIX):
        return None
    coded = text.removeprefix(PREFIX).rstrip("=")
    key = _base64(coded + "=" * (-len(coded) % 4))
    return key if len(key) in KEY_BYTES else None


def _github(secrets: Sequence[str], received: Received) -> str:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    header = received.header("x-hub-signature-256")
    _require_one([_hmac(key.encode(), received.body) for key in secrets], [_hex(header, "sha256=")])
    return received.delivery_id("x-github-delivery") or _digest(header.encode())


def _stripe(secrets: Sequence[str], received: Received) -> str:
    """https://docs.stripe.com/webhooks/signature#verify-manually"""
    header = received.header("stripe-signature")
    pairs = [part.strip().partition("=") for part in _few(header.split(","), MAX_SIGNATURES * 2)]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1:
        raise BadSignature("timestamp", "Stripe-Signature has exactly one time t")
    moment = received.signed_time(times[0])
    candidates = _few([value for name, _, value in pairs if name == "v1"])
    content = b".".join((moment.encode(), received.body))
    _require_one([_hmac(key.encode(), content) for key in secrets], [_hex(text) for text in candidates])
    return _field_of(received.body, "id") or _digest(content)


def _slack(secrets: Sequence[str], received: Received) -> str:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    header = received.header("x-slack-signature")
    moment = received.signed_time(received.header("x-slack-request-timestamp"))
    content = b":".join((b"v0", moment.encode(), received.body))
    _require_one([_hmac(key.encode(), content) for key in secrets], [_hex(header, "v0=")])
    return _field_of(received.body, "event_id") or _digest(content)


def _shared_secret(secrets: Sequence[str], received: Received, header: str) -> str | None:
    # ASGI gives the header's bytes as Latin-1. Spaces at the ends are no part of a header's value (RFC 9110, 5.5).
    given = received.header(header).encode("latin-1", "replace")
    _require_one([secret.encode() for secret in secrets], [given])
    return unsigned_id(received)


_SCHEMES: Mapping[str, Callable[[Sequence[str], Received], str | None]] = {
    "standard-webhooks": _standard_webhooks,
    "github": _github,
    "stripe": _stripe,
    "slack": _slack,
}


def _few(parts: Sequence[str], most: int = MAX_SIGNATURES) -> Sequence[str]:
    if len(parts) > most:
        raise BadSignature("too_many_signatures", f"at most {MAX_SIGNATURES} signatures are looked at")
    return parts


def _require_one(expected: Sequence[bytes], given: Sequence[bytes]) -> None:
    """At least one of `given` is one of `expected`. All are compared, so that the time says nothing about which."""
    found = False
    for candidate in given:
        for wanted in expected:
            found |= hmac.compare_digest(wanted, candidate)
    if not found:
        raise BadSignature("signature")


def _hmac(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, hashlib.sha256).digest()


def _base64(text: str) -> bytes:
    """The bytes of base64, none for what is not."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""


def _hex(text: str, prefix: str = "") -> bytes:
    """The bytes of `prefix` and hexadecimal digits, none for what is not."""
    try:
        return binascii.unhexlify(text.removeprefix(prefix)) if text.startswith(prefix) else b""
    except (ValueError, binascii.Error):
        return b""


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _field_of(body: bytes, name: str) -> str | None:
    """A short text in a JSON object; None when the body is something else."""
    try:
        value: Any = parse_json(body)
    except BadJson:
        return None
    text = value.get(name) if isinstance(value, dict) else None
    return text if isinstance(text, str) and 0 < len(text) <= 255 else None
