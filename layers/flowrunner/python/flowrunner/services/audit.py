"""The audit log: who did what, when, in a chain of records that shows every later change.

A record is inserted under its number, never written again; two writers of one number race, and the loser takes the
next. The *head* notes the number and hash of the last record, so that records removed from the end are missed.

    record n is inserted  →  the head is moved to n  →  record n+1 may be inserted

A process that dies between the two leaves the head one behind; whoever writes next moves it on first. So a chain may
be longer than its head by one, never by more: `verify` accepts the one. Should that record be removed before the head
was moved, nothing shows it: there is no moment at which two writes are one. Against somebody who can write the whole
store (and computes the chain anew) only an anchor helps: note `head` down elsewhere, and give it to `verify`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from flowrunner.core.ids import AccountId, Millis
from flowrunner.errors import StoreError
from flowrunner.ports.clock import Clock
from flowrunner.ports.entities import Entities, Entity
from flowrunner.services.audit_actions import Action
from flowrunner.services.audit_chain import GENESIS, Check, Mark, Record, clean, decode, record_id, short
from flowrunner.services.identity import Actor, Permission, require

__all__ = ["Action", "Audit", "Mark", "Record", "RecordPage", "Verdict"]

KIND = "audit"
HEAD_KIND = "audit.head"
ONCE_KIND = "audit.once"
HEAD = "head"

TRIES = 100
"""Lost races in a row after which something is wrong with the store, not with luck."""

PAGE = 500
MOST_SCANNED = 5_000
"""Records that one call of `list` looks at, at most, when a filter lets few of them through."""

REMEMBERED: Millis = 90 * 86_400_000
"""How long `record_once` knows that it has recorded something."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records, and the number to go on from (`before` or `after`, as was asked); None when there is nothing more."""

    records: Sequence[Record]
    next: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a chain is whole: `records` are good, the last of them is `head`; `first_bad` is the next one if not."""

    ok: bool
    records: int
    head: Mark
    first_bad: int | None = None
    reason: str = ""


class Audit:
    """See the module. Safe for several threads and processes."""

    def __init__(self, entities: Entities, clock: Clock) -> None:
        self._entities = entities
        self._clock = clock

    # -- writing ------------------------------------------------------------------------------------------------

    def record(self, actor: Actor, action: Action, target: str = "", **details: Any) -> None:
        """Write down what `actor` does. Whoever calls it has checked that the actor may.

        Details are plain values, never secrets. Raises `StoreError`: an act that cannot be recorded is not done.
        """
        self._append(
            Record(
                seq=0,
                at=0,
                account=actor.account,
                who=actor.name,
                action=str(action),
                target=target,
                details=details,
                user=actor.user,
                token=actor.token,
                address=actor.address,
                correlation=actor.correlation,
            )
        )

    def record_for(
        self,
        account: AccountId,
        name: str,
        action: Action,
        target: str = "",
        *,
        address: str = "",
        correlation: str = "",
        **details: Any,
    ) -> None:
        """Write down an act without an actor: a failed login, a secret read by a run. For internal callers."""
        self._append(
            Record(0, 0, account, name, str(action), target, details, address=address, correlation=correlation)
        )

    def record_once(
        self, account: AccountId, name: str, action: Action, target: str = "", *, key: str, **details: Any
    ) -> bool:
        """As `record_for`, unless the account has an act of this `key` already. True if it was recorded now.

        Two calls at the same moment may both record it; a crash never leaves it out. For internal callers.
        """
        now = self._clock.now()
        id = hashlib.sha256(f"{action}|{key}".encode("utf-8", "replace")).hexdigest()
        if self._entities.get(account, ONCE_KIND, id, now) is not None:
            return False
        self.record_for(account, name, action, target, **details)
        self._entities.put(Entity(account, ONCE_KIND, id, b"", expires_at=now + REMEMBERED), now)
        return True

    # -- reading ------------------------------------------------------------------------------------------------

    def list(
        self,
        actor: Actor,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        action: str | None = None,
        who: str | None = None,
    ) -> RecordPage:
        """Records of the actor's account, the newest first; with `after`, the oldest first from behind that number.

        `action` also takes a group: `secret` for all `secret.…`. A page may hold fewer than `limit` records and still
        have a `next`, when a filter lets few through. Raises `Forbidden`.
        """
        require(actor, Permission.AUDIT_READ)
        found: list[Record] = []
        scanned, position = 0, after if after is not None else before
        while scanned < MOST_SCANNED:
            page = self._page(actor.account, position, descending=after is None)
            for entity in page:
                scanned, position = scanned + 1, _number(entity)
                record = _readable(entity)
                if _matches(record, action, who):
                    found.append(record)
                    if len(found) == limit:
                        return RecordPage(found, position)
            if len(page) < PAGE:
                return RecordPage(found, None)
        return RecordPage(found, position)

    def verify(self, actor: Actor, anchor: Mark | None = None) -> Verdict:
        """Check the whole chain of the actor's account, against `anchor` as well if there is one. Raises `Forbidden`.

        A record that is written meanwhile may or may not be part of it.
        """
        require(actor, Permission.AUDIT_READ)
        head = self._head(actor.account)[0]
        check = Check(actor.account, head, anchor)
        flaw = None
        for entity in self._all(actor.account):
            flaw = check.take(entity.id, entity.body)
            if flaw is not None:
                break
        # Read after the records: it lags by one at most, however many were written meanwhile.
        flaw = flaw or check.end(self._head(actor.account)[0])
        if flaw is None:
            return Verdict(True, check.reached.count, check.reached)
        return Verdict(False, flaw.seq - 1, head, flaw.seq, flaw.reason)

    # -- how ----------------------------------------------------------------------------------------------------

    def _append(self, wish: Record) -> None:
        """Insert a record behind the last one and move the head to it."""
        wish = replace(
            wish,
            at=self._clock.now(),
            who=short(wish.who),
            target=short(wish.target),
            details=clean(wish.details),
            address=short(wish.address),
            correlation=short(wish.correlation),
        )
        account = wish.account
        head, rev = self._head(account)
        last = head
        for _ in range(TRIES):
            draft = replace(wish, seq=last.count + 1, prev=last.hash)
            record = replace(draft, hash=draft.digest())
            if self._entities.put(Entity(account, KIND, record.id, record.encode()), record.at, 0) is not None:
                if last == head:
                    self._move(account, Mark(record.seq, record.hash), rev)
                _tell(record)
                return
            newest = self._newest(account)
            if newest.count == head.count + 1:
                # Somebody was faster, or died before moving the head: move it for them.
                self._move(account, newest, rev)
            before = rev
            head, rev = self._head(account)
            # A head that lags behind and stays is damaged. The log goes on behind the newest record; the head stays
            # as it is, for `verify` to find.
            last = head if rev != before else newest
        raise StoreError("the audit log is written by others all the time; try again")

    def _head(self, account: AccountId) -> tuple[Mark, int]:
        """What is noted of the last record, and at which revision."""
        entity = self._entities.get(account, HEAD_KIND, HEAD, self._clock.now())
        if entity is None:
            return Mark(), 0
        try:
            document = orjson.loads(entity.body)
            return Mark(int(document["count"]), str(document["hash"])), entity.rev
        except (KeyError, TypeError, ValueError):
            return Mark(), entity.rev

    def _move(self, account: AccountId, mark: Mark, rev: int) -> None:
        """Note the last record; refused when somebody has done so since `rev`, who then has noted this one as well."""
        body = orjson.dumps({"count": mark.count, "hash": mark.hash})
        self._entities.put(Entity(account, HEAD_KIND, HEAD, body), self._clock.now(), rev)

    def _newest(self, account: AccountId) -> Mark:
        found = self._entities.list(account, KIND, self._clock.now(), limit=1, descending=True)
        if not found:
            return Mark()
        try:
            hash = decode(found[0].body).hash  # noqa: A001  # the word of the record
        except ValueError:
            hash = GENESIS  # noqa: A001  # an unreadable record: `verify` names it
        return Mark(_number(found[0]), hash)

    def _page(self, account: AccountId, position: int | None, *, descending: bool) -> Sequence[Entity]:
        after = None if position is None else record_id(position)
        return self._entities.list(account, KIND, self._clock.now(), after=after, limit=PAGE, descending=descending)

    def _all(self, account: AccountId) -> Iterator[Entity]:
        after: str | None = None
        while True:
            page = self._entities.list(account, KIND, self._clock.now(), after=after, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id


def _number(entity: Entity) -> int:
    return int(entity.id) if entity.id.isdecimal() else 0


def _readable(entity: Entity) -> Record:
    """The record; one that somebody has made unreadable is shown as that."""
    try:
        return decode(entity.body)
    except ValueError:
        return Record(_number(entity), 0, entity.account, "", "unreadable", hash=GENESIS)


def _matches(record: Record, action: str | None, who: str | None) -> bool:
    if action is not None and record.action != action and not record.action.startswith(f"{action}."):
        return False
    return who is None or record.who == who


def _tell(record: Record) -> None:
    """A copy for the log, which is kept elsewhere and longer than the account."""
    if _log.isEnabledFor(logging.INFO):
        data = record.entry()
        extra = {"account": record.account, "correlation": record.correlation, "data": data}
        _log.info("audit: %s", record.action, extra=extra)
