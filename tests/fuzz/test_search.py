"""The search finds what is planted, makes it small, keeps it once, and says so in its status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.explore import Finding, Report, explore, kind_of, reduced
from tests.fuzz.target import ACCEPTED, REFUSED, Target, told

ROOT = Path(__file__).resolve().parents[2]


def planted(data: bytes) -> str:
    """A reader with two defects: it counts what is not there, and takes what it should not."""
    if b"{" in data and b"}" not in data:
        return str(data[data.index(b"}")])
    told(b"__proto__" not in data, "a reserved key came through")
    return ACCEPTED if data.startswith(b"a") else REFUSED


def for_some(report: Report) -> bool:
    return report.fed < 4_000


def test_planted_defects_are_found_and_made_small() -> None:
    """Both defects are found, each once, with no byte more than they need."""
    report = explore(Target("planted", planted), [b"a: {b: 1}", b"c"], 3, for_some)
    assert sorted(finding.data for finding in report.findings) == [b"__proto__", b"{"]
    assert report.outcomes[ACCEPTED] > 0
    assert report.outcomes[REFUSED] > 0
    assert sum(report.outcomes.values()) == report.fed == 4_000


def test_a_reduction_keeps_the_failure_that_it_began_with() -> None:
    """Leaving out pieces never ends at another defect than the one that was found."""
    data = b"x" * 50 + b"__proto__" + b"y" * 50 + b"}{"
    with pytest.raises(AssertionError) as found:
        planted(data)
    smaller = reduced(Target("planted", planted), Finding(data, found.value))
    assert smaller.data == b"__proto__"
    assert kind_of(smaller.error) == kind_of(found.value)


def test_inputs_that_reach_something_new_are_kept() -> None:
    """The search notes which lines of the product follow each other, and goes on from what led to new ones."""
    from flowrunner.core.durations import parse_duration

    def duration(data: bytes) -> str:
        try:
            parse_duration(data.decode("latin-1"))
        except ValueError:
            return REFUSED
        return ACCEPTED

    report = explore(Target("duration", duration, (b"d", b"s")), [b"x"], 0, for_some, watched=1)
    assert report.outcomes[ACCEPTED] > 0
    assert any(duration(data) == ACCEPTED for data in report.kept)


def test_the_command_keeps_what_fails(tmp_path: Path) -> None:
    """`scripts/fuzz` prints what it did and ends with 0 when nothing failed; nothing is kept then."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--inputs", "300", "--target", "cursor", "--corpus", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("cursor: 300 inputs in ")
    assert list(tmp_path.rglob("*")) == []
