"""Runs as they were decided by released versions: `python -m tests.core.recorded_runs` records those of this one.

    python -m tests.core.recorded_runs > tests/core/recorded/0.1.0.jsonl     (the version that is about to be released)

A line is a run: its flow, and for each event what happened, at what time and with which draw, what changed of the head,
and which commands followed; or that the event was refused. What is recorded stays as it is for ever: a run that was
under way when the program was replaced goes on by these decisions, whoever makes them (`test_recorded_runs.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from flowrunner.core import commands, events
from flowrunner.core.codec import encode
from flowrunner.core.commands import Decision
from flowrunner.core.decide import Rejected, decide
from flowrunner.core.events import Event
from flowrunner.core.flow import Flow
from flowrunner.core.graph import build_graph
from flowrunner.core.state import State
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.core.harness import Run
from tests.core.player import Player
from tests.core.records import Fact
from tests.core.strategies import Game, games
from tests.core.test_random_runs import KINDS

FOLDER = Path(__file__).parent / "recorded"
OF_EACH_KIND = 8
TRIED = 300
WAITS = 12
"""The outcome of a step that waits, half of the time for a run that it has started (`Player`)."""
LONGEST = 40
"""Events of a run. Longer ones repeat themselves."""

FLOWS = TypeAdapter(Flow)
Json = Any


@dataclass
class Recording:
    """One run, as it is written down."""

    name: str
    flow: Json
    slot: str | None
    parent: bool
    started_at: int
    events: list[list[Json]] = field(default_factory=list)
    """Kind, facts, time, draw; what the head changes in and the commands, unless the event was refused."""

    def line(self) -> str:
        return json.dumps(vars(self), separators=(",", ":"))

    def features(self) -> set[str]:
        """What can be seen in it, to choose runs that differ."""
        found = set[str]()
        for kind, facts, _, _, *told in self.events:
            found |= {kind, *(f"{kind} {name}" for name in facts), f"{kind} refused" if not told else ""}
            if told:
                found |= {f"head {key} {told[0].get('st', '')}" for key in told[0]}
                found |= {f"{name} {key} {one.get('status', '')}" for name, one in told[1] for key in one}
        return found


class Recorder(Run):
    """A run that writes down what it is told, and what is decided."""

    recording: Recording

    def happen(self, fact: Fact) -> Decision:
        before, event = self.state, self.event(fact)
        told = [type(event).__name__, plain(event), self.now, self.draw]
        try:
            decision = super().happen(fact)
        except Rejected:
            if not before.status.over:
                self.recording.events.append(told)
            raise
        self.recording.events.append([*told, *answer(before, decision)])
        return decision


def answer(before: State, decision: Decision) -> tuple[Json, Json]:
    """What a decision comes to: what the head changes in (`-`: keys that are gone), and the commands."""
    old, new = encode(before), encode(decision.state)
    changed = {key: new[key] for key in sorted(new) if old.get(key) != new[key]}
    gone = sorted(old.keys() - new.keys())
    told = [[type(one).__name__, plain(one)] for one in decision.commands]
    both: tuple[Json, Json] = json.loads(json.dumps([changed | ({"-": gone} if gone else {}), told]))
    return both


def plain(value: object) -> dict[str, Json]:
    """The fields of an event or a command, without those that have their default."""
    found: dict[str, Json] = adapter(type(value).__name__).dump_python(value, mode="json", exclude_defaults=True)
    return found


@cache
def adapter(name: str) -> TypeAdapter[Any]:
    """Of an event or a command."""
    return TypeAdapter((vars(events) | vars(commands))[name])


def replayed(line: str) -> Iterator[tuple[str, Json, Json]]:
    """Each event of a recorded run: its place, what was told of it then, and what this program says."""
    kept = Recording(**json.loads(line))
    graph = build_graph(FLOWS.validate_python(kept.flow))
    state = State(slot=kept.slot, parent=kept.parent, started_at=kept.started_at)
    for number, (kind, facts, now, draw, *told) in enumerate(kept.events, 1):
        event: Event = adapter(kind).validate_python(facts)
        try:
            decision = decide(graph, state, event, now, draw)
        except Rejected:
            yield f"{kept.name}, event {number}: {kind}", told, []
            continue
        yield f"{kept.name}, event {number}: {kind}", told, [*answer(state, decision)]
        state = decision.state


def recorded(name: str, seen: set[str]) -> list[Recording]:
    """Runs of a kind, as different as they can be: the next one is always that which shows the rarest that is new."""
    found: dict[str, tuple[Recording, set[str]]] = {}

    @settings(max_examples=TRIED, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(games(KINDS[name]), st.booleans())
    def play(game: Game, waits: bool) -> None:
        made = recording(replace(game, outcomes=(WAITS, *game.outcomes)) if waits else game)
        if len(made.events) <= LONGEST:
            found[made.line()] = (made, made.features())

    play()
    often = Counter(feature for _, features in found.values() for feature in features)
    chosen: list[Recording] = []
    for number in range(OF_EACH_KIND):
        best = max(found, key=lambda line: (sum(1 / often[one] for one in found[line][1] - seen), len(found[line][1])))
        made, features = found.pop(best)
        seen |= features
        made.name = f"{name} {number + 1}"
        chosen.append(made)
    return chosen


def recording(game: Game) -> Recording:
    """A game, played."""
    player = Player(game)
    run = Recorder(game.flow, slot="key" if game.slot else None, parent=game.parent)
    flow = FLOWS.dump_python(game.flow, mode="json", exclude_defaults=True)
    run.recording = Recording("", flow, run.slot, run.parent, run.now)
    player.run = run
    player.play()
    return run.recording


EVENTS = {one.__name__ for one in vars(events)["Event"].__args__}
COMMANDS = {one.__name__ for one in vars(commands)["Command"].__args__}

if __name__ == "__main__":
    shown = set[str]()
    for kind in KINDS:
        for one in recorded(kind, shown):
            print(one.line())  # noqa: T201  # a program for developers: this is what it makes
