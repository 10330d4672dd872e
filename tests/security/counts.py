"""How often: a few times in CI, as often as the goals say with GOALS_FULL=1 (docs/goals.md)."""

from __future__ import annotations

import os

FULL = bool(os.environ.get("GOALS_FULL"))


def times(few: int, goal: int) -> int:
    """The goal's count when it was asked for, else a few."""
    return goal if FULL else few
