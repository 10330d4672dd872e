"""The page docs/goals.md has every goal, and what it names as showing one is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/goals.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([RS]\d+) \| (.*) \|$", re.MULTILINE)
GOALS = [*(f"R{number}" for number in range(1, 27)), *(f"S{number}" for number in range(1, 19))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def missing(word: str) -> bool:
    """Whether a word of a command names a test, a script, a module or a variable that there is not."""
    path, _, name = word.partition("::")
    if path.startswith(("tests/", "scripts/")):
        place = ROOT / path
        if not name:
            return not place.exists()
        return not place.is_file() or f"def {name}(" not in place.read_text(encoding="utf-8")
    if word.startswith("tests."):
        return not (ROOT / f"{word.replace('.', '/')}.py").is_file()
    variable = re.match(r"([A-Z][A-Z_]+)=", word)
    return variable is not None and not any(f'"{variable[1]}"' in file.read_text(encoding="utf-8") for file in TESTS)


def test_every_goal_has_its_row() -> None:
    """Once, in order: what it says, what shows it, and what was reached."""
    rows = [(row[1], [cell.strip() for cell in row[2].split(" | ")]) for row in ROW.finditer(PAGE)]
    assert [goal for goal, _ in rows] == GOALS
    assert [goal for goal, cells in rows if len(cells) != 3 or not all(cells)] == []


def test_what_shows_a_goal_is_there() -> None:
    """Each test, script, module and variable that is named in code."""
    words = [word for code in re.findall(r"`([^`]+)`", PAGE) for word in code.split()]
    assert sum(word.startswith("tests/") for word in words) > len(GOALS)
    assert sorted({word for word in words if missing(word)}) == []


def test_what_is_not_there_is_noticed() -> None:
    """Else the test above shows nothing."""
    gone = [
        "tests/engine/test_gone.py",
        "tests/docs/test_goals.py::test_gone",
        "scripts/gone",
        "tests.bench.gone",
        "GO_NE=1",
    ]
    there = [
        "tests/docs",
        "tests/docs/test_goals.py::test_every_goal_has_its_row",
        "scripts/bench",
        "tests.bench.large_runs",
    ]
    assert [word for word in gone + there if missing(word)] == gone
