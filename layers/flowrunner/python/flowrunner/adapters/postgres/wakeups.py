"""LISTEN and NOTIFY: how processes on one database wake each other without asking all the time.

Statements that make work for others end in `pg_notify`; PostgreSQL delivers it when they are committed. A
process tells its own listeners directly, and takes no notice of its own notifications.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable

import psycopg

from flowrunner.adapters.postgres.arrays import Texts
from flowrunner.adapters.postgres.database import Connection, Database
from flowrunner.adapters.postgres.listeners import Listeners
from flowrunner.errors import StoreError
from flowrunner.ports.wakeups import Listener, Topic

CHANNEL = "flowrunner"
HEARTBEAT = 30.0
"""Seconds after which a silent connection is tried, so that one cut off by the network is noticed."""
LONGEST_PAUSE = 10.0


class PostgresWakeups:
    """See `ports.wakeups.Wakeups`. The thread and its connection are there only while somebody listens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners = Listeners()
        self._lock = threading.Lock()
        self._me = os.urandom(8).hex()
        self._thread: _Ear | None = None

    def listen(self, listener: Listener) -> Callable[[], None]:
        leave = self._listeners.listen(listener)
        with self._lock:
            if self._thread is None:
                self._thread = _Ear(self._database, self._me, self._listeners.tell)
                self._thread.start()

        def stop() -> None:
            leave()
            if not self._listeners:
                self.close()

        return stop

    def payloads(self, topics: list[Topic]) -> Texts:
        """What a statement notifies the other processes of."""
        return Texts(f"{topic} {self._me}" for topic in topics)

    def tell(self, topics: list[Topic]) -> None:
        """Tell this process; the others were told by the statement."""
        for topic in topics:
            self._listeners.tell(topic)

    def close(self) -> None:
        with self._lock:
            ear, self._thread = self._thread, None
        if ear is not None:
            ear.stop()


class _Ear(threading.Thread):
    """Waits for notifications on a connection of its own, and for a new one after trouble."""

    def __init__(self, database: Database, me: str, tell: Callable[[Topic], None]) -> None:
        super().__init__(name="postgres-wakeups", daemon=True)
        self._database = database
        self._me = me
        self._tell = tell
        self._stopped = threading.Event()
        self._bell, self._rope = socket.socketpair()

    def stop(self) -> None:
        self._rope.send(b"!")  # before the event: the thread closes the bell when it sees that
        self._stopped.set()
        if threading.current_thread() is not self:
            self.join(timeout=5)

    def run(self) -> None:
        pause = 0.1
        while not self._stopped.is_set():
            try:
                with self._database.connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    pause = 0.1
                    # Whatever was notified while nobody listened is lost, so have everybody look.
                    self._tell("queue")
                    self._tell("runs")
                    self._hear(connection)
            except (StoreError, psycopg.Error):
                self._stopped.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        self._bell.close()
        self._rope.close()

    def _hear(self, connection: Connection) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(connection.fileno(), selectors.EVENT_READ)
            ready.register(self._bell, selectors.EVENT_READ)
            while not self._stopped.is_set():
                if not ready.select(HEARTBEAT):
                    connection.execute("SELECT 1")
                connection.pgconn.consume_input()
                while notification := connection.pgconn.notifies():
                    self._pass_on(notification.extra.decode())

    def _pass_on(self, payload: str) -> None:
        topic, _, sender = payload.partition(" ")
        if sender == self._me:
            return
        if topic == "queue":
            self._tell("queue")
        elif topic == "runs":
            self._tell("runs")
