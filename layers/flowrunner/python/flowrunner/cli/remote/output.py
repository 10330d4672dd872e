"""What comes from a server, on the terminal: tables and fields for people, one JSON document for programs.

All text is somebody else's, and is made harmless first.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrunner.cli.exits import UNSAFE, escape
from flowrunner.cli.remote.lists import Found
from flowrunner.core.durations import format_duration

Show = Callable[[Any], str]
Column = tuple[str, str] | tuple[str, str, Show]
"""A title, the path of the value (`flow.name`), and how the value is shown."""

WIDE = 100_000


def print_json(document: Any) -> None:
    """One JSON document: over several lines for people at a terminal, on one for pipes."""
    sys.stdout.write(safe_json(document, indent=2 if sys.stdout.isatty() else None) + "\n")
    sys.stdout.flush()


def safe_json(document: Any, indent: int | None = None) -> str:
    """JSON with nothing that a terminal would interpret: only strings can, and there escapes mean the same."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def show_list(found: Found, columns: Sequence[Column], *, as_json: bool) -> None:
    """A list: `{"items": [...], "more": ...}`, or a table."""
    if as_json:
        print_json({"items": found.items, "more": found.more})
        return
    if not found.items:
        print("none", file=sys.stderr)
        return
    _table(columns, [[_cell(one, column) for column in columns] for one in found.items])
    if found.more:
        print("there are more: --limit N or --all", file=sys.stderr)


def show_fields(thing: Mapping[str, Any], columns: Sequence[Column], *, as_json: bool) -> None:
    """One thing: all of it as JSON, or its fields, those without a value left out."""
    if as_json:
        print_json(thing)
        return
    lines = [(column[0].lower(), _cell(thing, column)) for column in columns]
    shown = [(title, text) for title, text in lines if text]
    width = max((len(title) for title, _ in shown), default=0)
    for title, text in shown:
        print(f"{title:<{width}}  {text}")


def say(text: str, document: Any, *, as_json: bool) -> None:
    """What was done: a line, or a JSON document."""
    if as_json:
        print_json(document)
    else:
        print(escape(text))


def value_at(thing: Any, path: str) -> Any:
    """The value at a path of names; None where there is none."""
    for name in path.split("."):
        thing = thing.get(name) if isinstance(thing, Mapping) else None
    return thing


def words(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() if all(isinstance(one, str) for one in value):
            return ", ".join(value)
        case dict() if not any(isinstance(one, dict | list) for one in value.values()):
            return ", ".join(f"{name}={words(one)}" for name, one in value.items())
        case _:
            return json.dumps(value, ensure_ascii=False)


def as_json_text(value: Any) -> str:
    """A value of a flow, as what it is."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def few(value: Any) -> str:
    """A list that may be long."""
    return words(value) if not isinstance(value, list) or len(value) <= 3 else f"{len(value)} of them"


def short(value: Any) -> str:
    """A value that may be long; --json has all of it."""
    text = words(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def moment(value: Any) -> str:
    """A moment without its milliseconds: `2026-11-21 08:49:07Z`."""
    text = words(value)
    return f"{text[:10]} {text[11:19]}Z" if len(text) >= 20 and text[10] == "T" else text


def duration(value: Any) -> str:
    """Milliseconds as a duration."""
    return format_duration(value) if isinstance(value, int) else ""


def percent(value: Any) -> str:
    return "" if value is None else f"{value} %"


def dollars(value: Any) -> str:
    """An amount that may be tiny."""
    return "" if value is None else f"${value:.6f}".rstrip("0").rstrip(".")


def count(value: Any) -> str:
    """A number with separators."""
    return f"{value:,}" if isinstance(value, int) else words(value)


def _cell(thing: Any, column: Column) -> str:
    show = column[2] if len(column) == 3 else words
    return escape(show(value_at(thing, column[1]))).replace("\n", "\\n").replace("\t", " ")


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    people = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if people else WIDE, highlight=False, emoji=False)
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        # Ids are copied from here, so they stay in one piece.
        table.add_column(column[0], no_wrap=column[1] == "id" or not people, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as drawn:
        console.print(table)
    # Cells are padded to their width, the last one of a line, too.
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))
