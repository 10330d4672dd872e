"""Rotation: everything moves to the new key, whatever happens meanwhile, and then the old key goes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest
from flowrunner.adapters.local.keyring import LocalKeyRing
from flowrunner.adapters.memory.cipher import MemoryKeyRing
from flowrunner.adapters.sqlite.backend import SqliteBackend
from flowrunner.core.ids import AccountId
from flowrunner.errors import StoreError, Unreadable
from flowrunner.ports.entities import Entity
from flowrunner.services import rotation as rotation_module
from flowrunner.services.data_keys import DataKeys
from flowrunner.services.rotation import CHECK_EVERY, RETIRED
from flowrunner.services.secret_box import KIND
from flowrunner.testing import TurnedClock

from tests.services.vaults import DAY, HOUR, Safe, make_safe, person

A, B = AccountId("a"), AccountId("b")


def _filled(count: int = 3) -> Safe:
    """Secrets of two accounts under the first key, which is a day old."""
    safe = make_safe()
    for account in ("a", "b"):
        for number in range(count):
            safe.vault.put(person(account), f"K{number}", f"value {account} {number}")
    safe.turn(DAY)
    return safe


def _keys_in_use(safe: Safe) -> set[str]:
    rows = [row for account in (A, B) for row in safe.entities.list(account, KIND, safe.clock.now())]
    return {orjson.loads(row.body)["k"] for row in rows}


def _check(safe: Safe, count: int = 3) -> None:
    for account in ("a", "b"):
        for number in range(count):
            assert safe.value(account, f"K{number}") == f"value {account} {number}"


def test_a_rotation_moves_the_account_and_the_sweep_the_others() -> None:
    """Then the old key is removed, an hour after it was replaced."""
    safe = _filled()
    old = safe.keys.key_id
    before = safe.vault.get(person(), "K0")
    done = safe.vault.rotate(person())
    assert done == rotation_module.Rotated(safe.keys.key_id, added=True, resealed=3, failed=0)
    assert done.key != old
    assert _keys_in_use(safe) == {old, done.key}
    assert safe.vault.sweep() == safe.keys.primary().epoch + RETIRED
    assert _keys_in_use(safe) == {done.key}
    assert [key.id for key in safe.keys.known()] == [old, done.key]
    safe.turn(RETIRED)
    assert safe.vault.sweep() == safe.clock.now() + CHECK_EVERY
    assert [key.id for key in safe.keys.known()] == [done.key]
    assert safe.vault.get(person(), "K0") == before, "a rotation is no change of the secret"
    _check(safe)


def test_a_young_key_is_kept() -> None:
    """However often accounts ask: the keys are the installation's."""
    safe = _filled()
    first = safe.vault.rotate(person())
    assert safe.vault.rotate(person("b")) == rotation_module.Rotated(first.key, added=False, resealed=3, failed=0)
    assert safe.vault.rotate(person()) == rotation_module.Rotated(first.key, added=False, resealed=0, failed=0)
    safe.turn(HOUR)
    assert safe.vault.rotate(person()).added


def test_more_rows_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of finding them go on to the next page."""
    monkeypatch.setattr(rotation_module, "BATCH", 4)
    safe = _filled(10)
    assert safe.vault.rotate(person()).resealed == 10
    safe.vault.sweep()
    assert _keys_in_use(safe) == {safe.keys.key_id}
    _check(safe, 10)


def test_data_keys_move_too() -> None:
    """Values that they have sealed stay readable when the old key is gone."""
    safe = _filled()
    sealed = DataKeys(safe.box, safe.clock).seal(A, b"a value of a run", "run/1")
    assert safe.vault.rotate(person()).resealed == 4
    safe.vault.sweep()
    safe.turn(RETIRED)
    safe.vault.sweep()
    assert len(safe.keys.known()) == 1
    assert DataKeys(safe.box, safe.clock).open(A, sealed, "run/1") == b"a value of a run"


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A store or key ring whose process dies at its n-th call, before or after the call is done."""

    def __init__(self, inner: Any, lives: Iterator[str]) -> None:
        self._inner = inner
        self._lives = lives

    def __getattr__(self, name: str) -> Any:
        what = getattr(self._inner, name)
        if not callable(what):
            return what

        def call(*args: Any, **options: Any) -> Any:
            fate = next(self._lives)
            if fate == "before":
                raise Killed
            answer = what(*args, **options)
            if fate == "after":
                raise Killed
            return answer

        return call


