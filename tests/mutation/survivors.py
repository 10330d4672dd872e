"""The mutants of a run, told by the lines that they change, and those that docs/mutants.md lets live."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "mutants.md"

ALIVE = {"alive", "no test"}

_ROW = re.compile(r"\| `([\w.]+)` \| `` (.+) `` \| `` (.+) `` \|")
_NOTHING = "(removed)"


@dataclass(frozen=True, order=True)
class Mutant:
    """A changed line: `function` is as in `decide._go_on` or `turn.Turn.put`; `after` is empty where it was removed."""

    function: str
    before: str
    after: str

    @property
    def module(self) -> str:
        return self.function.partition(".")[0]

    def row(self) -> str:
        """As a row of the page."""
        before, after = (code.replace("|", r"\|") for code in (self.before, self.after or _NOTHING))
        return f"| `{self.function}` | `` {before} `` | `` {after} `` |"


def changed(function: str, original: list[str], mutated: list[str]) -> Mutant:
    """The mutant whose lines are `mutated` instead of `original`."""
    lines = list(unified_diff(original, mutated, n=0, lineterm=""))[2:]
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return Mutant(function, before, after)


def listed() -> list[Mutant]:
    """The mutants of the page's tables."""
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        if match := _ROW.fullmatch(line.strip()):
            function, before, after = (part.replace(r"\|", "|") for part in match.groups())
            found.append(Mutant(function, before, "" if after == _NOTHING else after))
    return found


def table(results: Iterable[tuple[Mutant, str]]) -> str:
    """The figures, one row for each module. Who never ends counts as killed: the tests notice."""
    counts: dict[str, Counter[str]] = {}
    for mutant, outcome in results:
        counts.setdefault(mutant.module, Counter())["alive" if outcome in ALIVE else outcome] += 1
    rows = [_figures(module, counts[module]) for module in sorted(counts)]
    return "\n".join(
        [
            "| module | mutants | killed | without an end | alive | killed in all |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            _figures("**all**", sum(counts.values(), Counter())),
        ]
    )


def _figures(name: str, counts: Mapping[str, int]) -> str:
    killed, endless, alive = (counts.get(outcome, 0) for outcome in ("killed", "no end", "alive"))
    total = killed + endless + alive
    return f"| {name} | {total} | {killed} | {endless} | {alive} | {100 * (total - alive) / max(total, 1):.1f} % |"
