"""The steps of a run on a server, kept up to date from its events."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from flowrunner.cli.exits import escape
from flowrunner.cli.lines import Line
from flowrunner.core.times import parse_time

ITEM = re.compile(r"(.+)\[(\d+)\]", re.ASCII)
"""The label of an item of a foreach: `each[17]`."""

STATUSES = {
    "step.scheduled": "scheduled",
    "step.started": "running",
    "step.waiting": "waiting",
    "step.retrying": "retrying",
    "step.succeeded": "succeeded",
    "step.failed": "failed",
    "step.skipped": "skipped",
}
OVER = ("succeeded", "failed", "skipped")


class EventBoard:
    """See `cli.lines.Lines`. The clock is the server's: its last event's time, and what has passed here since."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lines: dict[str, Line] = {}
        self.status = "queued"
        self.progress: int | None = None
        self._items: dict[str, list[int]] = {}
        self._told = 0
        self._told_at = time.monotonic()

    def now(self) -> int:
        """Milliseconds since the epoch, as far as the server has told."""
        return self._told + round((time.monotonic() - self._told_at) * 1000)

    def apply(self, event: dict[str, Any]) -> Line | None:
        """Take an event; answers the line that has changed, if one has."""
        with self.lock:
            at = _moment(event.get("at"))
            if at > self._told:
                self._told, self._told_at = at, time.monotonic()
            kind, label = str(event["type"]), event.get("step_id")
            if kind.startswith("run."):
                self.status = "running" if kind == "run.started" else kind.removeprefix("run.")
                return None
            if not isinstance(label, str) or kind not in STATUSES:
                return None
            item = ITEM.fullmatch(label)
            if item is not None:
                self._item(item[1], STATUSES[kind])
                return None
            return self._step(label, STATUSES[kind], at, event)

    def _step(self, label: str, status: str, at: int, event: dict[str, Any]) -> Line:
        line = self.lines.setdefault(label, Line(escape(label), str(event.get("node") or label)))
        if line.status in OVER and status == "scheduled":
            # A redrive: the step begins again.
            line.started_at = line.ended_at = 0
        given = event.get("data")
        data: dict[str, Any] = given if isinstance(given, dict) else {}
        line.status = status
        line.attempt = event.get("attempt") or line.attempt
        line.started_at = line.started_at or (at if status != "scheduled" else 0)
        line.ended_at = at if status in OVER else 0
        line.error = str((data.get("error") or {}).get("message", ""))
        line.wait = data.get("data") if status == "waiting" else None
        self._mark(label, cached=bool(data.get("cached")))
        return line

    def _item(self, label: str, status: str) -> None:
        if status in OVER:
            counts = self._items.setdefault(label, [0, 0])
            counts[status == "failed"] += 1
            self._mark(label)

    def _mark(self, label: str, *, cached: bool = False) -> None:
        line = self.lines.get(label)
        if line is None:
            return
        line.marks = ["cached"] if cached else []
        if label in self._items:
            done, failed = self._items[label]
            line.marks.append(f"{done + failed} items" + (f" ({failed} failed)" if failed else ""))


def _moment(text: Any) -> int:
    try:
        return parse_time(str(text))
    except (ValueError, OverflowError):
        return 0
