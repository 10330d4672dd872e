"""Text from strangers on its way into logs and terminals: one line, no control characters, no credentials."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
MAX_TEXT = 2_000
MAX_ITEMS = 50
MAX_DEPTH = 6

# Everything that ends a line, moves a cursor, or turns the direction of writing around.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}

_CREDENTIALS = re.compile(
    r"(?i:\b(?P<scheme>bearer|basic)\s+[A-Za-z0-9._~+/=-]+)"
    r"|\b(?P<kind>fr_[a-z]+_|whsec_)[A-Za-z0-9+/=_-]{8,}"
    r"|(?P<url>://[^\s/:@]*):[^\s/@]+@"
)
_SECRET_KEYS = re.compile(
    r"(?i)^(proxy[-_])?authorization$|^(set[-_])?cookie$|password|passwd|secret$|token$|api[-_]?key$|csrf"
)


def one_line(text: str) -> str:
    """The text with everything escaped that would be more than characters on this line."""
    return _UNSAFE.sub(_escaped, text)


def masked(text: str) -> str:
    """The text without the credentials that can be told by their shape: headers, our tokens, passwords in URLs."""
    return _CREDENTIALS.sub(_mask, text)


def safe_value(value: Any, depth: int = 0) -> Any:
    """A value for a log: JSON of limited size, without what stands under the name of a credential."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _cut(masked(value))
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        shown = {_cut(str(key)): value[key] for key in list(value)[:MAX_ITEMS]}
        return {
            key: MASK if _SECRET_KEYS.search(key) and isinstance(item, str) and item else safe_value(item, depth + 1)
            for key, item in shown.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [safe_value(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
    return _cut(masked(str(value)))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMED.get(character) or (f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}")


def _mask(found: re.Match[str]) -> str:
    if found["scheme"]:
        return f"{found['scheme']} {MASK}"
    return f"{found['kind']}{MASK}" if found["kind"] else f"{found['url']}:{MASK}@"
