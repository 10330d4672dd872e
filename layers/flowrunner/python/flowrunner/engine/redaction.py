"""Keeping the values of secrets out of everything that people, logs and stores see.

A value is masked as it is, and in the forms in which it most often slips out: base64 at any position, URL-encoded,
JSON-escaped, as HTML, hexadecimal, in upper or lower case, as a number. What is split into pieces or computed from a
secret (reversed, hashed) is not recognised. What a flow sends out on purpose is sent.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from flowrunner.errors import StepError

MASK = "***"

SHORTEST = 4
"""A shorter value is no secret, and masking it would tear holes into everything."""

SHORTEST_ENCODED = 8
"""A shorter form is in too many texts by accident."""

SHORTEST_PART = 16
"""Of a value with spaces in it: two keys while one takes the other's place. Words of a passphrase are shorter."""

JAVASCRIPT_KEEPS = "-_.!~*'()"
"""What `encodeURIComponent` leaves as it is; `encodeURI` leaves `URL_KEEPS` as well (ECMA-262, 19.2.6)."""
URL_KEEPS = ";,/?:@&=+$#"


class Redactor:
    """Masks a fixed set of values. An empty one returns what it is given."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values: dict[str, set[str]] = {}
        """The values behind each form."""
        for value in values:
            if len(value) >= SHORTEST:
                for form in _forms(value):
                    self._values.setdefault(form, set()).add(value)
        # The longest first, so that a value that holds another one is masked whole. Looked for one by one: a regular
        # expression of all of them takes quadratic time for what its author makes for that, and does so in one step
        # that no other thread of the process can come between.
        self._forms = sorted(self._values, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with every string in it masked, keys included, and every number that shows a secret."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = str(value)
            return MASK if any(form in shown for form in self._forms) else value
        return value

    def error(self, error: StepError) -> StepError:
        """The same error with its words masked."""
        if not self._forms:
            return error
        masked = StepError(
            self.text(error.message),
            code=self.text(error.code),
            retryable=error.retryable,
            retry_after=error.retry_after,
            hint=self.text(error.hint) if error.hint else None,
        )
        masked.details = self.value(error.details)
        return masked

    def found(self, value: Any) -> frozenset[str]:
        """The secrets that a JSON value shows, in whatever form."""
        found: set[str] = set()
        self._find(value, found)
        return frozenset(found)

    def _find(self, value: Any, found: set[str]) -> None:
        if not self._forms or value is None or isinstance(value, bool):
            return
        if isinstance(value, dict):
            for key, item in value.items():
                self._find(key, found)
                self._find(item, found)
        elif isinstance(value, list | tuple):
            for item in value:
                self._find(item, found)
        else:
            shown = str(value)
            for form in self._forms:
                if form in shown:
                    found |= self._values[form]


def _forms(value: str) -> Iterable[str]:
    yield value
    yield from (line for line in value.splitlines() if len(line) >= SHORTEST_ENCODED)
    yield from (part for part in value.split() if len(part) >= SHORTEST_PART)
    for form in _encoded(value):
        if len(form) >= SHORTEST_ENCODED:
            yield form


def _encoded(value: str) -> Iterable[str]:
    yield from (value.lower(), value.upper())
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1])
    yield from (html.escape(value), html.escape(value, quote=False))
    raw = value.encode("utf-8", "replace")
    for safe in ("", "/", JAVASCRIPT_KEEPS, JAVASCRIPT_KEEPS + URL_KEEPS):
        encoded = quote(raw, safe=safe)
        yield from (encoded, _lower_escapes(encoded))
    yield from (quote_plus(raw), _lower_escapes(quote_plus(raw)))
    yield from (raw.hex(), raw.hex().upper())
    yield from _base64_forms(raw)


def _lower_escapes(encoded: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The value by itself, and inside a longer base64 text: there its characters depend on the position, modulo 3."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode()
        for shift in range(3):
            text = encode(b"\0" * shift + raw).decode()
            start = (8 * shift + 5) // 6
            end = 8 * (shift + len(raw)) // 6
            yield text[start:end]
