"""The live tree of a run in this process."""

from __future__ import annotations

import sys
from typing import Self

from rich.text import Text

from flowrunner.cli.exits import escape
from flowrunner.cli.lines import reason, said
from flowrunner.cli.questions import Questions
from flowrunner.cli.tree import LiveTree
from flowrunner.cli.view import Answer, Board, SilentView
from flowrunner.core.ids import RunId
from flowrunner.engine.engine import Engine, RunResult
from flowrunner.engine.watch import Change


class LiveView(SilentView):
    """Shows the tree, and asks the person at the terminal what waits for a decision."""

    def __init__(self, engine: Engine, name: str, run: RunId) -> None:
        self._clock = engine.parts.clock
        self._board = Board()
        self._questions = Questions(run)
        self._asked: set[tuple[RunId, str]] = set()
        self._tree = LiveTree(name, self._board, self._clock.now)

    def __enter__(self) -> Self:
        self._tree.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.stop()

    def change(self, change: Change) -> None:
        for attempt in self._board.apply(change, self._clock.now()):
            for entry in attempt.logs:
                self._tree.log(attempt.label, said(entry), str(entry.get("level")))

    def other(self, change: Change) -> None:
        self._questions.change(change)

    def ask(self, answer: Answer) -> None:
        if not sys.stdin.isatty():
            return
        for one in self._questions.waiting():
            if (one.run, one.step) in self._asked:
                continue
            self._asked.add((one.run, one.step))
            question = Text.from_markup("[yellow]?[/] ").append(
                f"{one.label}: {escape(one.message)} Approve? y, n, or anything else to leave it waiting: "
            )
            reply = self._tree.ask(question)
            if reply in ("y", "yes", "n", "no"):
                answer(one.run, one.step, {"approved": reply.startswith("y"), "by": "terminal"})

    def finish(self, result: RunResult) -> None:
        took = result.ended_at - result.started_at if result.ended_at else None
        self._tree.end(result.status, took, reason(result.error) if result.error else None)