def _fates(at: int, how: str) -> Iterator[str]:
    for number in range(100_000):
        yield how if number == at else "lives"


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_kill_at_any_point_harms_nothing(how: str) -> None:
    """Every value can be read at once, and whoever rotates or sweeps next finishes the work."""
    finished = False
    for at in range(200):
        safe = _filled()
        old = safe.keys.key_id
        lives = _fates(at, how)
        dying = make_safe(Mortal(safe.entities, lives), Mortal(safe.keys, lives), safe.clock)
        try:
            dying.vault.rotate(person())
            dying.vault.sweep()
            finished = True
        except Killed:
            pass
        _check(make_safe(safe.entities, safe.keys, safe.clock))
        if finished:
            break
        fresh = make_safe(safe.entities, safe.keys, safe.clock)
        fresh.vault.rotate(person())
        fresh.vault.sweep()
        assert _keys_in_use(fresh) == {fresh.keys.key_id}
        assert len(fresh.keys.known()) == 2, "going on makes no third key"
        assert fresh.keys.key_id != old
        _check(fresh)
    assert finished
    assert at > 10


def test_rotating_under_load_fails_nothing(tmp_path: Path) -> None:
    """While threads with boxes of their own read and write, with real keys: no read fails, no write is lost."""
    safe = _filled(4)
    path = tmp_path / "keys.json"
    ring = LocalKeyRing.open(path, safe.clock.now(), in_use=False)
    safe = make_safe(safe.entities, ring, safe.clock, min_age=0)
    for account in ("a", "b"):
        for number in range(4):
            safe.vault.put(person(account), f"K{number}", f"value {account} {number}")
    stop = Event()

    def read_and_write(thread: int) -> int:
        mine = make_safe(safe.entities, LocalKeyRing.open(path, safe.clock.now(), in_use=True), safe.clock)
        rounds = 0
        while not stop.is_set() or rounds < 5:
            _check(mine, 4)
            value = f"mine {thread} {rounds}"
            mine.box.put(A, "secret", f"T{thread}", value.encode())
            assert mine.value("a", f"T{thread}") == value
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(read_and_write, thread) for thread in range(3)]
        try:
            for _ in range(6):
                safe.vault.rotate(person())
                safe.turn(RETIRED)
                safe.vault.sweep()
        finally:
            stop.set()
        assert all(worker.result() >= 5 for worker in workers)
    safe.vault.sweep()
    safe.turn(RETIRED)
    safe.vault.sweep()
    _check(safe, 4)
    assert len(safe.keys.known()) <= 2


def test_a_write_under_a_key_that_is_being_replaced_is_done_again() -> None:
    """Otherwise the key could be removed as unused between the encryption and the write."""
    safe = _filled()
    old = safe.keys.key_id

    class Slow:
        """The store of a process that is held up before its first write, while another one rotates to the end."""

        held = False

        def __getattr__(self, name: str) -> Any:
            return getattr(safe.entities, name)

        def put(self, entity: Entity, *args: Any, **options: Any) -> Entity | None:
            if entity.kind == KIND and not self.held:
                self.held = True
                safe.vault.rotate(person())
                safe.vault.sweep()
                safe.turn(RETIRED)
                safe.vault.sweep()
                assert [key.id for key in safe.keys.known()] == [safe.keys.key_id]
            return safe.entities.put(entity, *args, **options)

    slow = make_safe(Slow(), safe.keys, safe.clock)
    slow.vault.put(person(), "NEW", "a new value")
    assert old not in _keys_in_use(safe)
    assert make_safe(safe.entities, safe.keys, safe.clock).value("a", "NEW") == "a new value"


