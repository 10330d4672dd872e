"""The audit log's chain under every tampering at every position: change, removal, truncation, reordering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from flowrunner.core.ids import AccountId
from flowrunner.services.audit_chain import GENESIS, Check, Flaw, Mark, Record, record_id

OURS = AccountId("ours")
Row = tuple[str, bytes]


def chain(count: int) -> list[Row]:
    """So many records as they are stored."""
    rows, before = list[Row](), GENESIS
    for seq in range(1, count + 1):
        record = Record(seq, seq * 1_000, OURS, "ann", "flow.saved", f"flow {seq}", {"revision": seq}, prev=before)
        record = replace(record, hash=record.digest())
        rows.append((record_id(seq), record.encode()))
        before = record.hash
    return rows


def flaw_of(rows: Sequence[Row], head: Mark, since: Mark) -> Flaw | None:
    """What `verify` says of a chain. All before the tampering is as it was, so the check begins behind it."""
    check = Check(OURS, head)
    check.reached = since
    for id, body in rows[since.count :]:
        flaw = check.take(id, body)
        if flaw is not None:
            return flaw
    return check.end(head)


def changed(rows: list[Row], at: int) -> list[Row]:
    id, body = rows[at]
    return [*rows[:at], (id, body.replace(b'"who":"ann"', b'"who":"eve"')), *rows[at + 1 :]]


def removed(rows: list[Row], at: int) -> list[Row]:
    return [*rows[:at], *rows[at + 1 :]]


def truncated(rows: list[Row], at: int) -> list[Row]:
    return rows[:at]


def reordered(rows: list[Row], at: int) -> list[Row]:
    """The record and the one after it (the last: and the first) have changed places, each under the other's id."""
    other = (at + 1) % len(rows)
    swapped = list(rows)
    swapped[at], swapped[other] = (rows[at][0], rows[other][1]), (rows[other][0], rows[at][1])
    return swapped


@pytest.mark.parametrize("tamper", [changed, removed, truncated, reordered])
def test_every_position(tamper: Callable[[list[Row], int], list[Row]]) -> None:
    """Wherever the chain is tampered with, the first record that is not as it was is named."""
    rows = chain(1_000)
    marks = [Mark(), *(Mark(seq, _hash(body)) for seq, (_, body) in enumerate(rows, 1))]
    assert flaw_of(rows, marks[-1], Mark()) is None
    for at in range(len(rows)):
        first = 0 if tamper is reordered and at == len(rows) - 1 else at
        flaw = flaw_of(tamper(rows, at), marks[-1], marks[first])
        assert flaw is not None
        assert flaw.seq == first + 1, flaw


def _hash(body: bytes) -> str:
    """The hash that stands in a record."""
    return body.split(b'"hash":"')[1][:64].decode()
