"""What a run's steps said, and all its events: as they are now, or followed to the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowrunner.cli.exits import escape
from flowrunner.cli.remote.client import Client, at, connect
from flowrunner.cli.remote.following import ENDS, follow
from flowrunner.cli.remote.output import print_json, safe_json
from flowrunner.cli.remote.watching import event_log_line, exit_of, left_running

PAGE = 1000

TELLING = {"step.waiting": "data"}
"""Where in the data of an event its message for people is, if not in `error`."""

Show = Callable[[dict[str, Any]], str]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The options of the command, as given."""

    node: str | None
    level: str | None
    text: str | None
    limit: int
    every: bool

    def query(self) -> dict[str, Any]:
        return {"node": self.node, "level": self.level, "text": self.text}


def show_logs(run: str, options: LogOptions, *, following: bool, as_json: bool, profile: str | None) -> int:
    """Print log lines. Answers the exit code."""
    with connect(profile) as client:
        path = at("/v1/runs/{}/logs", run)
        if following:
            events = follow(client, path, {**options.query(), "follow": True})
            lines = (event for event in events if event["type"] == "step.log" or event["type"] in ENDS)
            return _follow(run, lines, _log_json if as_json else _log_text)
        found = _pages(client, path, "logs", options.limit, every=options.every, query=options.query())
    return _print(*found, lambda line: _log_text({**line, "type": "step.log", "data": line}), as_json=as_json)


def show_events(run: str, limit: int, *, every: bool, following: bool, as_json: bool, profile: str | None) -> int:
    """Print events. Answers the exit code."""
    with connect(profile) as client:
        path = at("/v1/runs/{}/events", run)
        if following:
            return _follow(run, follow(client, path), safe_json if as_json else _event_text)
        found = _pages(client, path, "events", limit, every=every, query={})
    return _print(*found, _event_text, as_json=as_json)


def _follow(run: str, events: Iterator[dict[str, Any]], show: Show) -> int:
    """Print each event when it comes, if `show` makes a line of it. The run's last end is the exit code."""
    status = ""
    try:
        for event in events:
            if event["type"] in ENDS:
                status = event["type"].removeprefix("run.")
            text = show(event)
            if text:
                print(text, flush=True)
    except KeyboardInterrupt:
        return left_running(run)
    return exit_of(status)


def _pages(
    client: Client, path: str, name: str, limit: int, *, every: bool, query: Mapping[str, Any]
) -> tuple[list[Any], bool]:
    """The first entries, each once, and whether there are more."""
    found: dict[str, Any] = {}
    after: str | None = None
    while True:
        wanted = PAGE if every else min(PAGE, limit - len(found))
        page = client.get(path, limit=wanted, after=after, **query)
        found.update({entry["id"]: entry for entry in page[name]})
        after = page["cursor"]
        if not page["more"] or (not every and len(found) >= limit):
            return list(found.values()), page["more"]


def _print(entries: list[Any], more: bool, show: Show, *, as_json: bool) -> int:
    if as_json:
        print_json({"items": entries, "more": more})
        return 0
    for entry in entries:
        print(show(entry))
    if not entries:
        print("none", file=sys.stderr)
    if more:
        print("there are more: --limit N or --all", file=sys.stderr)
    return 0


def _log_text(event: dict[str, Any]) -> str:
    if event.get("type") in ENDS:
        _say_end(event)
        return ""
    return f"{_time(event)}  {event_log_line(event)}"


def _log_json(event: dict[str, Any]) -> str:
    """A line that is followed, as one of a page (`LogLine` of the API)."""
    if event["type"] in ENDS:
        _say_end(event)
        return ""
    line = {key: event[key] for key in ("id", "at", "step_id", "node", "attempt")}
    return safe_json({**line, "data": None, **event["data"]})


def _event_text(event: dict[str, Any]) -> str:
    if event["type"] == "step.log":
        return f"{_time(event)}  {'step.log':<14}  {event_log_line(event)}"
    parts = [_time(event), f"{event['type']:<14}", str(event.get("step_id") or "")]
    if (event.get("attempt") or 1) > 1:
        parts.append(f"attempt {event['attempt']}")
    data = event.get("data")
    if event["type"] == "step.event":
        parts.append(safe_json(data))
    elif isinstance(data, dict):
        about = data.get(TELLING.get(event["type"], "error")) if event["type"].startswith("step.") else data
        if isinstance(about, dict) and about.get("message"):
            parts.append(str(about["message"]).replace("\n", "\\n"))
    return escape("  ".join(part for part in parts if part)).rstrip()


def _say_end(event: dict[str, Any]) -> None:
    data = event.get("data")
    reason = f": {data['message']}" if isinstance(data, dict) and data.get("message") else ""
    print(escape(event["type"].removeprefix("run.") + reason), file=sys.stderr)


def _time(event: dict[str, Any]) -> str:
    return str(event.get("at"))[11:23]
