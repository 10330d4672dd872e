"""Keeping the values of secrets out of everything that people and logs see.

A value is masked as it is, and in the forms in which it most often slips out: base64, URL-encoded, JSON-escaped and
hexadecimal. What a flow sends out on purpose is sent; this is about logs, events, errors and the output of `log`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

SHORTEST = 4
"""A shorter value is no secret, and masking it would tear holes into everything."""

SHORTEST_ENCODED = 8


class Redactor:
    """Masks a fixed set of values. An empty one returns what it is given."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
        # The longest first, so that a value that holds another one is masked whole.
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __bool__(self) -> bool:
        return self._pattern is not None

    def text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """A JSON value with every string in it masked, keys included."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def _forms(value: str) -> Iterable[str]:
    yield value
    for line in value.splitlines():
        if len(line) >= SHORTEST_ENCODED:
            yield line
    if len(value) < SHORTEST_ENCODED:
        return
    raw = value.encode()
    yield quote(value, safe="")
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64_forms(raw)


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The value inside a longer base64 text: its characters depend on the position, which counts modulo 3."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            text = encode(b"\0" * shift + raw).decode()
            start = (8 * shift + 5) // 6
            end = 8 * (shift + len(raw)) // 6
            inner = text[start:end]
            if len(inner) >= SHORTEST_ENCODED:
                yield inner
