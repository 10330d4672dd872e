"""The steps of a run as lines, wherever the run is."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowrunner.cli.exits import escape
from flowrunner.core.durations import format_duration

ICONS = {
    "succeeded": ("✔", "green"),
    "failed": ("✘", "red"),
    "skipped": ("↷", "dim"),
    "running": ("●", "cyan"),
    "waiting": ("⏸", "yellow"),
    "retrying": ("↻", "yellow"),
    "scheduled": ("○", "dim"),
}


@dataclass(slots=True)
class Line:
    """A step as shown."""

    label: str
    node: str
    status: str = "scheduled"
    started_at: int = 0
    ended_at: int = 0
    attempt: int = 1
    error: str = ""
    items: tuple[int, int, int] | None = None
    """Of a foreach: done, failed, all."""
    wait: Any = None
    marks: list[str] = field(default_factory=list)


class Lines(Protocol):
    """The lines of a run, which somebody keeps up to date; read them with `lock` held."""

    lock: threading.Lock
    status: str
    progress: int | None

    @property
    def lines(self) -> Mapping[Any, Line]: ...


def said(entry: Mapping[str, Any]) -> str:
    """What a step has logged: the message, and its data."""
    data = entry.get("data")
    return str(entry.get("message", "")) + ("" if data is None else f"  {json.dumps(data, ensure_ascii=False)}")


def log_line(label: str, entry: Mapping[str, Any]) -> str:
    """What a step has logged, with its level unless that is info; harmless on a terminal."""
    level = str(entry.get("level") or "info")
    mark = "" if level == "info" else f"{level}: "
    text = said(entry).replace("\n", "\n    ")
    return escape(f"{label}: {mark}{text}")


def reason(error: Mapping[str, Any]) -> str:
    """Why a run has failed, with the code that the documents explain; harmless on a terminal."""
    return escape(": ".join(str(error[part]) for part in ("code", "message") if error.get(part)))


def describe(line: Line, now: int) -> str:
    """A step in one line."""
    icon, _ = ICONS[line.status]
    parts = [f"{icon} {line.label}"]
    if line.items is not None:
        done, failed, count = line.items
        parts.append(f"{done}/{count}" + (f" ({failed} failed)" if failed else ""))
    if line.started_at:
        end = line.ended_at if line.status in ("succeeded", "failed", "skipped") else now
        parts.append(format_duration(max(end - line.started_at, 0)))
    if line.attempt > 1:
        parts.append(f"attempt {line.attempt}")
    parts += line.marks
    if line.status in ("waiting", "retrying"):
        parts.append(line.status)
    if isinstance(line.wait, dict) and line.wait.get("message"):
        parts.append(escape(str(line.wait["message"])))
    if line.error:
        parts.append(escape(line.error).splitlines()[0][:160])
    return "  ".join(parts)
