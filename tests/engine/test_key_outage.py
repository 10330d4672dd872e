"""The keys of the vault are out of reach for ten minutes: no run fails for that, and nothing secret is stored meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.errors import StoreError, Unreadable

from tests.engine.harness import ACCOUNT, bench, flow
from tests.services.vaults import make_safe, person

CANARY = "hunter2-canary-of-the-vault"
MINUTES = 10 * 60_000
READS = flow("""
a: {type: script, hooks: {exec: "return {key: secrets.K, length: secrets.K.length}"}, next: b}
b: {type: delay, params: {for: 1m}, next: c}
c: {type: transform, params: {value: "${nodes.a.output.length}"}}
""")


class Keys(MemoryKeyRing):
    """A key ring whose keys are out of reach while `away`."""

    away = False

    def encrypt(self, plain: bytes, context: Mapping[str, str]) -> bytes:
        if self.away:
            raise StoreError("KMS refuses: KMSInternalException")
        return super().encrypt(plain, context)

    def decrypt(self, sealed: bytes, context: Mapping[str, str]) -> bytes:
        if self.away:
            raise Unreadable("KMS refuses: KMSInternalException", retryable=True)
        return super().decrypt(sealed, context)


def test_runs_wait_for_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that need a secret go on by themselves when its key is there again; others notice nothing."""
    monkeypatch.setattr("tests.engine.harness.MemoryKeyRing", Keys)
    backend = SqliteBackend(tmp_path / "store.db", "normal")
    backend.migrate()
    with bench(backend) as b:
        keys = b.engine.parts.keys
        assert isinstance(keys, Keys)
        make_safe(backend.entities, keys, b.clock).vault.put(person(ACCOUNT), "K", CANARY)
        keys.away, back = True, b.clock.now() + MINUTES
        runs = [b.start(READS) for _ in range(3)]
        other = b.start(flow("a: {type: transform, params: {value: 1}}"))
        while b.clock.now() < back:
            try:
                due = b.worker.drain()
            except (StoreError, Unreadable):
                due = None  # as its loop does, the worker tries again after a while
            b.clock.turn_to(min(back, max(due or 0, b.clock.now() + 20_000)))
        assert b.result(other).status == "completed"
        assert {b.result(run).status for run in runs} == {"running"}
        assert CANARY.encode() not in stored(tmp_path)
        keys.away = False
        b.work()
        assert [(b.result(run).status, b.result(run).output) for run in runs] == [("completed", {"c": len(CANARY)})] * 3
        assert {(one.label, one.attempt) for run in runs for one in b.steps(run)} == {("a", 1), ("b", 1), ("c", 1)}
        assert CANARY.encode() not in stored(tmp_path)
    backend.close()


def stored(folder: Path) -> bytes:
    """All that is in the files of the store."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
