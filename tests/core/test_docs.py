"""The page docs/how-a-run-executes.md is about the core that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from flowrunner.core import advance, decide
from flowrunner.core.state import MAX_FRONTIER
from flowrunner.core.status import TRANSITIONS, RunStatus

PAGE = Path(__file__).parents[2] / "docs" / "how-a-run-executes.md"


def diagram() -> str:
    """The diagram of the table. A run begins queued or running, and every status is left along the table."""
    begins = [RunStatus.QUEUED, RunStatus.RUNNING]
    lines = ["stateDiagram-v2", *(f"    [*] --> {status.value}" for status in begins)]
    for status, following in TRANSITIONS.items():
        lines += [f"    {status.value} --> {after.value}" for after in RunStatus if after in following]
    return "\n".join(["```mermaid", *lines, "```"])


def test_the_diagram_is_drawn_from_the_table() -> None:
    """Whoever changes a transition changes the picture: the wanted block is in the message of this failure."""
    assert diagram() in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE.name}:\n{diagram()}"


@pytest.mark.parametrize(
    "term",
    [decide.STEP_LIMIT, decide.HEAD_LIMIT, decide.RUN_TIMEOUT, advance.JOIN_FAILED, f"{MAX_FRONTIER} steps"],
)
def test_codes_and_limits_are_named(term: str) -> None:
    """People who search for an error code of a run find the rule behind it."""
    assert term in PAGE.read_text(encoding="utf-8")
