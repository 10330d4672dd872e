"""What one execution says: its log lines and its custom events, in order, masked, up to a limit.

They are added by the execution's own thread and may be read by others while it goes on. An entry is masked when it is
added, with the secrets that the run has read by then: it may leave the process at once. The row that is written at the
end is masked once more, with all secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from flowrunner.core.flow import Json
from flowrunner.core.ids import Millis
from flowrunner.engine.redaction import Redactor
from flowrunner.engine.values import to_json

MOST_LOGGED = 256 * 1024
MOST_EMITTED = 256 * 1024
"""Bytes of JSON text per attempt; what comes after them is dropped and counted."""

Entry = dict[str, Json]


class Entries:
    """The entries of one execution."""

    def __init__(self, now: Callable[[], Millis], redactor: Callable[[], Redactor]) -> None:
        self._now = now
        self._redactor = redactor
        self._logged = 0
        self._emitted = 0
        self._heard: Callable[[], None] | None = None
        self.logs: list[Entry] = []
        self.events: list[Entry] = []
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self.logs or self.events)

    @property
    def count(self) -> int:
        """Grows with every entry."""
        return len(self.logs) + len(self.events)

    def listen(self, heard: Callable[[], None]) -> None:
        """Call `heard` for every entry from now on, in the execution's thread."""
        self._heard = heard

    def log(self, message: str, level: str = "info", data: Json = None) -> None:
        """Add a log line. Raises `StepError` (`VALUE_NOT_JSON`) for data that JSON cannot hold."""
        entry: Entry = {"level": level, "message": message, "at": self._now()}
        if data is not None:
            entry["data"] = data
        entry, size = self._plain(entry, "the data of a log line")
        self._logged += size
        self._add(self.logs, entry, fits=self._logged <= MOST_LOGGED)

    def emit(self, name: str, data: Json = None) -> None:
        """Add a custom event. Raises as `log`."""
        entry, size = self._plain({"name": name, "data": data, "at": self._now()}, f"the data of event {name!r}")
        self._emitted += size
        self._add(self.events, entry, fits=self._emitted <= MOST_EMITTED)

    def clear(self) -> None:
        """Forget everything that was said."""
        self.logs.clear()
        self.events.clear()
        self.dropped = 0

    def close(self) -> None:
        """Say how much was dropped. Called when the execution ends; it may be called again."""
        if self.dropped:
            message = (
                f"{self.dropped:,} more log lines and events were dropped: an attempt keeps {MOST_LOGGED // 1024} KiB "
                f"of log lines and {MOST_EMITTED // 1024} KiB of events"
            )
            self.logs.append({"level": "warning", "message": message, "at": self._now()})
            self.dropped = 0

    def _plain(self, entry: Entry, where: str) -> tuple[Entry, int]:
        """A copy that nobody else can change, masked, and its size."""
        text = to_json(entry, where)
        plain: Any = self._redactor().value(orjson.loads(text))
        return plain, len(text)

    def _add(self, to: list[Entry], entry: Entry, *, fits: bool) -> None:
        if not fits:
            self.dropped += 1
            return
        to.append(entry)
        if self._heard is not None:
            self._heard()
