"""Key rings: what they seal opens in the same context only, and the key file survives whatever happens to it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from flowrunner.adapters.local.key_file import KeyFile
from flowrunner.adapters.local.keyring import LocalKeyRing
from flowrunner.adapters.memory.cipher import MemoryKeyRing, MemorySealer
from flowrunner.core.ids import AccountId
from flowrunner.errors import ConfigurationError, Conflict, Unreadable
from flowrunner.ports.cipher import KeyRing

CONTEXT = {"account": "a", "purpose": "secret", "secret": "NAME", "version": "1"}
HOUR = 3_600_000

MakeRing = Callable[[Path], KeyRing]


def _local(folder: Path) -> KeyRing:
    return LocalKeyRing.open(folder / "keys.json", 1_000, in_use=False)


def _memory(folder: Path) -> KeyRing:
    return MemoryKeyRing()


rings = pytest.mark.parametrize("make", [_local, _memory], ids=["local", "memory"])


@rings
def test_what_is_sealed_opens_in_its_context(make: MakeRing, tmp_path: Path) -> None:
    """Any bytes come back, and nothing of them is in the ciphertext."""
    ring = make(tmp_path)
    for plain in (b"", b"hunter2hunter2", bytes(range(256)) * 256):
        sealed = ring.encrypt(plain, CONTEXT)
        assert ring.decrypt(sealed, CONTEXT) == plain
        assert not plain or plain not in sealed
    assert ring.encrypt(b"same", CONTEXT) != ring.encrypt(b"same", CONTEXT)


@rings
@pytest.mark.parametrize(
    "context",
    [
        CONTEXT | {"account": "b"},
        CONTEXT | {"secret": "OTHER"},
        CONTEXT | {"version": "2"},
        CONTEXT | {"more": "x"},
        {"account": "a"},
        {},
    ],
    ids=["account", "name", "version", "one more", "a part", "nothing"],
)
def test_another_context_opens_nothing(make: MakeRing, tmp_path: Path, context: dict[str, str]) -> None:
    """A part of the context is not enough either, which would be for the SDK alone."""
    ring = make(tmp_path)
    sealed = ring.encrypt(b"hunter2hunter2", CONTEXT)
    with pytest.raises(Unreadable) as caught:
        ring.decrypt(sealed, context)
    assert not caught.value.retryable


@rings
def test_a_changed_ciphertext_opens_nothing(make: MakeRing, tmp_path: Path) -> None:
    """Wherever a bit is flipped, and however short it is cut."""
    ring = make(tmp_path)
    sealed = ring.encrypt(b"hunter2hunter2", CONTEXT)
    step = max(1, len(sealed) // 40)
    for place in [*range(0, len(sealed), step), len(sealed) - 1]:
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Unreadable):
            ring.decrypt(bytes(changed), CONTEXT)
    for length in (0, 1, 8, 9, 30, len(sealed) - 1):
        with pytest.raises(Unreadable):
            ring.decrypt(sealed[:length], CONTEXT)


@rings
def test_old_keys_open_until_they_are_removed(make: MakeRing, tmp_path: Path) -> None:
    """A new key encrypts from then on; the primary cannot be removed."""
    ring = make(tmp_path)
    old = ring.primary()
    sealed = ring.encrypt(b"hunter2hunter2", CONTEXT)
    new = ring.add(10 * HOUR, HOUR)
    assert new.epoch > old.epoch
    assert [key.id for key in ring.known()] == [old.id, new.id]
    assert ring.key_id == new.id
    assert ring.decrypt(sealed, CONTEXT) == b"hunter2hunter2"
    with pytest.raises(Conflict):
        ring.remove(new.id)
    assert ring.remove(old.id)
    assert not ring.remove(old.id)
    with pytest.raises(Unreadable) as caught:
        ring.decrypt(sealed, CONTEXT)
    assert caught.value.retryable, "another process may have the key"


@rings
def test_a_young_key_is_not_replaced(make: MakeRing, tmp_path: Path) -> None:
    """And keys that are made in one moment still come one after the other."""
    ring = make(tmp_path)
    first = ring.add(10 * HOUR, HOUR)
    assert ring.add(10 * HOUR + HOUR - 1, HOUR) == first
    second = ring.add(10 * HOUR, 0)
    assert second.epoch == first.epoch + 1


@rings
def test_threads_share_a_ring(make: MakeRing, tmp_path: Path) -> None:
    """While keys are added."""
    ring = make(tmp_path)

    def work(number: int) -> None:
        plain = f"value {number}".encode()
        sealed = ring.encrypt(plain, CONTEXT)
        if number % 10 == 0:
            ring.add(number, 0)
        assert ring.decrypt(sealed, CONTEXT) == plain

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Its folder too; nothing else is left beside it."""
    path = tmp_path / "deep" / "keys.json"
    LocalKeyRing.open(path, 1_000, in_use=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """With the command that mends it."""
    path = tmp_path / "keys.json"
    LocalKeyRing.open(path, 1_000, in_use=False)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"may be read by others \(mode 640\).*chmod 600"):
        LocalKeyRing.open(path, 1_000, in_use=True)


