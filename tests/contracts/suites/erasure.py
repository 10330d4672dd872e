"""Removing all that an account has (`ports.backend.Backend.delete_account`)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from flowrunner.core.ids import AccountId, FlowId, RunId, StepId
from flowrunner.ports.backend import Backend
from flowrunner.ports.callbacks import CallbackRow
from flowrunner.ports.entities import Entity
from flowrunner.ports.flows import FlowRow
from flowrunner.ports.history import RunFilter
from flowrunner.ports.kv import Item
from flowrunner.ports.queue import Receipt

from tests.contracts.suites.build import ACCOUNT, NOW, OTHER, RUN, claim, commit, message, run_row, step_row

GONE = RunId("gone")
"""A run that is not there, of which something is left."""


def fill(backend: Backend, account: AccountId) -> None:
    """Something in every store, also what a run leaves that was never created or is gone."""
    runs = [f"run-{number}" for number in range(1, 4)]
    backend.runs.create([run_row(run, account) for run in runs], [message(run=run, account=account) for run in runs])
    backend.runs.claim([claim(account=account)])
    backend.runs.commit([commit(account=account, steps=[step_row("1.1")])])
    for run in (RUN, GONE):
        backend.queue.send([message("2.0", run=run, account=account)])
        backend.blobs.put(account, run, "k", account.encode())
        backend.callbacks.register(CallbackRow(f"{account} {run}", account, run, StepId("1.0"), 1, NOW))
    for namespace in ("account/n", "run/run-1/n"):
        backend.values.set(account, namespace, Item("k", account))
    backend.documents.write(account, "slots", b"x", 0)
    for revision in range(1, 3):
        row = FlowRow(account, FlowId("f1"), "greet", 0, str(revision), str(revision), NOW)
        assert backend.flows.save(row).revision == revision
    for kind in ("user", "token"):
        assert backend.entities.put(Entity(account, kind, "e", b"", lookup=account, due=NOW), NOW) is not None


def everything(backend: Backend, account: AccountId) -> Sequence[object]:
    """What there is of an account, but for its messages, which cannot be looked at."""
    return [
        backend.history.runs(account, RunFilter()),
        *(backend.history.steps(account, run) for run in (RUN, GONE)),
        *(backend.blobs.get(account, run, "k") for run in (RUN, GONE)),
        *(backend.callbacks.find(f"{account} {run}") for run in (RUN, GONE)),
        *(backend.values.list(account, namespace, NOW) for namespace in ("account/n", "run/run-1/n")),
        backend.documents.read(account, "slots"),
        backend.flows.list(account),
        backend.flows.revisions(account, FlowId("f1")),
        *(backend.entities.list(account, kind, NOW) for kind in ("user", "token")),
        *(one for kind in ("user", "token") if (one := backend.entities.find(kind, account, NOW))),
    ]


def receipts(backend: Backend) -> set[Receipt]:
    """All messages, by taking them: for the end of a test."""
    return {one.receipt for one in backend.queue.receive("the test", NOW + 10**9, NOW + 10**9 + 1, 1000)}


class ErasureRules:
    """Removing an account."""

    @pytest.mark.parametrize("limit", [1, 3, 1000])
    def test_nothing_of_a_removed_account_is_left(self, backend: Backend, limit: int) -> None:
        """In no store, however much is removed at a time."""
        empty = everything(backend, ACCOUNT)
        fill(backend, ACCOUNT)
        counts = [backend.delete_account(ACCOUNT, limit) for _ in range(20)]
        assert max(counts) <= limit
        assert counts == sorted(counts, reverse=True), "it stops short only where nothing is left"
        assert sum(counts) >= 11
        assert counts[-1] == 0
        assert everything(backend, ACCOUNT) == empty
        assert receipts(backend) == set()
        assert backend.entities.next_due("user") is None

    def test_another_account_keeps_everything(self, backend: Backend) -> None:
        """Also what has the same ids, and names that are alike."""
        others = [AccountId(OTHER), AccountId(f"{ACCOUNT}2"), AccountId(ACCOUNT[:-1]), AccountId(ACCOUNT.upper())]
        for account in (*others, ACCOUNT):
            fill(backend, account)
        before = [everything(backend, account) for account in others]
        while backend.delete_account(ACCOUNT, 4):
            pass
        assert [everything(backend, account) for account in others] == before
        assert {(one.account, one.run, one.step) for one in receipts(backend)} == {
            (account, run, step)
            for account in others
            for run, step in (("run-1", "1.0"), ("run-1", "2.0"), ("run-2", "1.0"), ("run-3", "1.0"), (GONE, "2.0"))
        }

    def test_runs_go_first_and_entities_last(self, backend: Backend) -> None:
        """What says that the account is being removed is there until the end, and no run works on meanwhile."""
        fill(backend, ACCOUNT)
        backend.delete_account(ACCOUNT, 3)
        assert backend.history.runs(ACCOUNT, RunFilter()) == []
        while backend.flows.list(ACCOUNT):
            assert len(backend.entities.list(ACCOUNT, "user", NOW)) == 1
            assert backend.delete_account(ACCOUNT, 1) == 1
        assert len(backend.entities.list(ACCOUNT, "user", NOW)) == 1

    def test_an_account_that_has_nothing_has_nothing_to_remove(self, backend: Backend) -> None:
        """It need not exist."""
        fill(backend, OTHER)
        assert backend.delete_account(ACCOUNT) == 0

    def test_a_removed_account_may_begin_anew(self, backend: Backend) -> None:
        """Nothing of the old one shows, or is in the way."""
        fill(backend, ACCOUNT)
        first = everything(backend, ACCOUNT)
        while backend.delete_account(ACCOUNT):
            pass
        fill(backend, ACCOUNT)
        assert everything(backend, ACCOUNT) == first
