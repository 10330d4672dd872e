"""What a commit leaves to be done once its head is written: rows to store and messages to send.

A commit is one conditional write of one item. So what belongs to it travels in the head until it is known to be where
it belongs: an `Entry` for each such commit. Whoever finds an entry can finish what a crash left undone, and doing it
twice changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from flowrunner.core.ids import AccountId, Millis, NodeId, RunId, StepId
from flowrunner.ports.queue import Message, Receipt
from flowrunner.ports.runs import Commit, RowStatus, StepRow

STATUSES = {
    RowStatus.RUNNING: "r",
    RowStatus.WAITING: "w",
    RowStatus.SUCCEEDED: "s",
    RowStatus.FAILED: "f",
    RowStatus.SKIPPED: "k",
}
"""How a row's status is written."""

READ_STATUSES = {code: status for status, code in STATUSES.items()}

FORMAT = 1

_NUMBERED = re.compile(r"(.*?)(\d+)(\]?)")
"""A step's id, and the number that the next one would have another of."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to send. `anew` says that it takes the place of one that is there: the commit acknowledged that.

    `rev` is the commit that sends it, 0 for none: whoever removes older messages leaves it alone. `held` is until when
    it was handed off: whoever else sends it lets it wait as long.
    """

    message: Message
    anew: bool = False
    rev: int = 0
    held: Millis = 0

    @property
    def due(self) -> Millis:
        """When anybody may take it."""
        return max(self.message.due, self.held)


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A step row whose body is content as `Contents` keeps it."""

    step: StepId
    attempt: int
    node: NodeId
    status: RowStatus
    rev: int
    body: bytes

    @property
    def at(self) -> tuple[StepId, int]:
        return self.step, self.attempt


@dataclass(frozen=True, slots=True)
class Entry:
    """What the commit of `rev` owes. `acks` are the messages that led to it: one that comes again calls for a look.

    `ended`: the run's other messages go.
    """

    rev: int
    acks: Sequence[Receipt] = ()
    letters: Sequence[Letter] = ()
    rows: Sequence[StoredRow] = ()
    ended: bool = False

    @property
    def empty(self) -> bool:
        return not self.letters and not self.rows and not self.ended

    def led_to(self, receipts: Iterable[Receipt]) -> bool:
        """Whether a message that it sends has come. (The first of a step: one that is sent anew may be the old one.)

        Only of a commit that a message led to: then the step is one that it created, and nobody else sent it before.
        """
        sent = {one.message.receipt for one in self.letters if not one.anew}
        return bool(self.acks) and not sent.isdisjoint(receipts)

    def without_letters(self, receipts: Iterable[Receipt], *, anew: bool = True) -> Entry:
        """The same without messages that were evidently sent.

        Of one that is sent anew (the timer of a step that was begun by a message of the same name) it is not evident
        if the old one may have come again: without `anew` it stays.
        """
        sent = set(receipts)
        letters = [one for one in self.letters if one.message.receipt not in sent or (one.anew and not anew)]
        return replace(self, letters=letters)


def entry_of(commit: Commit, rows: Sequence[StoredRow], acks: Sequence[Receipt]) -> Entry:
    """What a commit owes."""
    gone = set(commit.ack)
    over = commit.ended_at is not None
    messages = [*((message, 0) for message in commit.send), *((one, commit.lease_until) for one in commit.hand_off)]
    letters = [Letter(message, over or message.receipt in gone, commit.rev, held) for message, held in messages]
    return Entry(commit.rev, acks, letters, rows, ended=over)


def encode(entries: Sequence[Entry], account: AccountId, run: RunId) -> bytes:
    """Entries as bytes: a line of JSON, and the rows' bodies one after the other. Nothing for no entries."""
    if not entries:
        return b""
    document = [FORMAT, [_entry(entry, account, run) for entry in entries]]
    return b"\n".join([orjson.dumps(document), b"".join(row.body for entry in entries for row in entry.rows)])


