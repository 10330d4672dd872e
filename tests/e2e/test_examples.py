"""The examples that need no other service, as their readers would run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Team, fresh

EXAMPLES = Path(__file__).parents[2] / "examples"

EXPECTED: dict[str, tuple[Any, Any]] = {
    "fan-out": ({"count": 120}, {"count": 120, "sum": 568820}),
    "ports": ({"name": "Ada Lovelace"}, {"greeting": "Good day, Ada Lovelace."}),
    "map-reduce": (
        {"texts": ["the cat", "the dog and the cat"]},
        {"top": [{"word": "the", "count": 3}, {"word": "cat", "count": 2}, {"word": "and", "count": 1}]},
    ),
    "chat-loop": (
        {"questions": ["hi", "bye"]},
        {"history": [{"you": "hi", "me": "You said: hi"}, {"you": "bye", "me": "You said: bye"}], "turns": 2},
    ),
    "sub-flow": (
        {"cities": [{"name": "Rome", "fahrenheit": 80}, {"name": "Oslo", "fahrenheit": 50}]},
        {"warmest": {"name": "Rome", "celsius": 26.7}},
    ),
    "approval": ({"amount": 20, "what": "stamps"}, {"pay": {"paid": 20, "what": "stamps"}}),
}
ELSEWHERE = {
    "agent": "asks a model",
    "triggers": "test_triggers.py calls its hook",
    "error-branch": "asks another service",
    "mail-answer": "asks a mail server",
    "original": "asks another service",
    "pagination": "asks another service",
    "parallel-fetch": "asks another service",
    "retry": "asks another service",
    "summarise": "asks a model",
}


def example(name: str) -> str:
    """An example's text, under a name that is free."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    assert f"name: {name}\n" in text
    return text.replace(f"name: {name}\n", f"name: {fresh(name)}\n", 1)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_gives_its_output(team: Team, name: str) -> None:
    """The same as on every other store."""
    value, expected = EXPECTED[name]
    run = team.run(example(name), value)
    assert (run["status"], run["output"]) == ("completed", expected), run["error"]


def test_every_example_is_accounted_for() -> None:
    """A new one is run, or it is said why not."""
    assert {file.stem for file in EXAMPLES.glob("*.yaml")} == {*EXPECTED, *ELSEWHERE}
