"""Who may execute an attempt: one conditional write of its row."""

from __future__ import annotations

from collections.abc import Sequence

from flowrunner.adapters.aws.content import Contents
from flowrunner.adapters.aws.journal import Head, Journal, RunKey
from flowrunner.adapters.aws.outbox import STATUSES
from flowrunner.adapters.aws.rows import Rows, place, read_row, status_of
from flowrunner.adapters.aws.table import Item, Refused, Table, Value, number, octets, text
from flowrunner.core.ids import AccountId, Millis, RunId, StepId
from flowrunner.core.status import TERMINAL
from flowrunner.errors import StoreError
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus, RowStatus, StepReport

TRIES = 50
"""Lost races for one attempt after which something is wrong with the table, not with luck."""

RUNNING = STATUSES[RowStatus.RUNNING]


class Claims:
    """The part of the run store that is about leases."""

    def __init__(self, table: Table, contents: Contents, rows: Rows, journal: Journal, trust: Millis) -> None:
        self._table = table
        self._contents = contents
        self._rows = rows
        self._journal = journal
        self._trust = trust / 1000

    def claim(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        """See `ports.runs.RunStore`. The state of each run is looked at once, before anything is claimed."""
        heads: dict[RunKey, Head | None] = {}
        for request in requests:
            run = (request.account, request.run)
            if run not in heads:
                heads[run] = self._journal.known(*run, within=self._trust) or self._journal.read(*run)
        return [self._claim(request, heads[request.account, request.run]) for request in requests]

    def _claim(self, request: ClaimRequest, head: Head | None) -> ClaimAnswer:
        if head is None:
            return ClaimAnswer(ClaimStatus.OVER)
        self._journal.settle_rows(request.account, request.run, head, (request.step, request.attempt))
        if head.status in TERMINAL:
            item = self._rows.get(request.account, request.run, request.step, request.attempt)
            done = item is not None and status_of(item).final
            return self._done(request, item) if item is not None and done else ClaimAnswer(ClaimStatus.OVER)
        for _ in range(TRIES):
            try:
                return self._take(request)
            except Refused as refused:
                answer = self._answer(request, refused.item)
                if answer is not None:
                    return answer
        raise StoreError(f"the lease of step {request.step} changes all the time; try again")

    def _take(self, request: ClaimRequest) -> ClaimAnswer:
        """Take the lease. Raises `Refused`."""
        free = "attribute_not_exists(o)" if request.at_most_once else "(attribute_not_exists(o) OR l <= :now)"
        values: dict[str, Value] = {
            ":st": RUNNING,
            ":n": request.node,
            ":b": self._contents.keep(request.account, request.body, request.run),
            ":o": request.owner,
            ":l": request.lease_until,
            ":r": 0,
            ":one": 1,
            ":now": request.now,
        }
        if request.at_most_once:
            del values[":now"]
        taken = self._table.update(
            place(request.account, request.run, request.step, request.attempt),
            "SET st = :st, n = :n, b = :b, o = :o, l = :l, r = :r ADD c :one",
            values,
            f"attribute_not_exists(pk) OR (st = :st AND {free})",
            "UPDATED_NEW",
        )
        return ClaimAnswer(ClaimStatus.GRANTED, number(taken, "c"), request.lease_until)

    def _answer(self, request: ClaimRequest, item: Item | None) -> ClaimAnswer | None:
        """Why a lease was not to be had; None if it may be by now."""
        if item is None:
            return None
        status, claims, until = status_of(item), number(item, "c"), number(item, "l")
        if status.final:
            return self._done(request, item)
        if status is RowStatus.WAITING:
            # It was executed and waits: a claim now comes from a reader that saw an older head.
            return ClaimAnswer(ClaimStatus.HELD, claims, max(until, request.now))
        if "o" not in item:
            return None
        if until > request.now:
            mine = text(item, "o") == request.owner
            return ClaimAnswer(ClaimStatus.GRANTED if mine else ClaimStatus.HELD, claims, until)
        return ClaimAnswer(ClaimStatus.LAPSED, claims) if request.at_most_once else None

    def _done(self, request: ClaimRequest, item: Item) -> ClaimAnswer:
        [row] = self._rows.opened(request.account, request.run, [read_row(item)])
        return ClaimAnswer(ClaimStatus.DONE, number(item, "c"), row=row)

    def renew(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str, lease_until: Millis) -> None:
        """See `ports.runs.RunStore`."""
        self._table.each(lambda claim: self._renew(claim, owner, lease_until), claims)

    def _renew(self, claim: tuple[AccountId, RunId, StepId, int], owner: str, lease_until: Millis) -> None:
        try:
            self._table.update(place(*claim), "SET l = :l", {":l": lease_until, ":o": owner}, "o = :o")
        except Refused:
            return  # it is another's by now

    def let_go(self, claims: Sequence[tuple[AccountId, RunId, StepId, int]], owner: str) -> None:
        """See `ports.runs.RunStore`."""
        self._table.each(lambda claim: self._let_go(claim, owner), claims)

    def _let_go(self, claim: tuple[AccountId, RunId, StepId, int], owner: str) -> None:
        values: dict[str, Value] = {":minus": -1, ":o": owner, ":st": RUNNING}
        try:
            self._table.update(place(*claim), "REMOVE o, l ADD c :minus", values, "o = :o AND st = :st")
        except Refused:
            return  # it is another's by now, or was given back already

    def report(self, reports: Sequence[StepReport]) -> bool:
        """See `ports.runs.RunStore`; true if anything was written."""
        last = {(one.account, one.run, one.step, one.attempt, one.owner): one for one in reports}
        return True in self._table.each(self._report, [*last.values()])

    def _report(self, report: StepReport) -> bool:
        stored = self._contents.keep(report.account, report.body, report.run)
        try:
            old = self._table.update(
                place(report.account, report.run, report.step, report.attempt),
                "SET b = :b",
                {":b": stored, ":o": report.owner, ":st": RUNNING},
                "o = :o AND st = :st",
                "UPDATED_OLD",
            )
        except Refused:
            self._contents.drop(stored)
            return False
        self._contents.drop(octets(old, "b"))
        return True