def test_a_missing_file_is_made_only_when_nothing_needs_it(tmp_path: Path) -> None:
    """A new file would hide that the old one is lost."""
    with pytest.raises(ConfigurationError, match="is missing, but the store has secrets"):
        LocalKeyRing.open(tmp_path / "keys.json", 1_000, in_use=True)
    assert list(tmp_path.iterdir()) == []


def _change(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = orjson.loads(path.read_bytes())
    change(document)
    path.write_bytes(orjson.dumps(document))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "no object": lambda path: path.write_bytes(b"[]"),
    "no keys": lambda path: _change(path, lambda one: one.update(keys=[])),
    "short key": lambda path: _change(
        path, lambda one: one["keys"][0].update(key=base64.b64encode(b"x" * 31).decode())
    ),
    "no base64": lambda path: _change(path, lambda one: one["keys"][0].update(key="*")),
    "strange id": lambda path: _change(path, lambda one: one["keys"][0].update(id="../../etc")),
    "twice": lambda path: _change(path, lambda one: one.update(keys=one["keys"] * 2)),
    "newer format": lambda path: _change(path, lambda one: one.update(format=2)),
    "a folder": lambda path: path.rename(path.with_name("old")).with_name("keys.json").mkdir(mode=0o700),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """Clearly, and without a key in the message; what is there is left alone."""
    path = tmp_path / "keys.json"
    LocalKeyRing.open(path, 1_000, in_use=False)
    key = orjson.loads(path.read_bytes())["keys"][0]["key"]
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigurationError, match=r"vault\.key_file: .*keys\.json") as caught:
        LocalKeyRing.open(path, 1_000, in_use=False)
    assert key not in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where a folder should be, and a folder that is gone when a key is added."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be"):
        LocalKeyRing.open(tmp_path / "file" / "keys.json", 1_000, in_use=False)
    ring = LocalKeyRing.open(tmp_path / "deep" / "keys.json", 1_000, in_use=False)
    (tmp_path / "deep" / "keys.json").unlink()
    (tmp_path / "deep").rmdir()
    with pytest.raises(ConfigurationError, match="cannot be"):
        ring.add(2_000, 0)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ring.primary()


def test_processes_that_start_together_make_one_key(tmp_path: Path) -> None:
    """Whoever is late takes what is there."""
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: LocalKeyRing.open(path, 1_000, in_use=False), range(16)))
    assert len({ring.key_id for ring in rings}) == 1


def test_another_process_sees_a_new_key_at_once(tmp_path: Path) -> None:
    """Both for encrypting and for what the first one has encrypted with it."""
    path = tmp_path / "keys.json"
    here = LocalKeyRing.open(path, 1_000, in_use=False)
    there = LocalKeyRing.open(path, 1_000, in_use=True)
    here.add(2_000, 0)
    assert there.key_id == here.key_id
    assert there.decrypt(here.encrypt(b"hunter2hunter2", CONTEXT), CONTEXT) == b"hunter2hunter2"


def test_adding_keys_at_the_same_time_loses_none(tmp_path: Path) -> None:
    """Writers take turns."""
    path = tmp_path / "keys.json"
    LocalKeyRing.open(path, 1_000, in_use=False)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: KeyFile(path).add(number, -10_000), range(16)))
    assert len(KeyFile(path).read()) == 17


KILLED = """
import os, sys
from pathlib import Path
from typing import Any
from flowrunner.adapters.local.key_file import KeyFile
at, path = int(sys.argv[1]), Path(sys.argv[2])
seen = 0
def hook(event, args):
    global seen
    if event.startswith(("os.", "open", "fcntl.")) and str(path.parent) in str(args[:2]) or event.startswith("fcntl"):
        seen += 1
        if seen == at:
            os._exit(9)
sys.addaudithook(hook)
KeyFile(path).add(5_000, 0)
"""


def test_a_kill_while_a_key_is_added_leaves_a_whole_file(tmp_path: Path) -> None:
    """At each of its calls to the system: there is the old file or the new one, and it can be changed again."""
    path = tmp_path / "keys.json"
    LocalKeyRing.open(path, 1_000, in_use=False)
    first = KeyFile(path).read()[0]
    ends = []
    for at in range(1, 30):
        done = subprocess.run([sys.executable, "-c", KILLED, str(at), str(path)], check=False, env={**os.environ})
        ends.append(done.returncode)
        keys = KeyFile(path).read()
        assert keys[0] == first
        if done.returncode == 0:
            break
    assert ends[-1] == 0
    assert ends.count(9) >= 4, "the kills did not happen"
    KeyFile(path).add(9_000, 0)


def test_a_key_does_not_show_itself(tmp_path: Path) -> None:
    """In a log or a stack trace."""
    path = tmp_path / "keys.json"
    LocalKeyRing.open(path, 1_000, in_use=False)
    key = KeyFile(path).read()[0]
    assert repr(key.raw) not in repr(key)


def test_a_sealer_binds_account_and_place() -> None:
    """See `ports.cipher.Sealer`."""
    sealer = MemorySealer()
    a, b = AccountId("a"), AccountId("b")
    sealed = sealer.seal(a, b"value", "run/1")
    assert sealer.open(a, sealed, "run/1") == b"value"
    for account, place in ((b, "run/1"), (a, "run/2")):
        with pytest.raises(Unreadable):
            sealer.open(account, sealed, place)
