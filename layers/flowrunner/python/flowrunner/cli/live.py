"""The live tree, with Rich."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from flowrunner.cli.exits import escape
from flowrunner.cli.view import ICONS, SHOWN_STEPS, Answer, Board, SilentView, describe
from flowrunner.core.durations import format_duration
from flowrunner.core.ids import AccountId, RunId
from flowrunner.engine.engine import Engine, RunResult
from flowrunner.engine.watch import Change


class LiveView(SilentView):
    """A tree that is drawn again some times a second. Log lines scroll by above it."""

    def __init__(self, engine: Engine, account: AccountId, run: RunId, name: str) -> None:
        self._engine = engine
        self._account = account
        self._run = run
        self._name = name
        self._board = Board()
        self._asked: set[str] = set()
        self._console = Console(stderr=True)
        self._live = Live(get_renderable=self._tree, console=self._console, refresh_per_second=8, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def change(self, change: Change) -> None:
        for attempt in self._board.apply(change, self._engine.parts.clock.now()):
            for entry in attempt.logs:
                line = Text(f"{attempt.label}: ", style="dim")
                line.append(escape(str(entry.get("message", ""))), style=_level(str(entry.get("level"))))
                self._console.print(line)

    def ask(self, answer: Answer) -> None:
        if not sys.stdin.isatty():
            return
        with self._board.lock:
            waiting = [
                (step, line)
                for step, line in self._board.lines.items()
                if line.status == "waiting" and isinstance(line.wait, dict) and line.wait.get("message")
            ]
        for step, line in waiting:
            if step in self._asked:
                continue
            self._asked.add(step)
            self._live.stop()
            question = f"[yellow]?[/] {line.label}: approve? y, n, or anything else to leave it waiting: "
            reply = self._console.input(question)
            self._live.start()
            if reply.strip().lower() in ("y", "yes", "n", "no"):
                answer(step, {"approved": reply.strip().lower().startswith("y"), "by": "terminal"})

    def finish(self, result: RunResult) -> None:
        style = "bold green" if result.status == "completed" else "bold red"
        line = Text(result.status, style=style)
        if result.ended_at:
            line.append(f"  {format_duration(result.ended_at - result.started_at)}", style="dim")
        if result.error:
            line.append(f"  {escape(str(result.error.get('message')))}", style="red")
        self._console.print(line)

    def _tree(self) -> Tree:
        now = self._engine.parts.clock.now()
        with self._board.lock:
            title = Text(self._name, style="bold")
            title.append(f"  {self._board.status}  {self._board.progress} %", style="dim")
            tree = Tree(title, guide_style="dim")
            lines = list(self._board.lines.values())
            if len(lines) > SHOWN_STEPS:
                tree.add(Text(f"… {len(lines) - SHOWN_STEPS} earlier steps", style="dim"))
            for line in lines[-SHOWN_STEPS:]:
                tree.add(Text(describe(line, now), style=ICONS[line.status][1]))
            return tree


def _level(level: str) -> str:
    return {"error": "red", "warning": "yellow", "debug": "dim"}.get(level, "")
