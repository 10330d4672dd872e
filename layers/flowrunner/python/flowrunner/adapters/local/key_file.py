"""The file of the vault's keys: made once, readable by its owner only, never seen half-written.

    {"format": 1, "keys": [{"id": "9f…", "epoch": 1767225600000, "key": "<base64 of 32 bytes>"}, …]}

The last key is the primary. A new version is written beside the file, synced, and put in its place in one step, so a
process that is killed at any point leaves the old file or the new one. Writers take turns by a lock on `<file>.lock`,
which the system releases when they die.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import itertools
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from flowrunner.core.ids import Millis
from flowrunner.errors import ConfigurationError, Conflict
from flowrunner.ports.cipher import KeyInfo

FORMAT = 1
KEY_BYTES = 32
ID_BYTES = 8
OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Key:
    """A wrapping key."""

    info: KeyInfo
    raw: bytes

    def __repr__(self) -> str:
        return f"Key({self.info})"


class KeyFile:
    """The keys of one file, with the newest version that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def stamp(self) -> tuple[int, int, int]:
        """Changes whenever the file does. Raises `ConfigurationError` when it cannot be looked at."""
        try:
            found = self.path.stat()
        except OSError as error:
            raise self._bad(f"cannot be read: {error.strerror}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> Sequence[Key]:
        """The keys, oldest first. Raises `ConfigurationError` saying what is wrong with the file, and no key."""
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read()
        except OSError as error:
            raise self._bad(f"cannot be read: {error.strerror}") from error
        if mode & 0o077:
            raise self._bad(f"may be read by others (mode {mode:o})", f"chmod 600 {self.path}")
        keys = self._parse(text)
        if not keys or any(later.info.epoch <= one.info.epoch for one, later in itertools.pairwise(keys)):
            raise self._bad("is damaged: its keys are not in order", "restore it from your backup")
        return keys

    def create(self, now: Millis) -> None:
        """Make the file with its first key. One that is there, or that another process makes first, stays."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._bad(f"its folder cannot be made: {error.strerror}") from error
        with self._written([_new_key(now)]) as fresh:
            try:
                os.link(fresh, self.path)
            except FileExistsError:
                return
            except OSError as error:
                raise self._bad(f"cannot be written: {error.strerror}") from error
        self._sync_folder()

    def add(self, now: Millis, min_age: Millis) -> None:
        """Add a key behind the others, unless the last one is younger than `min_age`."""
        with self._alone():
            keys = self.read()
            last = keys[-1].info
            if now - last.epoch >= min_age:
                self._replace([*keys, _new_key(max(now, last.epoch + 1))])

    def remove(self, id: str) -> bool:
        """Take a key out. True if it was there. Raises `Conflict` for the last one."""
        with self._alone():
            keys = self.read()
            if keys[-1].info.id == id:
                raise Conflict("the key in use cannot be removed; add another one first")
            rest = [key for key in keys if key.info.id != id]
            if len(rest) < len(keys):
                self._replace(rest)
            return len(rest) < len(keys)

    # -- how ----------------------------------------------------------------------------------------------------

    def _replace(self, keys: Sequence[Key]) -> None:
        with self._written(keys) as fresh:
            try:
                fresh.replace(self.path)
            except OSError as error:
                raise self._bad(f"cannot be written: {error.strerror}") from error
        self._sync_folder()

    @contextmanager
    def _written(self, keys: Sequence[Key]) -> Iterator[Path]:
        """The keys in a file of their own beside this one, synced; it is gone afterwards unless it was moved."""
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(ID_BYTES)}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encode(keys))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._bad(f"cannot be written: {error.strerror}") from error
        try:
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            descriptor = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, OWNER_ONLY)
        except OSError as error:
            raise self._bad(f"cannot be changed: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _parse(self, text: bytes) -> Sequence[Key]:
        try:
            document = orjson.loads(text)
            if document["format"] != FORMAT:
                raise self._bad(f"has the format {document['format']!r}, which this version cannot read")
            keys = [
                Key(KeyInfo(str(one["id"]), int(one["epoch"])), base64.b64decode(one["key"], validate=True))
                for one in document["keys"]
            ]
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise self._bad("is cut short or damaged", "restore it from your backup") from error
        if any(len(key.raw) != KEY_BYTES or not _is_id(key.info.id) for key in keys):
            raise self._bad("is damaged: a key has the wrong length", "restore it from your backup")
        return keys

    def _bad(self, what: str, hint: str | None = None) -> ConfigurationError:
        return ConfigurationError(f"vault.key_file: {self.path} {what}", hint=hint)


def _new_key(epoch: Millis) -> Key:
    return Key(KeyInfo(secrets.token_hex(ID_BYTES), epoch), secrets.token_bytes(KEY_BYTES))


def _is_id(id: str) -> bool:
    return len(id) == 2 * ID_BYTES and set(id) <= set("0123456789abcdef")


def _encode(keys: Sequence[Key]) -> bytes:
    document = {
        "format": FORMAT,
        "keys": [
            {"id": key.info.id, "epoch": key.info.epoch, "key": base64.b64encode(key.raw).decode()} for key in keys
        ],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
