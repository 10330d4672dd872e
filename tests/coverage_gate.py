"""A pytest plugin that fails the session when coverage, or a stage before the tests, fell short.

`scripts/test` loads it (`-p tests.coverage_gate`). It works inside pytest so that pytest's own summary stays the last
line and counts what failed here: a build whose last line says "passed" has passed. The thresholds are those of the
project's definition of done: `core/` and `language/` 95 % of branches, the package 90 %; statements are held to the
same figures, as code without a branch would otherwise count for nothing.

Tests that go the same ways thousands of times (`UNMEASURED`) are not measured: it makes Python 2.5 times as slow, and
they have nothing to show that the others do not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import coverage
import pytest

FAILED_STAGES = "CHECK_FAILED_STAGES"
"""Environment variable in which `scripts/test` names the stages that failed, separated by commas."""


@dataclass(frozen=True, slots=True)
class Gate:
    """At least `percent` of the branches, and of the statements, of the files under `folder` were run."""

    folder: str
    percent: float


GATES = (
    Gate("flowrunner/core", 95),
    Gate("flowrunner/language", 95),
    Gate("flowrunner", 90),
)


UNMEASURED = (
    "tests/simulation/",
    "tests/fuzz/",
    "tests/core/test_planted_defects.py",
    "tests/adapters/aws/test_executor_faults.py",
    "tests/adapters/aws/test_aimed_faults.py",
)
"""Where in the project they are."""


def shortfalls(files: Mapping[str, Mapping[str, Any]], gates: tuple[Gate, ...] = GATES) -> list[str]:
    """What falls short, a line for each figure.

    Arguments:
        files: path of a file to its `summary`, as in coverage's JSON report.
        gates: the thresholds; one that no file belongs to falls short, as nothing was measured.
    """
    lines = []
    for gate in gates:
        chosen = [summary for path, summary in files.items() if f"/{gate.folder}/" in f"/{Path(path).as_posix()}"]
        if not chosen:
            lines.append(f"{gate.folder}: nothing was measured")
        for noun, of, done in (
            ("branches", "num_branches", "covered_branches"),
            ("statements", "num_statements", "covered_lines"),
        ):
            total = sum(summary[of] for summary in chosen)
            run = sum(summary[done] for summary in chosen)
            # Compared as whole numbers of things, so that 94.96 % does not pass by being rounded to 95.0 %.
            if run * 100 < total * gate.percent:
                lines.append(
                    f"{gate.folder}: {run} of {total} {noun} were run ({run / total:.2%}), {gate.percent:g} % are needed"
                )
    return lines


def measured() -> dict[str, dict[str, Any]]:
    """The summary of every measured file, from the data that pytest-cov has combined and written."""
    report = coverage.Coverage()
    report.load()
    with TemporaryDirectory() as folder:
        target = Path(folder) / "coverage.json"
        try:
            report.json_report(outfile=str(target))
        except coverage.exceptions.NoDataError:
            return {}
        files = json.loads(target.read_text(encoding="utf-8"))["files"]
    return {path: entry["summary"] for path, entry in files.items()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let coverage rest while a test runs that is not measured."""
    measuring = coverage.Coverage.current() if item.nodeid.startswith(UNMEASURED) else None
    if measuring is None:
        return (yield)
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Judge once, in the process that has everybody's data, before pytest prints its summary."""
    config = session.config
    if hasattr(config, "workerinput"):
        return
    failures = [(f"stage {name}", "failed; see its output above") for name in _stages()]
    if config.pluginmanager.hasplugin("_cov"):
        failures += [("coverage gate", line) for line in shortfalls(measured())]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None, "pytest always has one in the process that reports"
    for name, text in failures:
        reporter.stats.setdefault("failed", []).append(
            pytest.TestReport(
                nodeid=name,
                location=(name, None, name),
                keywords={},
                outcome="failed",
                longrepr=text,
                when="call",
            )
        )
    if failures and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _stages() -> list[str]:
    return [name for name in os.environ.get(FAILED_STAGES, "").split(",") if name]