def decode(raw: bytes, account: AccountId, run: RunId) -> list[Entry]:
    """What `encode` was given. Raises `ValueError` for a format that this program does not know."""
    if not raw:
        return []
    line, _, bodies = raw.partition(b"\n")
    version, documents = orjson.loads(line)
    if version != FORMAT:
        raise ValueError(f"the outbox has format {version!r}; this program knows format {FORMAT}")
    entries: list[Entry] = []
    for rev, acks, letters, rows, ended in documents:
        read: list[StoredRow] = []
        for step, attempt, node, status, row_rev, size in rows:
            read.append(StoredRow(StepId(step), attempt, NodeId(node), READ_STATUSES[status], row_rev, bodies[:size]))
            bodies = bodies[size:]
        entries.append(
            Entry(
                rev,
                [_read_receipt(one, account, run) for one in acks],
                [letter for one in letters for letter in _read_letters(one, account, run, rev)],
                read,
                bool(ended),
            )
        )
    return entries


def stored_row(row: StepRow, body: bytes) -> StoredRow:
    """A row with its body as it is kept."""
    return StoredRow(row.step, row.attempt, row.node, row.status, row.rev, body)


def written(before: StoredRow | None, row: StoredRow) -> StoredRow:
    """The row as it is after `row` was written over `before`: a final one stays, but for a revision it lacks."""
    if before is None or not before.status.final:
        return row
    return replace(before, rev=row.rev) if not before.rev and row.rev else before


def _entry(entry: Entry, account: AccountId, run: RunId) -> list[object]:
    return [
        entry.rev,
        [_receipt(one, account, run) for one in entry.acks],
        _letters(entry.letters, account, run),
        [[row.step, row.attempt, row.node, STATUSES[row.status], row.rev, len(row.body)] for row in entry.rows],
        int(entry.ended),
    ]


_LETTER = (1, 0, 0, 0)
"""Priority, anew, slow and held, as they are where a letter ends early."""


def _letter(letter: Letter, account: AccountId, run: RunId) -> list[object]:
    """A letter of the entry that has its revision."""
    message = letter.message
    rest = [message.priority, int(letter.anew), int(message.slow), letter.held]
    while rest and rest[-1] == _LETTER[len(rest) - 1]:
        rest.pop()
    return [_receipt(message.receipt, account, run), message.due, *rest]


def _letters(letters: Sequence[Letter], account: AccountId, run: RunId) -> list[Any]:
    """Letters, with those of steps that follow each other as one: a wide fan-out sends many that are alike."""
    result: list[Any] = []
    for letter in letters:
        one = _letter(letter, account, run)
        if not result or not _joined(result[-1], one):
            result.append(one)
    return result


def _joined(before: Any, one: Any) -> bool:
    """Whether a letter is the next one after another, or after several that are one already: then it is counted."""
    (first, attempt, *count), *rest = before
    (step, its_attempt, *elsewhere), *its_rest = one
    known = count[0] if len(count) == 1 else 1
    alike = (attempt, rest) == (its_attempt, its_rest) and not elsewhere and len(count) <= 1
    if not alike or _next(first, known) != step:
        return False
    before[0] = [first, attempt, known + 1]
    return True


def _next(step: str, count: int) -> str | None:
    """The step that comes `count` after another: `2.7` → `2.8`, `1.0[7]` → `1.0[8]`."""
    parts = _NUMBERED.fullmatch(step)
    return f"{parts[1]}{int(parts[2]) + count}{parts[3]}" if parts else None


def _read_letters(values: Sequence[Any], account: AccountId, run: RunId, rev: int) -> list[Letter]:
    (step, attempt, *more), due, *rest = values
    given: list[Any] = [*rest, *_LETTER[len(rest) :]]
    priority, anew, slow, held = given
    count = int(more[0]) if len(more) == 1 else 1
    elsewhere = more if count == 1 else []
    steps = [step, *(_next(step, number) for number in range(1, count))]
    receipts = [_read_receipt([one, attempt, *elsewhere], account, run) for one in steps]
    messages = [Message(receipt, due, priority, slow=bool(slow)) for receipt in receipts]
    return [Letter(message, bool(anew), rev, held) for message in messages]


def _receipt(receipt: Receipt, account: AccountId, run: RunId) -> list[object]:
    """Step and attempt, with account and run where they are others than the head's."""
    here = (receipt.account, receipt.run) == (account, run)
    return [receipt.step, receipt.attempt] if here else [receipt.step, receipt.attempt, receipt.account, receipt.run]


def _read_receipt(values: Sequence[object], account: AccountId, run: RunId) -> Receipt:
    step, attempt, *place = values
    if place:
        account, run = AccountId(str(place[0])), RunId(str(place[1]))
    return Receipt(account, run, StepId(str(step)), int(str(attempt)))
