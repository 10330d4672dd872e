"""What every backend can hold: text without NUL, JSON as UTF-8. One rule for all, so that a flow that runs on
one backend runs on the others.

PostgreSQL's `text` has no NUL, and UTF-8 has no lone surrogates, which a JavaScript string may well contain.
A key with either is refused by every backend in the same words. Within a JSON *value* NUL is fine: it is
stored escaped.
"""

from __future__ import annotations

import orjson

from flowrunner.core.flow import Json
from flowrunner.errors import InvalidInput

_LAST = "\U0010ffff"
_BEFORE_SURROGATES, _BEHIND_SURROGATES = "\ud7ff", "\ue000"


def encode_text(text: str) -> bytes:
    """Text as UTF-8. Raises `InvalidInput` for text that cannot be stored."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{text!r} holds half a surrogate pair: it is not Unicode text") from None
    if b"\0" in raw:
        raise InvalidInput(f"{text!r} holds a NUL character, which cannot be stored")
    return raw


def dump_json(value: Json, what: str) -> bytes:
    """The value as JSON. Raises `InvalidInput`, with `what` to name it, for one that JSON in UTF-8 cannot
    hold.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:  # orjson.JSONEncodeError is one
        raise InvalidInput(f"{what} cannot be stored as JSON: {error}") from None


def load_json(text: bytes) -> Json:
    return orjson.loads(text)


def prefix_end(prefix: str) -> str | None:
    """The first text, by code points, behind all that start with `prefix`; None if there is no such text.

    With it, "starts with" is a range of an index: `prefix <= key < prefix_end(prefix)`.
    """
    kept = prefix.rstrip(_LAST)
    if not kept:
        return None
    last = kept[-1]
    following = _BEHIND_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1)
    return kept[:-1] + following
