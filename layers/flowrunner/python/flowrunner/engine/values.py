"""Values at rest: JSON text in the row that owns them, or a blob that the row refers to (claim check).

https://www.enterpriseintegrationpatterns.com/StoreInLibrary.html: what is large stays where it is and a reference
travels. A reference carries size and SHA-256, so that a changed or missing blob is noticed.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.json_text import packed
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.seals import NOTHING, Known, Opened, Seals, values_of
from flowrunner.errors import StepError, ValueLost, ValueTooLarge
from flowrunner.ports.blobs import Blobs

BYTES = "$bytes"


@dataclass(frozen=True, slots=True)
class ValueLimits:
    """Sizes in bytes of JSON text: up to `inline` a value lives in its row, above `largest` it is refused."""

    inline: int = 100 * 1024
    largest: int = 32 * 1024 * 1024


def to_json(value: Any, where: str) -> bytes:
    """The JSON text of a value that a node or a hook gave.

    NaN and infinities become null, as in JSON.stringify; bytes become `{"$bytes": base64}`.
    Raises `StepError` with code `VALUE_NOT_JSON`, naming `where`, for what JSON cannot hold.
    """
    try:
        return packed(value, default=_special)
    except (TypeError, ValueError) as error:
        raise StepError(f"{where} is not a JSON value: {error}", code="VALUE_NOT_JSON") from error


def _special(value: Any) -> Json:
    if isinstance(value, bytes | bytearray):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


class Values:
    """Stores and loads values for one backend."""

    def __init__(self, blobs: Blobs, limits: ValueLimits, seals: Seals) -> None:
        self._blobs = blobs
        self._limits = limits
        self._seals = seals

    def store(
        self,
        account: AccountId,
        run: RunId,
        key: str,
        value: Any,
        where: str,
        known: Known = NOTHING,
        redactor: Redactor | None = None,
    ) -> Json:
        """The form in which a row keeps `value`: `{"i": …}` or `{"b": blob key, "s": size, "h": sha256}`.

        Of a value that shows one of the secrets `known` (of which `redactor` may have been made already) these hold
        the masked form; beside it are `k`, the key, and the sealed original in `x`, or in the blob that `y` names.

        `key` must be unique to the writer (it names the executor), since a blob is never overwritten. What is
        returned is meant for `orjson.dumps`; an inline value is embedded as the text it already is.
        Raises `ValueTooLarge` above the limit, naming `where` and the size.
        """
        text = to_json(value, where)
        if len(text) > self._limits.largest:
            raise ValueTooLarge(
                f"{where} has {len(text):,} bytes; a value may have {self._limits.largest:,}",
                hint="store it elsewhere and pass its address on",
                size=len(text),
                limit=self._limits.largest,
            )
        if not known:
            return self._plain(account, run, key, text)
        hidden = self._seals.hide(account, _place(run, key), text, known, redactor or Redactor(values_of(known)))
        if hidden is None:
            return self._plain(account, run, key, text)
        stored = {**self._plain(account, run, key, packed(hidden.shown)), "k": key}
        if hidden.sealed is None:
            return stored
        if len(hidden.sealed) <= self._limits.inline:
            return {**stored, "x": hidden.sealed}
        self._blobs.put(account, run, f"{key}/sealed", hidden.sealed.encode())
        return {**stored, "y": f"{key}/sealed"}

    def load(self, account: AccountId, run: RunId, stored: Json) -> Json:
        """The value of a stored form as people see it; None for no form at all.

        Raises `ValueLost` when a blob is missing or is not what was stored.
        """
        if stored is None:
            return None
        if "b" not in stored:
            return stored.get("i")
        text = self._blobs.get(account, run, stored["b"])
        if text is None or hashlib.sha256(text).hexdigest() != stored["h"]:
            what = "is missing" if text is None else "was changed"
            raise ValueLost(f"the stored value {stored['b']} of run {run} {what}")
        return orjson.loads(text)

    def open(self, account: AccountId, run: RunId, stored: Json) -> Opened:
        """The value of a stored form that holds secrets, as it was given. Raises `ValueLost` or `Unreadable`."""
        sealed = stored.get("x")
        if sealed is None:
            text = self._blobs.get(account, run, stored["y"])
            if text is None:
                raise ValueLost(f"the stored value {stored['y']} of run {run} is missing")
            sealed = text.decode("ascii")
        return self._seals.open(account, _place(run, stored["k"]), sealed)

    def _plain(self, account: AccountId, run: RunId, key: str, text: bytes) -> dict[str, Json]:
        if len(text) <= self._limits.inline:
            return {"i": orjson.Fragment(text)}
        self._blobs.put(account, run, key, text)
        return {"b": key, "s": len(text), "h": hashlib.sha256(text).hexdigest()}


def is_sealed(stored: Json) -> bool:
    """Whether a stored form has the original of a value beside its masked form."""
    return stored is not None and ("x" in stored or "y" in stored)


def _place(run: RunId, key: str) -> str:
    return f"run/{run}/{key}"