def test_what_no_key_opens_is_left_alone() -> None:
    """It is counted and logged, stops nothing, and does not keep the old key for ever."""
    safe = _filled()
    row = safe.entities.get(A, KIND, "secret/K1", safe.clock.now())
    assert row is not None
    safe.entities.put(replace(row, id="secret/MOVED"), safe.clock.now())
    done = safe.vault.rotate(person())
    assert (done.resealed, done.failed) == (3, 1)
    safe.vault.sweep()
    safe.turn(RETIRED)
    safe.vault.sweep()
    assert len(safe.keys.known()) == 1
    _check(safe)
    assert [one.name for one in safe.vault.list(person())] == ["K0", "K1", "K2", "MOVED"]


def test_a_key_that_is_missing_here_is_waited_for() -> None:
    """Another machine may have it: nothing of it is given up."""
    here = make_safe()
    elsewhere = MemoryKeyRing()
    make_safe(here.entities, elsewhere, here.clock).vault.put(person("b"), "THEIRS", "their value")
    here.turn(DAY)
    here.keys.add(here.clock.now(), 0)
    here.vault.sweep()
    row = here.entities.get(B, KIND, "secret/THEIRS", here.clock.now())
    assert row is not None
    assert row.due == elsewhere.primary().epoch
    with pytest.raises(Unreadable):
        here.value("b", "THEIRS")
    assert make_safe(here.entities, elsewhere, here.clock).value("b", "THEIRS") == "their value"


def test_several_sweeps_at_once_do_the_work_once_or_twice() -> None:
    """Whoever loses a race leaves the row to the other."""
    safe = _filled(20)
    safe.keys.add(safe.clock.now(), 0)
    others = [make_safe(safe.entities, safe.keys, safe.clock) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.vault.sweep(), others))
    assert _keys_in_use(safe) == {safe.keys.key_id}
    _check(safe, 20)


def test_a_row_that_always_changes_is_given_up() -> None:
    """With an error, so that the background says so and comes again."""
    safe = _filled()
    safe.keys.add(safe.clock.now(), 0)

    class Busy:
        """Somebody else always wins."""

        def __getattr__(self, name: str) -> Any:
            return getattr(safe.entities, name)

        def put(self, *args: Any, **options: Any) -> None:
            return None

    busy = make_safe(Busy(), safe.keys, safe.clock)
    with pytest.raises(StoreError):
        busy.vault.sweep()


def test_a_sweep_without_old_keys_asks_little() -> None:
    """One look at the index."""
    safe = _filled()
    calls: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(safe.entities, name)

    assert make_safe(Watched(), safe.keys, safe.clock).vault.sweep() == safe.clock.now() + CHECK_EVERY
    assert calls == ["due"]


def test_a_database_file_is_moved_to_a_new_key(tmp_path: Path) -> None:
    """With real keys and a real store: afterwards no row needs the old key, and none ever showed a value."""
    backend = SqliteBackend(tmp_path / "f.db", "normal")
    backend.migrate()
    clock = TurnedClock()
    ring = LocalKeyRing.open(tmp_path / "keys.json", clock.now(), in_use=backend.entities.next_due(KIND) is not None)
    safe = make_safe(backend.entities, ring, clock)
    for account in ("a", "b"):
        for number in range(3):
            safe.vault.put(person(account), f"K{number}", f"value {account} {number}")
    safe.turn(DAY)
    assert safe.vault.rotate(person()).resealed == 3
    safe.vault.sweep()
    safe.turn(RETIRED)
    safe.vault.sweep()
    assert len(ring.known()) == 1
    again = LocalKeyRing.open(tmp_path / "keys.json", clock.now(), in_use=True)
    _check(make_safe(backend.entities, again, clock))
    content = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert not [value for value in (b"value a 0", b"value b 2") if value in content]
    backend.close()
