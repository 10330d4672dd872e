"""Connections to the file: one that writes, under a lock, and as many that read as read at once."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from flowrunner.errors import ConfigurationError, InvalidInput, StoreError
from flowrunner.ports.wakeups import Listener, Topic

MIN_VERSION = (3, 37, 0)
"""STRICT tables came with 3.37, RETURNING and upserts before that."""

BUSY_SECONDS = 10.0
POLL_SECONDS = 1.0
"""How often other processes' writes are looked for while somebody listens."""


class Database:
    """The file. Safe for several threads, and for several processes through SQLite's own locks."""

    def __init__(self, path: Path, synchronous: str = "full") -> None:
        if sqlite3.sqlite_version_info < MIN_VERSION:
            raise ConfigurationError(
                f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed",
                hint="use a newer Python",
            )
        if str(path) == ":memory:":
            raise ConfigurationError(
                "SQLite's :memory: would be another database for each connection", hint="store.url: memory:"
            )
        self.path = path
        self._synchronous = synchronous
        self._lock = threading.RLock()
        self._idle: deque[sqlite3.Connection] = deque()
        self._listeners: list[Listener] = []
        self._poller: threading.Thread | None = None
        self._closed = threading.Event()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
        except (OSError, StoreError, sqlite3.Error) as error:
            raise ConfigurationError(f"the store {path} cannot be opened: {error}", hint="see store.url") from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: begun at once, so that it cannot fail half-way for a lock."""
        with self._lock, _translated():
            self._require_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # some errors, such as a full disk, have rolled back already
                    self._writer.execute("ROLLBACK")
                raise

    def read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query, as of the last commit."""
        self._require_open()
        with _translated():
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                return connection.execute(sql, parameters).fetchall()
            finally:
                self._idle.append(connection)
                if self._closed.is_set():  # meanwhile: `close` did not see this connection
                    self._close_idle()

    def migrate(self) -> None:
        """Apply the migrations that the file does not have yet."""
        steps = sorted(
            entry.name for entry in files(__package__).joinpath("migrations").iterdir() if entry.name.endswith(".sql")
        )
        with self._lock:
            try:
                with self.write() as connection:
                    version = connection.execute("PRAGMA user_version").fetchone()[0]
                    if version > len(steps):
                        raise ConfigurationError(
                            f"the store {self.path} was written by a newer flowrunner (schema {version},"
                            f" known {len(steps)})",
                            hint="upgrade flowrunner, or use another file",
                        )
                    for number, name in enumerate(steps[version:], version + 1):
                        script = files(__package__).joinpath("migrations", name).read_text("utf-8")
                        for statement in _statements(script):
                            connection.execute(statement)
                        connection.execute(f"PRAGMA user_version = {number}")
            except StoreError as error:
                raise ConfigurationError(
                    f"the store {self.path} cannot be used: {error}", hint="see store.url"
                ) from error

    def close(self) -> None:
        self._closed.set()
        if self._poller is not None and self._poller is not threading.current_thread():
            self._poller.join()
        with self._lock:
            self._writer.close()
        self._close_idle()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise StoreError(f"the store {self.path} is closed")

    def _close_idle(self) -> None:
        """Close the connections that nobody reads from. A reader calls it too when it was the last to know."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA cache_size = -32000")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    # -- wakeups ---------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """See `ports.wakeups.Wakeups`."""
        with self._lock:
            self._listeners.append(listener)
            if self._poller is None:
                seen = self._data_version()  # taken here, so that nothing written from now on is missed
                self._poller = threading.Thread(target=self._poll, args=(seen,), name="sqlite-wakeups", daemon=True)
                self._poller.start()

        def leave() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return leave

    def tell(self, topic: Topic) -> None:
        for listener in list(self._listeners):
            listener(topic)

    def _data_version(self) -> int:
        """A number that other connections' commits change, and the writer's own do not.

        Asked of the writer, and no other connection of this process writes: so it tells of other
        processes. Asking reads a few bytes of shared memory.
        """
        with self._lock, _translated():
            self._require_open()
            return int(self._writer.execute("PRAGMA data_version").fetchone()[0])

    def _poll(self, seen: int) -> None:
        while not self._closed.wait(POLL_SECONDS):
            try:
                version = self._data_version()
            except StoreError:
                continue
            if version != seen:
                self.tell("queue")
                self.tell("runs")
            seen = version


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, since executescript would commit the transaction under way."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors as ours, by their name."""
    try:
        yield
    except OverflowError as error:
        raise InvalidInput("a number is too large to be stored") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise StoreError(f"SQLite: {error}", code_name=name) from error
