"""Values of runs that hold a secret, at rest: masked for whoever looks, sealed for the run itself.

No row shows the value of a secret. Where a step's output, a var or an item of a foreach holds one, what is stored is
the masked value and, beside it, the original: encrypted, bound to account and place, together with the secrets that
it holds. Whoever opens it inside the engine learns those as well, and masks them in what comes of it: so a secret is
followed through steps, vars, child runs and the key-value store, also when it has another value by then.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.redaction import Redactor
from flowrunner.errors import Unreadable
from flowrunner.ports.cipher import Sealer

Known = frozenset[tuple[str, str]]
"""Secrets by name and value. One name may have several values: a secret can be changed while a run lasts."""

NOTHING: Known = frozenset()

SEALED = "$sealed"
SHOWN = "shown"


@dataclass(frozen=True, slots=True)
class Opened:
    """A value with the secrets that it holds."""

    value: Json
    secrets: Known = NOTHING

    def __repr__(self) -> str:
        return "Opened(***)"


@dataclass(frozen=True, slots=True)
class Hidden:
    """A value that holds a secret, as it may be stored: `shown` is masked, `sealed` is text; None: lost for good."""

    shown: Json
    sealed: str | None


class Seals:
    """Hides values and opens them. Without a sealer what is hidden stays hidden: later steps get the mask."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer

    def hide(self, account: AccountId, place: str, text: bytes, known: Known, redactor: Redactor) -> Hidden | None:
        """The JSON `text` in its two forms; None when it holds no secret and may be stored as it is."""
        if not redactor:
            return None
        value = orjson.loads(text)
        found = redactor.found(value)
        if not found:
            return None
        secrets = sorted(pair for pair in known if pair[1] in found)
        sealed = None
        if self._sealer is not None:
            plain = orjson.dumps({"v": orjson.Fragment(text), "s": secrets})
            sealed = base64.b64encode(self._sealer.seal(account, plain, place)).decode()
        return Hidden(redactor.value(value), sealed)

    def open(self, account: AccountId, place: str, sealed: str) -> Opened:
        """What was hidden at this place. Raises `Unreadable`."""
        if self._sealer is None:
            raise Unreadable("this process has no key for values that hold secrets")
        try:
            raw = base64.b64decode(sealed, validate=True)
        except binascii.Error:
            raise Unreadable from None
        document = orjson.loads(self._sealer.open(account, raw, place))
        return Opened(document["v"], frozenset((name, value) for name, value in document["s"]))

    # -- values that have no place for more than themselves -----------------------------------------------------

    def wrap(self, account: AccountId, place: str, value: Json, text: bytes, known: Known, redactor: Redactor) -> Json:
        """`value`, whose JSON is `text`, as it may be stored where a JSON value is stored."""
        hidden = self.hide(account, place, text, known, redactor)
        if hidden is None:
            return value
        return hidden.shown if hidden.sealed is None else {SEALED: hidden.sealed, SHOWN: hidden.shown}

    def unwrap(self, account: AccountId, place: str, stored: Json) -> Opened:
        """The value behind a stored one. Raises `Unreadable` with `retryable` when only its key cannot be had."""
        if not isinstance(stored, dict) or stored.keys() != {SEALED, SHOWN} or not isinstance(stored[SEALED], str):
            return Opened(stored)
        try:
            return self.open(account, place, stored[SEALED])
        except Unreadable as error:
            if error.retryable:
                raise
            return Opened(stored)  # somebody's own value that looks like one of ours


def callback_place(run: RunId, step: str) -> str:
    """Where the answer to a waiting step is kept."""
    return f"callback/{run}/{step}"


def values_of(known: Iterable[tuple[str, str]]) -> list[str]:
    """For a redactor."""
    return [value for _, value in known]


def names_of(known: Iterable[tuple[str, str]]) -> set[str]:
    return {name for name, _ in known}
