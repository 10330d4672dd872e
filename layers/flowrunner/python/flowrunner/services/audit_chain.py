"""The chain of audit records as values: how a record is written, hashed and checked. No store, no clock.

    hash(i) = SHA-256(hash(i-1) || canonical JSON of entry i)         hash(0) = 64 zeros

The canonical JSON is UTF-8 with sorted keys and no blanks; both hashes are written beside the entry. So a record tells
by itself whether it was changed (its hash does not fit its text) and whether the record before it is still the one it
was written after (that one's hash is not its `prev`): a changed, removed, inserted or moved record cannot pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from flowrunner.core.ids import AccountId, Millis

GENESIS = "0" * 64
"""What the first record follows."""

DIGITS = 12
"""Of a sequence number in an id, so that the order of ids is that of numbers."""

MAX_DETAILS = 20
MAX_TEXT = 500
"""Characters of one text in a record; who caused it chose it, and it is kept for ever."""


@dataclass(frozen=True, slots=True)
class Record:
    """One act. `who` is the actor's name; `user` and `token` are its ids, if it had them."""

    seq: int
    at: Millis
    account: AccountId
    who: str
    action: str
    target: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None
    token: str | None = None
    address: str = ""
    correlation: str = ""
    prev: str = GENESIS
    hash: str = ""

    @property
    def id(self) -> str:
        return record_id(self.seq)

    def entry(self) -> dict[str, Any]:
        """What is hashed: everything but the hashes."""
        return {
            "seq": self.seq,
            "at": self.at,
            "account": self.account,
            "who": self.who,
            "user": self.user,
            "token": self.token,
            "action": self.action,
            "target": self.target,
            "details": dict(self.details),
            "address": self.address,
            "correlation": self.correlation,
        }

    def digest(self) -> str:
        """The hash that this record has if nobody changed it."""
        return hashlib.sha256(self.prev.encode() + canonical(self.entry())).hexdigest()

    def encode(self) -> bytes:
        return canonical({"entry": self.entry(), "prev": self.prev, "hash": self.hash})


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a chain goes: so many records, the last with this hash. Note one down elsewhere as an anchor."""

    count: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first record at which the chain is broken, and how."""

    seq: int
    reason: str


def canonical(value: Any) -> bytes:
    """The one text of a JSON value."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def record_id(seq: int) -> str:
    return f"{seq:0{DIGITS}}"


def decode(body: bytes) -> Record:
    """The record that a body holds. Raises `ValueError` for one that nobody here has written."""
    try:
        document = orjson.loads(body)
        entry: dict[str, Any] = dict(document["entry"])
        sound = isinstance(entry["seq"], int) and isinstance(entry["details"], dict)
        record = Record(**entry, prev=document["prev"], hash=document["hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("this is no audit record") from error
    if not sound:
        raise ValueError("this is no audit record")
    return record


def clean(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details as they are kept: JSON of limited size, whatever was given."""
    kept = {short(str(key)): _plain(value) for key, value in list(details.items())[:MAX_DETAILS] if value is not None}
    if len(details) > MAX_DETAILS:
        kept["omitted"] = len(details) - MAX_DETAILS
    return kept


def short(text: str) -> str:
    """A text that can be stored, cut to what is kept."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [short(str(item)) for item in list(value)[:MAX_DETAILS]]
    return short(str(value))


class Check:
    """Takes the records of a chain one by one, from the first on, and says where it is broken first."""

    def __init__(self, account: AccountId, head: Mark, anchor: Mark | None = None) -> None:
        self._account = account
        self._marks = [mark for mark in (head, anchor) if mark is not None and mark.count > 0]
        self.reached = Mark()

    def take(self, id: str, body: bytes) -> Flaw | None:
        """The next record in the order of ids; the flaw that it shows, if any. Not to be called after a flaw."""
        seq = self.reached.count + 1
        if id > record_id(seq):
            return Flaw(seq, "the record is missing")
        if id != record_id(seq):
            return Flaw(seq, f"there is a record {id!r} that does not belong to the chain")
        try:
            record = decode(body)
        except ValueError:
            return Flaw(seq, "the record was changed: it cannot be read")
        if record.hash != record.digest() or record.encode() != body:
            return Flaw(seq, "the record was changed: its hash does not fit its text")
        if record.seq != seq or record.account != self._account:
            return Flaw(seq, f"the record was moved: it was written as number {record.seq} of {record.account}")
        if record.prev != self.reached.hash:
            return Flaw(max(seq - 1, 1), "the record was replaced: the one after it was written after another one")
        self.reached = Mark(seq, record.hash)
        for mark in self._marks:
            if mark.count == seq and mark.hash != record.hash:
                return Flaw(seq, "the record was replaced: it is not the one that was noted as the last one then")
        return None

    def end(self, head: Mark) -> Flaw | None:
        """After the last record: a flaw if there should be more or fewer. `head` is what is noted by now."""
        count = self.reached.count
        for mark in self._marks:
            if mark.count > count:
                return Flaw(count + 1, f"the record is missing, and all up to number {mark.count}")
        if count > head.count + 1:
            return Flaw(head.count + 1, "the note of the last record was set back")
        return None
