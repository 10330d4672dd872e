"""Lists of runs. They are read from indexes, which follow a write within moments; each run is then read itself."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from flowrunner.adapters.aws.journal import RunKey, head_key
from flowrunner.adapters.aws.keys import FACTS, Key, joined, moment
from flowrunner.adapters.aws.run_items import RunItems, place_in_lists, run_of, status_pk
from flowrunner.adapters.aws.table import Item, Table, Value, number, text
from flowrunner.core.ids import AccountId, FlowId, RunId
from flowrunner.ports.history import RunFilter
from flowrunner.ports.runs import RunRow

AT_ONCE = 50

EARLIEST, LATEST = moment(-(10**14)), moment(10**15)


class RunLists:
    """Runs by account, flow and status, newest first."""

    def __init__(self, table: Table, items: RunItems) -> None:
        self._table = table
        self._items = items

    def runs(self, account: AccountId, wanted: RunFilter) -> Sequence[RunRow]:
        """See `ports.history.RunHistory`."""
        low = moment(wanted.created_from) if wanted.created_from is not None else EARLIEST
        high = moment(wanted.created_to) if wanted.created_to is not None else LATEST
        before = None
        if wanted.before is not None:
            before = self._place(account, wanted.before)
            if before is None:
                return []
            high = min(high, before)
        if low > high:
            return []
        found: list[RunRow] = []
        page: list[RunKey] = []
        seen: set[RunKey] = set()
        for item in self._candidates(account, wanted, low, high):
            if text(item, "g1s") == before or text(item, "g2s") == before:
                continue
            run = run_of(text(item, "pk"))
            if run in seen:
                continue  # its status changed while we read
            seen.add(run)
            page.append(run)
            if len(page) >= min(AT_ONCE, wanted.limit - len(found)):
                found += self._read(page, wanted)
                page = []
                if len(found) >= wanted.limit:
                    return found
        return found + self._read(page, wanted)

    def count(self, account: AccountId, statuses: Sequence[str], flow: FlowId | None, limit: int) -> int:
        """See `ports.history.RunHistory`."""
        total = 0
        for status in dict.fromkeys(statuses):
            if total >= limit:
                break
            values: dict[str, Value] = {":p": status_pk(account, status), **({":f": flow} if flow is not None else {})}
            keep = "f = :f" if flow is not None else ""
            total += self._table.count("g1p = :p", values, index="lists", keep=keep, limit=limit - total)
        return total

    def all_of(self, account: AccountId, limit: int) -> list[RunKey]:
        """Runs of an account, for whoever removes them."""
        found = self._table.query("g1p = :p", {":p": joined("A", account)}, index="lists", limit=limit)
        return [run_of(text(item, "pk")) for item, _ in zip(found, range(limit), strict=False)]

    def _candidates(self, account: AccountId, wanted: RunFilter, low: str, high: str) -> Iterator[Item]:
        """Items of runs that are likely to match, newest first."""
        size = min(AT_ONCE, wanted.limit)
        if wanted.statuses:
            keep = "f = :f" if wanted.flow is not None else ""
            more: dict[str, Value] = {":f": wanted.flow} if wanted.flow is not None else {}
            streams = [
                self._range("lists", "g1", status_pk(account, status), low, high, size, keep, more)
                for status in dict.fromkeys(wanted.statuses)
            ]
            newest: Callable[[Item], str] = lambda item: text(item, "g1s")  # noqa: E731  # its type is needed below
            return heapq.merge(*streams, key=newest, reverse=True)
        if wanted.flow is not None:
            return self._range("due", "g2", joined("W", account, wanted.flow), low, high, size)
        return self._range("lists", "g1", joined("A", account), low, high, size)

    def _range(
        self,
        index: str,
        name: str,
        pk: str,
        low: str,
        high: str,
        size: int,
        keep: str = "",
        more: dict[str, Value] | None = None,
    ) -> Iterator[Item]:
        return self._table.query(
            f"{name}p = :p AND {name}s BETWEEN :low AND :high",
            {":p": pk, ":low": low, ":high": high, **(more or {})},
            index=index,
            descending=True,
            limit=size,
            keep=keep,
        )

    def _read(self, page: Sequence[RunKey], wanted: RunFilter) -> list[RunRow]:
        """The runs themselves, those that match: an index may lag behind."""
        if not page:
            return []
        found = self._items.load(self._table, page)
        rows = [self._items.row(*run, found[run]) for run in page if run in found]
        return [row for row in rows if not wanted.statuses or row.status in wanted.statuses]

    def _place(self, account: AccountId, run: RunId) -> str | None:
        """Where a run is in all lists; None if there is no such run."""
        place = head_key(account, run)
        facts = self._table.get(Key(place.pk, FACTS)) if place is not None else None
        return place_in_lists(number(facts, "t0"), run) if facts is not None else None
