"""Run concurrency by key: the stored side of `core.slots`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson

from flowrunner.core.flow import Json, RunConcurrency
from flowrunner.core.ids import AccountId, RunId
from flowrunner.core.slots import Admission, Slots, Verdict, admit, forget, release
from flowrunner.core.status import TERMINAL
from flowrunner.errors import Conflict, StoreError
from flowrunner.ports.documents import Documents
from flowrunner.ports.runs import RunStore

TRIES = 50


def slot_key(flow: str, value: Json) -> str:
    """The document that holds the places of one key value of a flow."""
    digest = hashlib.sha256(orjson.dumps([flow, value])).hexdigest()
    return f"slots/{digest}"


class RunSlots:
    """Asks for and gives back places, by compare-and-set."""

    def __init__(self, documents: Documents, runs: RunStore) -> None:
        self._documents = documents
        self._runs = runs

    def admit(self, account: AccountId, key: str, run: RunId, policy: RunConcurrency) -> Admission:
        """Ask for a place for `run`. Raises `Conflict` when the policy is to reject and there is none."""
        result: list[Admission] = []

        def ask(slots: Slots) -> Slots:
            admission = admit(slots, run, policy.max_runs, policy.on_limit)
            if admission.verdict is not Verdict.GRANTED:
                # Before anybody is turned away: a place may be held by a run that ended without giving it back.
                slots = forget(slots, self._gone(account, slots))
                admission = admit(slots, run, policy.max_runs, policy.on_limit)
            result[:] = [admission]
            return admission.slots

        self._change(account, key, ask)
        if result[0].verdict is Verdict.REJECTED:
            raise Conflict(f"{policy.max_runs} runs of this flow are live already", hint="see concurrency.on_limit")
        return result[0]

    def release(self, account: AccountId, key: str, run: RunId, max_runs: int) -> tuple[Slots, Sequence[RunId]]:
        """Give back the place of `run`; answers the slots after that, and who got a place by it."""
        granted: list[RunId] = []

        def give_back(slots: Slots) -> Slots:
            after, who = release(slots, run, max_runs)
            granted[:] = who
            return after

        return self._change(account, key, give_back), granted

    def holds(self, account: AccountId, key: str, run: RunId, policy: RunConcurrency | None) -> bool:
        """Whether a queued run has its place now.

        Between its wish and its being stored somebody else may have taken it for a run that there is not, and have
        dropped it: then it asks again.
        """
        slots = _decode(self._documents.read(account, key)[0])
        if policy is None or run in slots.holders or run in slots.queue:
            return run in slots.holders
        again = self.admit(account, key, run, replace(policy, on_limit="queue"))
        return again.verdict is Verdict.GRANTED

    def _gone(self, account: AccountId, slots: Slots) -> set[RunId]:
        wanted = [*slots.holders, *slots.queue]
        rows = self._runs.load([(account, run) for run in wanted])
        return {run for run, row in zip(wanted, rows, strict=True) if row is None or row.status in TERMINAL}

    def _change(self, account: AccountId, key: str, change: Callable[[Slots], Slots]) -> Slots:
        for _ in range(TRIES):
            body, rev = self._documents.read(account, key)
            before = _decode(body)
            after = change(before)
            if after == before or self._documents.write(account, key, _encode(after), rev):
                return after
        raise StoreError("the run slots are changed by others all the time; try again")


def _decode(body: bytes) -> Slots:
    if not body:
        return Slots()
    holders, queue = orjson.loads(body)
    return Slots(tuple(holders), tuple(queue))


def _encode(slots: Slots) -> bytes:
    return orjson.dumps([slots.holders, slots.queue]) if slots.holders or slots.queue else b""
