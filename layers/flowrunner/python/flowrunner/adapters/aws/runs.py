"""Run state in DynamoDB. The protocol is described in `journal`; `docs/aws-store.md` counts what it costs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from flowrunner.adapters.aws.claims import Claims
from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.journal import Head, Journal, Outlet, RunKey
from flowrunner.adapters.aws.outbox import Entry, Letter, encode, entry_of
from flowrunner.adapters.aws.rows import Rows
from flowrunner.adapters.aws.run_items import RunItems, first_look, next_look
from flowrunner.adapters.aws.table import Refused, Table, text
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.ports.clock import Clock, Draws
from flowrunner.ports.queue import Message
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, Commit, RunRow, StepReport
from flowrunner.ports.wakeups import Topic

T = TypeVar("T")
R = TypeVar("R")

OUTBOX_IN_HEAD = 32 * 1024
"""Compressed bytes of an outbox above which it goes beside the head."""


class DynamoRuns:
    """See `ports.runs.RunStore`."""

    def __init__(
        self,
        table: Table,
        contents: Contents,
        rows: Rows,
        journal: Journal,
        outlet: Outlet,
        clock: Clock,
        draws: Draws,
        tell: Callable[[Topic], None],
        trust: Millis = 0,
    ) -> None:
        """`trust`: how long a claim takes the state of a run for true that this process has read before."""
        self._table = table
        self._contents = contents
        self._rows = rows
        self._journal = journal
        self._outlet = outlet
        self._clock = clock
        self._draws = draws
        self._tell = tell
        self._items = RunItems(contents)
        self._claims = Claims(table, contents, rows, journal, trust)

    def create(
        self, runs: Sequence[RunRow], messages: Sequence[Message], *, owner: str = "", lease_until: Millis = 0
    ) -> Sequence[bool]:
        first: dict[RunKey, list[Message]] = {}
        for message in messages:
            first.setdefault((message.receipt.account, message.receipt.run), []).append(message)

        def create_one(row: RunRow) -> bool:
            return self._create(row, first.get((row.account, row.id), ()), owner, lease_until)

        created = self._each_run(create_one, runs, lambda row: (row.account, row.id))
        mine = [row for row, new in zip(runs, created, strict=True) if new]
        if any(
            not owner or message.due > row.created_at
            for row in mine
            for message in first.get((row.account, row.id), ())
        ):
            self._tell("queue")
        self._tell("runs")
        return created

    def _create(self, row: RunRow, messages: Sequence[Message], owner: str, lease_until: Millis) -> bool:
        entry = Entry(row.rev, letters=[Letter(message, rev=row.rev) for message in messages])
        mark = self._draws.token()[:8]
        outbox, look = self._outbox(row.account, row.id, [entry]), first_look(row, messages)
        try:
            self._table.transact(self._items.creation(row, outbox, mark, look))
        except Refused:
            self._journal.settle_created(row.account, row.id)
            return False
        head = Head(row.rev, row.status, mark, [entry], self._clock.monotonic(), look, row.rev)
        self._journal.keep(row.account, row.id, head)
        now = [letter for letter in entry.letters if owner and letter.message.due <= row.created_at]
        self._outlet.hand_off(now, owner, lease_until, ())
        self._outlet.put([letter for letter in entry.letters if letter not in now])
        self._journal.settled(row.account, row.id, head, entry)
        return True

    def load(self, keys: Sequence[tuple[AccountId, RunId]]) -> Sequence[RunRow | None]:
        found = self._items.load(self._table, keys)
        rows: list[RunRow | None] = []
        for key in keys:
            items = found.get(key)
            if items is None:
                rows.append(None)
                continue
            self._journal.note(*key, items.head)
            rows.append(self._items.row(*key, items))
        return rows

    def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        return self._claims.claim(requests)

    def renew(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str, lease_until: Millis) -> None:
        self._claims.renew(claims, owner, lease_until)

    def let_go(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str) -> None:
        self._claims.let_go(claims, owner)

    def report(self, reports: Sequence[StepReport]) -> None:
        if self._claims.report(reports):
            self._tell("runs")

    def commit(self, commits: Sequence[Commit]) -> Sequence[bool]:
        applied = self._each_run(self._commit, commits, lambda commit: (commit.account, commit.run))
        won = [commit for commit, took in zip(commits, applied, strict=True) if took]
        if any(commit.send for commit in won):
            self._tell("queue")
        if any(commit.ended_at is not None for commit in won):
            self._tell("runs")
        return applied

    # -- one commit ---------------------------------------------------------------------------------------------

    def _commit(self, commit: Commit) -> bool:
        if commit.head is None:
            return self._record(commit)
        head = self._expected(commit)
        if head is None:
            return False
        bearers = self._outlet.bearers(commit.ack)
        carried = self._journal.carried(commit.account, commit.run, head, commit.ack, bearers)
        if commit.ended_at is not None:
            carried = []  # their messages go with the end of the run
        entry = entry_of(commit, self._rows.prepare(commit.account, commit.run, commit.steps), bearers)
        moved = self._move(commit, head, [*carried, entry])
        if moved is None:
            return False
        self._journal.keep(commit.account, commit.run, moved)
        self._flush(commit, entry)
        self._journal.settled(commit.account, commit.run, moved, entry)
        return True

    def _expected(self, commit: Commit) -> Head | None:
        """The head that the commit is made for, if it is (as far as can be known) the present one."""
        head = self._journal.known(commit.account, commit.run)
        if head is None or head.rev != commit.expected_rev:
            head = self._journal.read(commit.account, commit.run)
        return head if head is not None and head.rev == commit.expected_rev else None

    def _move(self, commit: Commit, head: Head, entries: Sequence[Entry]) -> Head | None:
        """The conditional write that decides; None if it was refused."""
        mark = self._draws.token()[:8]
        outbox = self._outbox(commit.account, commit.run, [entry for entry in entries if not entry.empty])
        look = next_look(commit, head.look)
        try:
            self._table.update(*self._items.move(commit, outbox, mark, head.look, look))
        except Refused as refused:
            # Our own write, whose answer was lost and which botocore then repeated, is no lost race. If others have
            # moved the head on since then it looks like one: what we owe is in the outbox still, and our message
            # comes again, or is acknowledged by whoever asks next.
            if refused.item is None or text(refused.item, "mk") != mark:
                self._journal.forget(commit.account, commit.run)
                return None
        read_at = self._clock.monotonic()
        reopened = head.reopened or commit.reopened
        return Head(commit.rev, commit.status, mark, list(entries), read_at, look, head.seen, reopened)

    def _flush(self, commit: Commit, entry: Entry) -> None:
        """Bring what a commit owes to where it belongs: rows, messages, and last the acknowledgements."""
        for row in entry.rows:
            self._rows.write(commit.account, commit.run, row)
        mine = set(commit.hand_off) if commit.owner else set()
        kept = [letter for letter in entry.letters if letter.message in mine]
        self._outlet.hand_off(kept, commit.owner, commit.lease_until, commit.ack)
        self._outlet.put([letter for letter in entry.letters if letter.message not in mine])
        sent = [letter.message.receipt for letter in entry.letters]
        if entry.ended:
            self._outlet.clear(commit.account, commit.run, sent, entry.rev)
        # What is acknowledged and sent again is there twice in SQS; in the table the new one has the revision.
        held = {letter.message.receipt for letter in kept}
        self._outlet.remove([receipt for receipt in commit.ack if receipt not in held], entry.rev)

    def _record(self, commit: Commit) -> bool:
        """Rows and acknowledgements for which the state has no use."""
        if self._journal.read(commit.account, commit.run) is None:
            return False
        for row in self._rows.prepare(commit.account, commit.run, commit.steps):
            self._rows.write(commit.account, commit.run, row)
        self._journal.settle_acknowledged(commit.ack, self._outlet.bearers(commit.ack))
        self._outlet.remove(commit.ack)
        return True

    def _outbox(self, account: AccountId, run: RunId, entries: Sequence[Entry]) -> bytes:
        raw = encode(entries, account, run)
        return self._contents.keep_beside(account, run, raw, OUTBOX_IN_HEAD) if raw else b""

    def _each_run(self, work: Callable[[T], R], things: Sequence[T], run: Callable[[T], Hashable]) -> list[R]:
        """Things of different runs at once, those of one run one after the other; the answers in their order."""
        groups: dict[Hashable, list[int]] = {}
        for index, thing in enumerate(things):
            groups.setdefault(run(thing), []).append(index)
        answers = self._table.each(lambda group: [(index, work(things[index])) for index in group], [*groups.values()])
        return [answer for _, answer in sorted((pair for group in answers for pair in group), key=lambda pair: pair[0])]
