"""scripts/mutate: does a test of the core notice when the core is changed?

mutmut changes one thing at a time (an operator, a number, an argument that is left out) in a copy of the core, and the
tests of tests/core that reach the changed function are run. A mutant that no test notices lives, and has to be killed by
a test that says what is wanted, or be listed in docs/mutants.md with the reason why it may live.

scripts/mutate                           all of it
scripts/mutate --module decide --jobs 4  the mutants of one module
scripts/mutate --again                   those that lived the last time, and those that were not there yet
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.mutation.mutants import Made, mutate
from tests.mutation.survivors import ALIVE, Mutant, listed, table

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
HOME = ROOT / ".cache" / "mutants"
LAST = ROOT / ".cache" / "mutants.json"
PACKAGE = ROOT / "layers/flowrunner/python/flowrunner"
GOAL = 85.0

# One plants defects of its own, the others are about files that are not copied.
LEFT_OUT = ("test_planted_defects.py", "test_docs.py", "test_recorded_runs.py", "__pycache__")
PYTEST = """\
[tool.pytest.ini_options]
pythonpath = ["."]
addopts = ["--import-mode=importlib"]
filterwarnings = ["error"]
"""
Key = tuple[str, str, str, int]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/mutate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modules = sorted(path.stem for path in (PACKAGE / "core").glob("*.py") if path.stem != "__init__")
    parser.add_argument("--module", action="append", choices=modules, metavar="NAME", help="only this one (repeatable)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tried at a time")
    parser.add_argument("--again", action="store_true", help="what the last run has left alive, or has not seen")
    parser.add_argument("--examples", type=int, default=40, help="random games and values that a test tries")
    given = parser.parse_args()
    shutil.rmtree(HOME, ignore_errors=True)
    prepare()
    made = keyed(mutate(HOME, given.module or modules))
    results = {key: outcome for key, outcome in last().items() if key in made} if given.again else {}
    todo = {key: one for key, one in made.items() if results.get(key, "alive") in ALIVE}
    results |= play(todo, given.jobs, given.examples)
    LAST.write_text(json.dumps([[*key, outcome] for key, outcome in results.items()]), "utf-8")
    return report([(Mutant(*key[:3]), outcome) for key, outcome in results.items()], len(made) - len(results))


def prepare() -> None:
    """A copy of the package and of the core's tests, which is all that the mutants get to see."""
    shutil.copytree(PACKAGE, HOME / "flowrunner", ignore=shutil.ignore_patterns("__pycache__", "console"))
    shutil.copytree(ROOT / "tests/core", HOME / "tests/core", ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copy(ROOT / "tests/builders.py", HOME / "tests")
    (HOME / "tests/mutation").mkdir()
    for helper in ("switch.py", "playing.py"):
        shutil.copy(HERE / helper, HOME / "tests/mutation")
    (HOME / "pyproject.toml").write_text(PYTEST, "utf-8")


def keyed(made: list[Made]) -> dict[Key, Made]:
    """Each mutant by what it changes; mutmut's numbers change with every edit of the function."""
    seen: Counter[Mutant] = Counter()
    found: dict[Key, Made] = {}
    for one in made:
        seen[one.mutant] += 1
        found[one.mutant.function, one.mutant.before, one.mutant.after, seen[one.mutant]] = one
    return found


def last() -> dict[Key, str]:
    """What became of the mutants the last time."""
    if not LAST.exists():
        return {}
    rows: list[tuple[str, str, str, int, str]] = json.loads(LAST.read_text("utf-8"))
    return {(function, before, after, number): outcome for function, before, after, number, outcome in rows}


def play(todo: dict[Key, Made], jobs: int, examples: int) -> dict[Key, str]:
    """Run the tests against each mutant."""
    done = HOME / "done.json"
    (HOME / "todo.json").write_text(json.dumps([[one.function, one.name] for one in todo.values()]), "utf-8")
    environment = {
        **os.environ,
        "CHECK_MUTANTS": str(examples),
        "MUTATION_JOBS": str(jobs),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(HOME),
    }
    options = ["-q", "-s", "--tb=native", "--assert=plain", "-p", "tests.mutation.playing", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, "tests/core"]
    if subprocess.run(command, cwd=HOME, env=environment, check=False).returncode and not done.exists():
        sys.exit("the tests do not pass with nothing changed")
    outcomes: dict[str, str] = json.loads(done.read_text("utf-8"))
    return {
        key: outcomes[f"{one.function} {one.name}"]
        for key, one in todo.items()
        if f"{one.function} {one.name}" in outcomes
    }


def report(results: list[tuple[Mutant, str]], untried: int) -> int:
    """Print what lives and the figures. Fails for mutants that the page does not list, and below the goal."""
    known = set(listed())
    living = sorted(mutant for mutant, outcome in results if outcome in ALIVE)
    news = [mutant for mutant in living if mutant not in known]
    for mutant in news:
        print(mutant.row())
    print(f"\n{table(results)}\n\n{len(living)} live; the {len(news)} above are not in docs/mutants.md")
    if untried:
        print(f"{untried} were not tried")
    return bool(news or untried) or 100 * len(living) > (100 - GOAL) * len(results)


if __name__ == "__main__":
    sys.exit(main())
