"""Taking attempts for execution in PostgreSQL.

Nearly every claim is the first of its attempt: one INSERT takes all of those. The rest - redelivered
messages, lapsed leases, runs that are over - is looked at under row locks and decided by
`rules.answer_claim`. Both ways lock runs and steps in the order of their keys. Claiming again after a lost
answer is granted again without being counted, so all of it may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from flowrunner.adapters.postgres.arrays import Bytes, Longs, Texts
from flowrunner.adapters.postgres.database import Connection, Database, execute, statement
from flowrunner.adapters.postgres.rows import STEP, StepKey, step_key, step_row
from flowrunner.adapters.postgres.rules import Claimed, answer_claim
from flowrunner.core.status import TERMINAL
from flowrunner.errors import StoreError
from flowrunner.ports.runs import ClaimAnswer, ClaimRequest, ClaimStatus

TRIES = 5

_RUNS = """
SELECT r.account, r.id, r.status
FROM unnest(%s, %s) AS w (account, id)
JOIN flowrunner.runs r ON r.account = w.account AND r.id = w.id
FOR KEY SHARE OF r
"""
_STEPS = f"""
SELECT s.account, s.run, s.at_rev, s.at_index, s.item, s.attempt, s.owner, s.lease_until, s.claims, {STEP}
FROM unnest(%s, %s, %s, %s, %s, %s) AS w (account, run, at_rev, at_index, item, attempt)
JOIN flowrunner.steps s ON s.account = w.account AND s.run = w.run AND s.at_rev = w.at_rev
  AND s.at_index = w.at_index AND s.item = w.item AND s.attempt = w.attempt
FOR UPDATE OF s
"""  # noqa: S608  # joins our own texts; values are parameters
_TAKE = """
UPDATE flowrunner.steps SET owner = %s, lease_until = %s, claims = %s, node = %s, body = %s, rev = 0
WHERE account = %s AND run = %s AND at_rev = %s AND at_index = %s AND item = %s AND attempt = %s
"""


def claim_all(database: Database, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
    """See `ports.runs.RunStore.claim`."""
    keys = [step_key(one.account, one.run, one.step, one.attempt) for one in requests]
    answers: dict[int, ClaimAnswer] = {}
    left = sorted(range(len(requests)), key=lambda index: keys[index])
    for _ in range(TRIES):
        left = _insert(database, requests, keys, left, answers)
        if not left:
            break
        look = partial(_look, requests=requests, keys=keys, wanted=left)
        found = database.transaction(look, repeatable=True)
        answers.update(found)
        left = [index for index in left if index not in found]
        if not left:
            break
    else:
        raise StoreError(f"{len(left)} steps could not be claimed: their rows come and go all the time")
    return [answers[index] for index in range(len(requests))]


def _insert(
    database: Database,
    requests: Sequence[ClaimRequest],
    keys: Sequence[StepKey],
    wanted: Sequence[int],
    answers: dict[int, ClaimAnswer],
) -> list[int]:
    """First claims; answers the indexes that are not settled by that."""
    parameters = {
        **_columns([keys[index] for index in wanted]),
        "step": Texts(requests[index].step for index in wanted),
        "node": Texts(requests[index].node for index in wanted),
        "body": Bytes(requests[index].body for index in wanted),
        "owner": Texts(requests[index].owner for index in wanted),
        "lease_until": Longs(requests[index].lease_until for index in wanted),
        "terminal": Texts(sorted(TERMINAL)),
    }
    rows = database.read(statement("claim"), parameters)
    taken = {tuple(row) for row in rows}
    rest = []
    for index in wanted:
        if keys[index] in taken:
            taken.discard(keys[index])
            answers[index] = ClaimAnswer(ClaimStatus.GRANTED, 1, requests[index].lease_until)
        else:
            rest.append(index)
    return rest


def _look(
    connection: Connection, requests: Sequence[ClaimRequest], keys: Sequence[StepKey], wanted: Sequence[int]
) -> dict[int, ClaimAnswer]:
    """Decide what has a row or no live run; leaves out what has neither: it was removed just now."""
    unique = sorted({keys[index] for index in wanted})
    runs = sorted({key[:2] for key in unique})
    columns = (Texts(account for account, _ in runs), Texts(run for _, run in runs))
    statuses = {(row[0], row[1]): row[2] for row in execute(connection, _RUNS, columns).fetchall()}
    rows = execute(connection, _STEPS, tuple(_columns(unique).values())).fetchall()
    stored = {tuple(row[:6]): Claimed(step_row(row[9:]), row[6], row[7], row[8]) for row in rows}
    answers: dict[int, ClaimAnswer] = {}
    for index in wanted:
        request, key = requests[index], keys[index]
        before = stored.get(key)
        answer = answer_claim(request, statuses.get(key[:2]), before)
        if answer.status is ClaimStatus.GRANTED:
            if before is None:
                continue
            values = (request.owner, answer.lease_until, answer.claims, request.node, request.body)
            execute(connection, _TAKE, (*values, *key))
            stored[key] = Claimed(before.row, request.owner, answer.lease_until, answer.claims)
        answers[index] = answer
    return answers


def _columns(keys: Sequence[StepKey]) -> Mapping[str, Any]:
    return {
        "account": Texts(key[0] for key in keys),
        "run": Texts(key[1] for key in keys),
        "at_rev": Longs(key[2] for key in keys),
        "at_index": Longs(key[3] for key in keys),
        "item": Longs(key[4] for key in keys),
        "attempt": Longs(key[5] for key in keys),
    }
