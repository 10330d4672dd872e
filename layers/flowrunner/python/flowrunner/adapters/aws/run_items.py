"""The two items of a run: its facts, which never change, and its head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowrunner.adapters.aws.content import Contents, pack, unpack
from flowrunner.adapters.aws.journal import NEWBORN, RunKey, head_key
from flowrunner.adapters.aws.keys import FACTS, HEAD, RUN_ITEMS, Key, joined, key, moment, read_run_pk, run_pk
from flowrunner.adapters.aws.table import Item, Table, Value, Write, number, octets, optional, text
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.ports.runs import Commit, RunRow

ENDED = "XR"
"""The partition of the expiry index that has the runs that ended."""


@dataclass(frozen=True, slots=True)
class Items:
    """A run as it is stored."""

    facts: Item
    head: Item


class RunItems:
    """Makes and reads the items of a run."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def creation(self, row: RunRow, outbox: bytes, mark: str) -> list[Write]:
        """The writes of a new run; refused when it exists."""
        pk = key(run_pk(row.account, row.id), HEAD).pk
        created = place_in_lists(row.created_at, row.id)
        facts: Item = {
            "pk": pk,
            "sk": FACTS,
            "b": self._contents.keep(row.account, row.body, row.id),
            "n": row.flow_name,
            "p": row.priority,
            "t0": row.created_at,
            "g1p": joined("A", row.account),
            "g1s": created,
            "g2p": joined("W", row.account, row.flow),
            "g2s": created,
        }
        head: Item = {
            "pk": pk,
            "sk": HEAD,
            "rv": row.rev,
            "st": row.status,
            "hd": pack(row.head),
            "mk": mark,
            "f": row.flow,
            "fv": row.revision,
            "g1p": status_pk(row.account, row.status),
            "g1s": created,
        }
        if outbox:
            head["ob"] = outbox
        if row.result is not None:
            head["re"] = self._contents.keep(row.account, row.result, row.id)
        if row.ended_at is not None:
            head |= {"en": row.ended_at, "g3p": ENDED, "g3s": moment(row.ended_at)}
        elif born(row):
            head |= {"g3p": NEWBORN, "g3s": moment(row.created_at)}
        return [Write("attribute_not_exists(pk)", put=head), Write(put=facts)]

    def move(
        self, commit: Commit, outbox: bytes, mark: str, *, newborn: bool
    ) -> tuple[Key, str, dict[str, Value], str]:
        """The update of a head that a commit is: key, change, values and condition."""
        values: dict[str, Value] = {
            ":rv": commit.rev,
            ":st": commit.status,
            ":hd": pack(commit.head or b""),
            ":mk": mark,
            ":g1p": status_pk(commit.account, commit.status),
            ":expected": commit.expected_rev,
        }
        changes = ["rv = :rv", "st = :st", "hd = :hd", "mk = :mk", "g1p = :g1p"]
        gone = ["g3p", "g3s"] if newborn else []
        if outbox:
            changes.append("ob = :ob")
            values[":ob"] = outbox
        else:
            gone.append("ob")
        if commit.revision is not None:
            changes.append("fv = :fv")
            values[":fv"] = commit.revision
        if commit.reopened:
            gone = list({*gone, "en", "re", "g3p", "g3s"})
        if commit.ended_at is not None:
            changes += ["en = :en", "g3p = :g3p", "g3s = :g3s"]
            values |= {":en": commit.ended_at, ":g3p": ENDED, ":g3s": moment(commit.ended_at)}
            gone = [name for name in gone if name not in ("en", "g3p", "g3s", "re")]
            if commit.result is not None:
                changes.append("re = :re")
                values[":re"] = self._contents.keep(commit.account, commit.result, commit.run)
            else:
                gone.append("re")
        change = f"SET {', '.join(changes)}" + (f" REMOVE {', '.join(gone)}" if gone else "")
        return key(run_pk(commit.account, commit.run), HEAD), change, values, "rv = :expected"

    def load(self, table: Table, keys: Sequence[RunKey]) -> dict[RunKey, Items]:
        """The items of runs. One run's are read in one query, which costs what both together weigh."""
        wanted = {one: place for one in keys if (place := head_key(*one)) is not None}
        if len(wanted) == 1:
            [pk] = {place.pk for place in wanted.values()}
            found = {
                Key(pk, text(item, "sk")): item
                for item in table.query("pk = :pk AND begins_with(sk, :sk)", {":pk": pk, ":sk": RUN_ITEMS})
            }
        else:
            found = table.get_all(Key(place.pk, sk) for place in wanted.values() for sk in (FACTS, HEAD))
        return {
            one: Items(found[Key(place.pk, FACTS)], found[place])
            for one, place in wanted.items()
            if place in found and Key(place.pk, FACTS) in found
        }

    def row(self, account: AccountId, run: RunId, items: Items) -> RunRow:
        """The run that is stored in these items."""
        facts, head = items.facts, items.head
        result = octets(head, "re") if "re" in head else None
        return RunRow(
            account,
            run,
            FlowId(text(head, "f")),
            number(head, "fv"),
            text(facts, "n"),
            number(facts, "p"),
            number(facts, "t0"),
            self._contents.read(octets(facts, "b"), account, run),
            number(head, "rv"),
            text(head, "st"),
            unpack(octets(head, "hd")),
            self._contents.read(result, account, run) if result is not None else None,
            optional(head, "en"),
        )


def born(row: RunRow) -> bool:
    """Whether a run that is being created has its life before it."""
    return row.ended_at is None and row.status not in TERMINAL


def status_pk(account: AccountId, status: str) -> str:
    """The partition of the list of an account's runs of one status."""
    return joined("S", account, status)


def place_in_lists(created_at: Millis, run: RunId) -> str:
    return f"{moment(created_at)}#{run}"


def run_of(pk: str) -> RunKey:
    """The run whose partition it is."""
    return read_run_pk(pk)
