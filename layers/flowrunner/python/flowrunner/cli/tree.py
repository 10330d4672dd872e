"""A run as a tree in the terminal that is drawn again some times a second, with Rich."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from flowrunner.cli.exits import escape
from flowrunner.cli.lines import ICONS, Lines, describe
from flowrunner.core.durations import format_duration

SHOWN_STEPS = 30
"""Lines of the tree; a longer run shows the newest."""


class LiveTree:
    """Draws what `lines` hold. Log lines scroll by above it."""

    def __init__(self, name: str, lines: Lines, now: Callable[[], int]) -> None:
        self._name = name
        self._lines = lines
        self._now = now
        self._console = Console(stderr=True)
        self._live = Live(get_renderable=self._tree, console=self._console, refresh_per_second=8, transient=False)

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        self._live.stop()

    def log(self, label: str, message: str, level: str) -> None:
        """Print what a step said."""
        line = Text(f"{escape(label)}: ", style="dim")
        line.append(escape(message), style=_style(level))
        self._console.print(line)

    def note(self, text: str) -> None:
        """Print a line above the tree."""
        self._console.print(Text(escape(text), style="yellow"))

    def ask(self, question: Text) -> str:
        """What the person at the terminal answers."""
        self._live.stop()
        try:
            return self._console.input(question).strip().lower()
        finally:
            self._live.start()

    def end(self, status: str, took: int | None, error: str | None) -> None:
        """Print how the run ended."""
        line = Text(status, style="bold green" if status == "completed" else "bold red")
        if took is not None:
            line.append(f"  {format_duration(took)}", style="dim")
        if error:
            line.append(f"  {escape(error)}", style="red")
        self._console.print(line)

    def _tree(self) -> Tree:
        now = self._now()
        with self._lines.lock:
            title = Text(escape(self._name), style="bold")
            progress = "" if self._lines.progress is None else f"  {self._lines.progress} %"
            title.append(f"  {self._lines.status}{progress}", style="dim")
            tree = Tree(title, guide_style="dim")
            lines = list(self._lines.lines.values())
            if len(lines) > SHOWN_STEPS:
                tree.add(Text(f"… {len(lines) - SHOWN_STEPS} earlier steps", style="dim"))
            for line in lines[-SHOWN_STEPS:]:
                tree.add(Text(describe(line, now), style=ICONS[line.status][1]))
            return tree


def _style(level: str) -> str:
    return {"error": "red", "warning": "yellow", "debug": "dim"}.get(level, "")
