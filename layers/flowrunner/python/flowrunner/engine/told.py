"""How much of the steps under way a reader was told, small enough for its position.

A reader that comes back every few seconds would otherwise hear of the same steps each time: what is under way is in no
history yet. What does not fit is told when its step is committed, under the ids that it has anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from flowrunner.core.ids import StepId
from flowrunner.engine.run_events import RunEvent, Told

StepAt = tuple[StepId, int]

MOST = 200
"""Characters: what a position has room for."""
CUT = "+"
"""At the end: there are more steps, of which nothing will be told before they end."""

_ONE = re.compile(r"(\d{1,10}\.\d{1,6}(?:\[\d{1,8}\])?):(\d{1,6})\*(\d{1,9})\.(\d{1,9})(w?)")
_PART = re.compile(r"(log|event)(\d+)")


class ToldSteps:
    """The steps under way of one run, as one reader knows them."""

    def __init__(self, known: Mapping[StepAt, Told] | None = None, *, cut: bool = False) -> None:
        self._known = dict(known or {})
        self.cut = cut

    @staticmethod
    def parse(text: str) -> ToldSteps:
        """What `str` wrote; nothing for what it never writes."""
        body = text.removesuffix(CUT)
        found: dict[StepAt, Told] = {}
        for part in body.split(",") if body else ():
            match = _ONE.fullmatch(part)
            if match is None:
                return ToldSteps()
            told = Told(True, int(match[3]), int(match[4]), bool(match[5]))
            found[StepId(match[1]), int(match[2])] = told
        return ToldSteps(found, cut=text != body)

    def __str__(self) -> str:
        parts: list[str] = []
        room = MOST - len(CUT)
        for (step, attempt), told in self._known.items():
            part = f"{step}:{attempt}*{told.logs}.{told.events}{'w' * told.waits}"
            room -= len(part) + 1
            if room < 0:
                return ",".join(parts) + CUT
            parts.append(part)
        return ",".join(parts) + (CUT if self.cut else "")

    def __bool__(self) -> bool:
        return bool(self._known) or self.cut

    def of(self, at: StepAt) -> Told | None:
        """What was told of an attempt, to go on from; None for one that is passed over until it ends."""
        known = self._known.get(at)
        if known is not None:
            return replace(known)
        return None if self.cut else Told()

    def taken(self, at: StepAt) -> Told:
        """What was told of an attempt that a commit has taken: it is known no more."""
        return self._known.pop(at, None) or Told()

    def keep(self, attempts: Iterable[StepAt]) -> None:
        """Know only these: the others are under way no more."""
        live = set(attempts)
        self._known = {at: told for at, told in self._known.items() if at in live}
        self.cut = self.cut and bool(live - self._known.keys())

    def hear(self, at: StepAt, event: RunEvent) -> None:
        """The reader gets an event of an attempt."""
        what = event.id.rpartition(":")[2]
        if what == "scheduled":
            return  # with `started`, which follows: what is between the two comes again
        told = self._known.setdefault(at, Told(began=True))
        part = _PART.fullmatch(what)
        if part is not None and part[1] == "log":
            told.logs = int(part[2]) + 1
        elif part is not None:
            told.events = int(part[2]) + 1
        elif what == "waiting":
            told.waits = True
