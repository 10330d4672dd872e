"""Doors for what is signed or sealed: inbound webhooks in all five schemes, cursors, tokens.

A message is a text as on the wire: the scheme on a line, headers, an empty line, the body. Whatever is accepted has to be
one that was signed; which those are is known here, since they are all made here.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from base64 import b64encode
from functools import lru_cache

from flowrunner.api.paging import Cursors
from flowrunner.core.ids import AccountId
from flowrunner.errors import InvalidInput
from flowrunner.services.signatures import BadSignature, Received, verify
from flowrunner.services.tokens import DIGITS, PREFIX, well_formed

from tests.fuzz.target import ACCEPTED, REFUSED, Target, told, words

NOW = 1_700_000_005
STANDARD_KEY = b"k" * 24
SECRETS = {
    "standard-webhooks": "whsec_" + b64encode(STANDARD_KEY).decode(),
    "github": "It's a Secret to Everybody",
    "stripe": "whsec_test\nwhsec_old",
    "slack": "8f742231b10e8888abcd99yyyzzz85a5",
    "shared-secret": "a long enough shared secret",
}
BODIES = (b'{"id":"evt_1","event_id":"Ev1","type":"contact.created"}', b"a.b\n\nc", b"")
HEADER = "x-token"


@lru_cache(maxsize=1)
def signed() -> dict[tuple[str, bytes], bytes]:
    """Every message that was ever signed: scheme and what is signed, with the text that the tests start from."""
    made: dict[tuple[str, bytes], bytes] = {}
    for body in BODIES:
        for scheme, secret in SECRETS.items():
            headers, content = _sign(scheme, secret.split("\n")[0].encode(), body)
            lines = [scheme, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            made[scheme, content] = "\n".join(lines).encode() + body
    return made


def message(data: bytes) -> str:
    """A request to a hook: accepted is only what was signed."""
    scheme, headers, body = parts(data)
    if scheme not in SECRETS:
        return REFUSED
    try:
        named = verify(scheme, SECRETS[scheme], Received(headers, body, NOW * 1000), HEADER)
    except BadSignature as refused:
        told(
            refused.reason in {"missing_header", "id", "timestamp", "too_many_signatures", "signature"},
            "another reason",
        )
        return REFUSED
    told((scheme, _content(scheme, headers, body)) in signed(), "a message that nobody signed was accepted")
    told(named is None or 0 < len(named) <= 255, "a message with an odd id")
    told(named is not None or scheme == "shared-secret", "a signed message has no id")
    return ACCEPTED


def cursor(data: bytes) -> str:
    """A cursor of a list: opened is only what was sealed."""
    text = data.decode("utf-8", "replace")
    try:
        position = CURSORS.open(AccountId("a"), "runs", text)
    except InvalidInput:
        return REFUSED
    told(SEALED.get(text) == position, "a cursor that was never given was opened")
    return ACCEPTED


def token(data: bytes) -> str:
    """The shape of an API token, by a second calculation of its checksum."""
    text = data.decode("utf-8", "replace")
    if not well_formed(text):
        return REFUSED
    told(len(text) == 57 and text.startswith(PREFIX) and set(text[8:]) <= set(DIGITS), "a token of another shape")
    check = 0
    for digit in text[-6:]:
        check = check * 62 + DIGITS.index(digit)
    told(check == zlib.crc32(text[:-6].encode()), "a wrong checksum")
    return ACCEPTED


def parts(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """Scheme, headers and body. Header values are Latin-1, as ASGI gives them."""
    head, _, body = data.partition(b"\n\n")
    scheme, *lines = head.decode("latin-1").split("\n")
    pairs = (line.partition(":") for line in lines)
    return scheme, {name.strip().lower(): value.strip() for name, _, value in pairs}, body


def _sign(scheme: str, secret: bytes, body: bytes) -> tuple[dict[str, str], bytes]:
    stamp = str(NOW - 5)
    match scheme:
        case "standard-webhooks":
            headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp}
            mac = hmac.new(STANDARD_KEY, b"msg_1.%s.%s" % (stamp.encode(), body), hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{b64encode(mac).decode()}"
        case "github":
            headers = {"x-hub-signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}
        case "stripe":
            mac_text = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
            headers = {"stripe-signature": f"t={stamp},v1={mac_text}"}
        case "slack":
            mac_text = hmac.new(secret, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
            headers = {"x-slack-signature": f"v0={mac_text}", "x-slack-request-timestamp": stamp}
        case _:
            headers = {HEADER: secret.decode()}
    return headers, _content(scheme, headers, body)


def _content(scheme: str, headers: dict[str, str], body: bytes) -> bytes:
    """What a message says, as its receiver takes it: for a shared secret only the secret counts."""
    match scheme:
        case "standard-webhooks":
            given = [headers["webhook-id"], headers["webhook-timestamp"]]
        case "stripe":
            fields = [field.strip() for field in headers["stripe-signature"].split(",")]
            given = [field for field in fields if field.startswith("t=")]
        case "slack":
            given = [headers["x-slack-request-timestamp"]]
        case "github":
            given = []
        case _:
            return headers[HEADER].encode("latin-1", "replace")
    return "\0".join([*given, ""]).encode("latin-1", "replace") + body


CURSORS = Cursors(lambda: b"key of the fuzzed installation")
SEALED = {
    CURSORS.seal(AccountId("a"), "runs", position): position
    for position in ("run-1", 7, ["a", None, 1.5], {"after": "é"})
}

_HEADERS = words(
    "standard-webhooks github stripe slack shared-secret webhook-id: webhook-timestamp: webhook-signature: x-hub-signature-256: "
    "x-github-delivery: stripe-signature: x-slack-signature: x-slack-request-timestamp: x-token: idempotency-key: v1, v1a, v0= v1= t= "
    "sha256= sha1= msg_1 1700000000 1700000305 1699999700 = , +1700000000 1_7",
    b"\n\n",
    b": ",
    b"\n",
)

TARGETS = (
    Target("signature", message, _HEADERS),
    Target("cursor", cursor, words("- _ = + / A")),
    Target("token", token, words("fr_live_ fr_ live 0 z")),
)
