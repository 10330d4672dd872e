"""The two items of a run: its facts, which never change, and its head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from flowrunner.adapters.aws.content import Contents, pack, unpack
from flowrunner.adapters.aws.journal import RunKey, head_key
from flowrunner.adapters.aws.keys import FACTS, HEAD, RUN_ITEMS, Key, joined, key, moment, read_run_pk, run_pk
from flowrunner.adapters.aws.table import Item, Table, Value, Write, number, octets, optional, text
from flowrunner.core.ids import AccountId, FlowId, Millis, RunId
from flowrunner.core.status import TERMINAL
from flowrunner.engine.owed import STILL
from flowrunner.ports.queue import Message
from flowrunner.ports.runs import Commit, RunRow

ENDED = "XR"
"""The partition of the expiry index that has the runs that ended."""

SHARDS = 4
"""Partitions of the due index among which runs are divided: each takes a thousand writes a second."""

NEWBORN_AGE: Millis = 60_000
"""Whoever created a run has sent its messages by then, or has died."""

LEFT: Millis = 900_000
"""A look that comes so much too early is moved by the commit, which costs less than looking twice."""


@dataclass(frozen=True, slots=True)
class Items:
    """A run as it is stored."""

    facts: Item
    head: Item


class RunItems:
    """Makes and reads the items of a run."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def creation(self, row: RunRow, outbox: bytes, mark: str, look: Millis | None) -> list[Write]:
        """The writes of a new run, at which a sweep looks at a moment; refused when it exists."""
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
            "sr": row.rev,
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
        if look is not None:
            head |= {"g2p": live_pk(row.account, row.id), "g2s": moment(look)}
        return [Write("attribute_not_exists(pk)", put=head), Write(put=facts)]

    def move(
        self, commit: Commit, outbox: bytes, mark: str, before: Millis | None, look: Millis | None
    ) -> tuple[Key, str, dict[str, Value], str]:
        """The update of a head that a commit is: key, change, values and condition.

        A sweep was to look at it at a moment, and is now to do that at another.
        """
        values: dict[str, Value] = {
            ":rv": commit.rev,
            ":st": commit.status,
            ":hd": pack(commit.head or b""),
            ":mk": mark,
            ":g1p": status_pk(commit.account, commit.status),
            ":expected": commit.expected_rev,
        }
        changes = ["rv = :rv", "st = :st", "hd = :hd", "mk = :mk", "g1p = :g1p"]
        gone = ["g2p", "g2s"] if look is None and before is not None else []
        if look is not None and look != before:
            changes += ["g2p = :g2p", "g2s = :g2s"]
            values |= {":g2p": live_pk(commit.account, commit.run), ":g2s": moment(look)}
        if outbox:
            changes.append("ob = :ob")
            values[":ob"] = outbox
        else:
            gone.append("ob")
        if commit.revision is not None:
            changes.append("fv = :fv")
            values[":fv"] = commit.revision
        if commit.reopened:
            changes.append("ro = :ro")
            values[":ro"] = 1
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


def first_look(row: RunRow, messages: Sequence[Message]) -> Millis | None:
    """When a sweep looks at a new run for the first time: has its creator sent its messages?"""
    if row.ended_at is not None or row.status in TERMINAL:
        return None
    if not messages:
        return row.created_at + STILL
    return max(row.created_at, min(message.due for message in messages)) + NEWBORN_AGE


def next_look(commit: Commit, before: Millis | None) -> Millis | None:
    """When a sweep looks at a run after a commit.

    An early look is left as it is, though the run has moved: the sweep puts it off, so that a run that is over in a
    minute pays for none of that, and no other one with each of its steps.
    """
    wanted = commit.look_at
    if wanted is None or before is None or before > wanted or wanted - before > LEFT:
        return wanted
    return before


def live_pk(account: AccountId, run: RunId) -> str:
    """The partition of the due index that has a run which is owed something."""
    return joined("L", str(crc32(f"{account}/{run}".encode()) % SHARDS))


def status_pk(account: AccountId, status: str) -> str:
    """The partition of the list of an account's runs of one status."""
    return joined("S", account, status)


def place_in_lists(created_at: Millis, run: RunId) -> str:
    return f"{moment(created_at)}#{run}"


def run_of(pk: str) -> RunKey:
    """The run whose partition it is."""
    return read_run_pk(pk)
