"""Text that every store can hold and compare: UTF-8 without NUL. One rule for all, in the same words.

PostgreSQL's `text` has no NUL, and UTF-8 has no lone surrogates, which a JavaScript string may well contain: what runs
on one backend would fail on another.
"""

from __future__ import annotations

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


def require_storable(*texts: str | None) -> None:
    """Raises `InvalidInput` for the first text that cannot be stored. None is no text."""
    for text in texts:
        if text is not None:
            encode_text(text)


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
