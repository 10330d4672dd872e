"""What released versions have decided, this one decides as well: runs that are under way go on as they began."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core.recorded_runs import COMMANDS, EVENTS, FOLDER, replayed

LEAST = 30
RECORDED = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_recorded_runs_replay_to_the_same_heads(file: Path) -> None:
    """Event by event: the same change of the head and the same commands, in the same order, or the same refusal."""
    for line in file.read_text(encoding="utf-8").splitlines():
        for place, then, now in replayed(line):
            assert json.dumps(now) == json.dumps(then), place


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_what_is_recorded_is_worth_replaying(file: Path) -> None:
    """At least thirty runs of each release, with every event and every command among them."""
    runs = [json.loads(line)["events"] for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(runs) >= LEAST
    happened = [event for run in runs for event in run]
    assert {event[0] for event in happened} == EVENTS
    assert {name for event in happened if len(event) > 4 for name, _ in event[5]} == COMMANDS
    assert any(len(event) == 4 for event in happened), "and refusals"


def test_a_release_is_recorded() -> None:
    """At least the first one."""
    assert RECORDED
